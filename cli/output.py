"""What commands print: tables for people, JSON for programs, notes beside them, and progress of what takes long."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from ..dashboard.formatting import STEP_COLORS, one_line, status_look

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

wants_json: ContextVar[bool] = ContextVar("wants_json", default=False)
"""Whether the command was given `--json`."""

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]")
_WIDE = 100_000
_GAP, _EDGE = 3, 2
_NARROWEST = 8
_ID_LENGTHS = (12, 16, 20)
_TERMINAL_COLORS = {"gray": "bright_black", "violet": "magenta", "orange": "yellow", "primary": "bold green"}


class Column(NamedTuple):
    """A table's column; `grow` may be cut short to fit the terminal, others are shown whole."""

    title: str
    right: bool = False
    grow: bool = False


def console() -> Console:
    """Standard output: as wide as the terminal, without end where there is none, so that pipes get whole lines."""
    from rich.console import Console  # noqa: PLC0415  rich costs 60 ms, and --json needs none of it

    return Console(highlight=False, soft_wrap=not sys.stdout.isatty(), width=None if sys.stdout.isatty() else _WIDE)


def notes() -> Console:
    """Standard error, for what is said beside the data."""
    from rich.console import Console  # noqa: PLC0415  the same

    return Console(stderr=True, highlight=False, soft_wrap=True)


def note(text: str) -> None:
    """Say a sentence on standard error."""
    notes().print(text, markup=False)


def print_json(value: object) -> None:
    """Print a value as JSON: ISO times in UTC, numbers that JSON lacks as the strings NaN, Infinity, -Infinity."""
    sys.stdout.write(json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def print_json_line(value: object) -> None:
    """Print a value as one line of JSON, at once, for what is followed."""
    sys.stdout.write(json.dumps(plain(value), ensure_ascii=False, allow_nan=False) + "\n")
    sys.stdout.flush()


def plain(value: Any) -> Any:
    """A value as JSON knows it; see `print_json`."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    if isinstance(value, Enum):
        return plain(value.value)
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    return _plain_collection(value)


def _plain_collection(value: Any) -> Any:
    if hasattr(value, "model_dump"):
        return plain(value.model_dump())
    if hasattr(value, "_asdict"):
        return plain(value._asdict())
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, Iterable):
        return [plain(one) for one in value]
    return str(value)


def print_table(columns: Sequence[Column], rows: Iterable[Sequence[str | Text]], empty: str) -> None:
    """Print rows as a table, or the sentence `empty` on standard error when there are none.

    Text is printed as it is: neither rich's markup nor control characters in it count.
    """
    cells = [[cell_text(cell) for cell in row] for row in rows]
    if not cells:
        note(empty)
        return
    shown = console()
    table, width = as_table(columns, cells, shown.width)
    shown.width = max(shown.width, width)
    shown.print(table)


def as_table(columns: Sequence[Column], cells: Sequence[Sequence[Text]], room: int) -> tuple[Table, int]:
    """A table, and the width it needs where even what may be cut does not make it fit."""
    from rich.box import SIMPLE_HEAD  # noqa: PLC0415  the same as in `console`
    from rich.table import Table  # noqa: PLC0415  the same

    widths = _widths(columns, cells, room)
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
    for column, width in zip(columns, widths, strict=True):
        justify: Literal["left", "right"] = "right" if column.right else "left"
        table.add_column(column.title, justify=justify, no_wrap=True, overflow="ellipsis", width=width)
    for row in cells:
        table.add_row(*row)
    return table, sum(widths) + _GAP * len(widths)


def _widths(columns: Sequence[Column], cells: Sequence[Sequence[Text]], room: int) -> list[int]:
    """Width of each column: of its widest cell, but the widest growing ones are cut until all fit."""
    widths = [max(len(c.title), *(row[place].cell_len for row in cells)) for place, c in enumerate(columns)]
    growing = [place for place, column in enumerate(columns) if column.grow]
    for _ in range(sum(widths) + _GAP * len(widths) - _EDGE - room):
        widest = max(growing, key=lambda place: widths[place], default=0)
        if not growing or widths[widest] <= _NARROWEST:
            break
        widths[widest] -= 1
    return widths


def cell_text(cell: str | Text) -> Text:
    """A cell on one line, safe for a terminal."""
    from rich.text import Text  # noqa: PLC0415  the same

    return Text(one_line(cell, 400)) if isinstance(cell, str) else cell


def short_id_length(ids: Sequence[str]) -> int:
    """How many characters of these ids are enough to tell them apart; 12 of them are a task's birth in ms."""
    return next((n for n in _ID_LENGTHS if len({one[:n] for one in ids}) == len(set(ids))), 32)


def status_text(status: str) -> Text:
    """A status in its colour."""
    from rich.text import Text  # noqa: PLC0415  the same

    color = status_look(status).color
    return Text(one_line(status, 24), style=_TERMINAL_COLORS.get(color, color))


def step_text(status: str) -> Text:
    """A status of a pipeline's step in its colour."""
    from rich.text import Text  # noqa: PLC0415  the same

    color = STEP_COLORS.get(status, "gray")
    return Text(one_line(status, 24), style=_TERMINAL_COLORS.get(color, color))


def print_fields(title: str, fields: Iterable[tuple[str, str | Text]]) -> None:
    """Print a heading and aligned fields below it; nothing when there are no fields."""
    from rich.table import Table  # noqa: PLC0415  the same
    from rich.text import Text  # noqa: PLC0415  the same

    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bright_black", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in fields:
        grid.add_row(Text(one_line(name, 80)), cell_text(value))
    if grid.row_count:
        console().print(Text(f"\n{title}", style="bold"), grid, sep="\n")


def print_lines(title: str, text: str) -> None:
    """Print a heading and lines as they are, without what a terminal would take as a command."""
    from rich.text import Text  # noqa: PLC0415  the same

    shown = console()
    shown.print(Text(f"\n{title}", style="bold"))
    for line in text.splitlines():
        shown.print(terminal_line(line), soft_wrap=True)


def terminal_line(line: str) -> Text:
    """A line of output: its colours stay, other escape sequences and control characters go."""
    from rich.text import Text  # noqa: PLC0415  the same

    shown = Text.from_ansi(line)
    shown.plain = _CONTROL.sub("", shown.plain)
    return shown


Say = Callable[..., None]
"""Says how much is done: `say(done)`, or `say(done, total)` once the total is known."""


def shows_progress() -> bool:
    """Whether a person looks on."""
    return sys.stderr.isatty() and sys.stdout.isatty() and not wants_json.get()


@contextmanager
def progress(description: str, total: int | None = None) -> Iterator[Say]:
    """Show on standard error that something goes on while the block runs: on a terminal alone, and gone afterwards.

    Nothing is shown for programs: with `--json`, or where the output goes into a pipe.
    """
    if not shows_progress():
        yield lambda _done, _total=None: None
        return
    from rich import progress as rich  # noqa: PLC0415  the same

    text = one_line(description)
    columns = (rich.SpinnerColumn(), rich.TextColumn("{task.description}", markup=False))
    with rich.Progress(*columns, console=notes(), transient=True) as shown:
        task = shown.add_task(text, total=None)

        def say(done: int, total: int | None = total) -> None:
            if total is not None and shown.tasks[0].total is None:
                shown.columns += (rich.BarColumn(), rich.TaskProgressColumn(), rich.TimeRemainingColumn())
            shown.update(task, completed=done, total=total, description=text if total else f"{text} · {done:,}")

        yield say
