"""Tables as plotly figures: from data frames, lists of rows, CSV files and addresses of CSV files."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from .figures import Figure, merged

MOST_ROWS: Final = 10_000
_TIMEOUT: Final = 10.0


class Table(NamedTuple):
    """A heading for each column, and the rows."""

    header: list[str]
    rows: list[list[Any]]


def table_of(table_plot: Any = None, csv_path: str | None = None, url: str | None = None) -> Table:
    """Table from the first that is given. Raises `ValueError` where none is, `OSError` where it can't be read.

    A data frame's index becomes its first columns. Of a list of rows, as of a CSV file, the first one is the heading.
    """
    if table_plot is not None:
        return _of_frame(table_plot) if hasattr(table_plot, "columns") else _of_rows(table_plot)
    if csv_path is not None:
        return _of_csv(Path(csv_path).expanduser().read_text(encoding="utf-8-sig"))
    if url is not None:
        return _of_csv(_download(url))
    raise ValueError("a table needs table_plot, csv or url")


def _of_frame(frame: Any) -> Table:
    flat = frame.reset_index() if _has_named_index(frame) else frame
    rows = flat.values.tolist() if hasattr(flat, "values") else [list(row) for row in flat.rows()]
    return Table([_heading(name) for name in flat.columns], rows)


def _has_named_index(frame: Any) -> bool:
    """Whether the index says something: a plain count from 0 does not."""
    return hasattr(frame, "reset_index") and type(frame.index).__name__ != "RangeIndex"


def _heading(name: Any) -> str:
    return " / ".join(map(str, name)) if isinstance(name, tuple) else str(name)


def _of_rows(rows: Any) -> Table:
    plain = rows.tolist() if hasattr(rows, "tolist") else rows
    listed = [list(row) if isinstance(row, (list, tuple)) or hasattr(row, "tolist") else [row] for row in plain]
    if not listed:
        raise ValueError("a table without rows")
    header, *rest = listed
    return Table([str(name) for name in header], rest)


def _of_csv(text: str) -> Table:
    return _of_rows(list(csv.reader(io.StringIO(text))))


def _download(url: str) -> str:
    if "://" not in url:
        return Path(url).expanduser().read_text(encoding="utf-8-sig")
    from urllib.request import urlopen  # noqa: PLC0415  heavy: only who names an address pays for it

    with urlopen(url, timeout=_TIMEOUT) as answer:  # noqa: S310  the user's own address
        return str(answer.read().decode("utf-8-sig"))


def table(title: str, series: str, content: Table, extra_layout: Figure | None, extra_data: Figure | None) -> Figure:
    """Figure of a table: its first 10,000 rows, with a note where there are more."""
    rows = content.rows[:MOST_ROWS]
    width = len(content.header)
    columns = [[_cell(row, number) for row in rows] for number in range(width)]
    trace = {
        "type": "table",
        "name": series,
        "header": {"values": content.header, "align": "left"},
        "cells": {"values": columns, "align": "left"},
    }
    cut = len(content.rows) > MOST_ROWS
    text = f"{title} (first {MOST_ROWS:,} of {len(content.rows):,} rows)" if cut else title
    return {"data": [merged(trace, extra_data)], "layout": merged({"title": {"text": text}}, extra_layout)}


def _cell(row: Sequence[Any], number: int) -> Any:
    return row[number] if number < len(row) else ""
