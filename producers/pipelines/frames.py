"""DataFrames and Series as Parquet that comes back as it went: index, types and labels; checked before it is kept.

What Parquet itself can't say (columns of the same name or of mixed names, Python objects in cells or as labels of rows)
goes into the tree beside the file.
"""

from __future__ import annotations

import io
import sys
import warnings
from collections.abc import Callable
from typing import Any

from .value_tree import UnsupportedValueError

_Tree = Callable[[Any], Any]
Store = Callable[[bytes], Any]
"""Keeps a Parquet file and returns the tree that stands for it."""
Fetch = Callable[[Any], Any]
"""Returns the DataFrame of such a tree."""


def is_frame(value: Any) -> bool:
    """Whether it is a DataFrame itself, and no object of a class derived from that."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and type(value) is pandas.DataFrame


def is_series(value: Any) -> bool:
    """Whether it is a Series itself."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and type(value) is pandas.Series


def parquet(frame: Any) -> bytes | None:
    """A Parquet file that any program reads, and from which pandas makes the same frame; None where there is none."""
    try:
        content = _written(frame)
        _check(frame, _read(content))
    except Exception:  # noqa: BLE001  Arrow, pandas and extension types raise all kinds
        return None
    return content


def frame_tree(frame: Any, tree: _Tree, store: Store) -> Any:
    """A tree for a frame that has no Parquet file of its own.

    Raises `UnsupportedValueError` where a cell or a label is no plain value, or where the frame would not come back.
    """
    plain = frame.set_axis(range(frame.shape[1]), axis=1)
    index = frame.index if _is_odd(frame.index) else None
    if index is not None:
        plain = plain.reset_index(drop=True)
    objects = [place for place, dtype in enumerate(plain.dtypes) if getattr(dtype, "hasobject", False)]
    columns = frame.columns
    try:
        content = _written(_without(plain, objects))
        parts = {
            "columns": tree(columns.tolist()),
            "names": tree(list(columns.names)),
            "objects": [[place, tree(plain[place].tolist())] for place in objects],
        }
        if index is not None:
            parts["index"] = [tree(index.tolist()), tree(list(index.names))]
        back = _assembled(_read(content), columns.tolist(), list(columns.names), _cells(plain, objects))
        _check(frame, back if index is None else back.set_axis(_labels(index.tolist(), list(index.names))))
    except UnsupportedValueError:
        raise
    except Exception as error:
        raise UnsupportedValueError(frame, f"Parquet does not take it ({error})") from error
    return {"$frame": {"table": store(content), **parts}}


def series_tree(series: Any, tree: _Tree, store: Store) -> Any:
    """A tree for a Series: that of a frame with the one column, and its name."""
    return {"$series": [frame_tree(series.to_frame(0), tree, store), tree(series.name)]}


def frame_of(content: Any, value: _Tree, fetch: Fetch) -> Any:
    """The frame of a tree that `frame_tree` made."""
    objects = {place: value(cells) for place, cells in content["objects"]}
    frame = _assembled(fetch(content["table"]), value(content["columns"]), value(content["names"]), objects)
    return frame.set_axis(_labels(*map(value, content["index"]))) if "index" in content else frame


def series_of(content: Any, value: _Tree, fetch: Fetch) -> Any:
    """The Series of a tree that `series_tree` made."""
    tree, name = content
    return frame_of(tree["$frame"], value, fetch)[0].rename(value(name))


def _cells(plain: Any, objects: list[int]) -> dict[int, list[Any]]:
    return {place: plain[place].tolist() for place in objects}


def _is_odd(index: Any) -> bool:
    """Whether labels of rows may be of several types, which Parquet does not take."""
    return any(getattr(level.dtype, "hasobject", False) for level in getattr(index, "levels", [index]))


def _labels(labels: list[Any], names: list[Any]) -> Any:
    """An index of Python objects."""
    import pandas as pd  # noqa: PLC0415  optional

    if len(names) > 1:
        return pd.MultiIndex.from_tuples(labels, names=names)
    return pd.Index(labels, dtype=object, name=names[0])


def _assembled(table: Any, labels: list[Any], names: list[Any], objects: dict[int, list[Any]]) -> Any:
    """Put the cells of object columns into their places in the table, and the labels on top."""
    import pandas as pd  # noqa: PLC0415  optional

    frame = table.rename(columns=int)
    for place, cells in objects.items():
        frame[place] = pd.Series(cells, index=frame.index, dtype=object)
    if len(names) > 1:
        frame.columns = pd.MultiIndex.from_tuples(labels, names=names)
    else:
        frame.columns = pd.Index(labels, name=names[0])
    return frame


def _without(plain: Any, objects: list[int]) -> Any:
    """The frame with placeholders in its object columns: without any column a file has no rows."""
    table = plain.copy()
    for place in objects:
        table[place] = 0
    return table.rename(columns=str)


def _written(frame: Any) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # names of mixed types don't come back, and the check finds that
        frame.to_parquet(buffer, engine="pyarrow")
    return buffer.getvalue()


def _read(content: bytes) -> Any:
    import pandas as pd  # noqa: PLC0415  optional

    return pd.read_parquet(io.BytesIO(content), engine="pyarrow")


def _check(frame: Any, back: Any) -> None:
    """Raise `AssertionError` unless the frame has come back, but for the frequency of its dates."""
    import pandas as pd  # noqa: PLC0415  optional

    pd.testing.assert_frame_equal(frame, back, check_exact=True, check_freq=False)
