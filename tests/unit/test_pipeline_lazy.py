"""Stand-ins for results: the pipeline's own code does with them what it would do with the values."""

from __future__ import annotations

import json
import operator
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tasktape.producers.pipelines.lazy import LazyResult

PATH: Callable[[Any], Path] = Path
FRAME = pd.DataFrame({"x": [1, 2], "y": [0, 1]})
USES: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "unpacked": (lambda value: [*map(str, value)], (1, 2)),
    "iterated": (lambda value: [item * 2 for item in value], [1, 2]),
    "added up": (sum, [1, 2]),
    "sorted": (sorted, {3, 1}),
    "keys of": (list, {"a": 1}),
    "joined": (" ".join, ["a", "b"]),
    "next of": (next, iter([5, 6])),
    "formatted": ("{:.2f}".format, 1.234),
    "compared": (lambda value: value > 1 and value != 3, 2),
    "multiplied": (lambda value: 100 * value, 0.5),
    "an index": (operator.itemgetter, 1),
    "a path": (lambda value: Path(value, "b").as_posix(), "a"),
    "a folder": (lambda value: Path("/", value).as_posix(), Path("a")),
    "averaged": (np.mean, [1, 2]),
    "a number in an array": (lambda value: (np.arange(3) * value).tolist(), 2.0),
    "numbers in an array": (lambda value: np.array([value, 1]).dtype.kind, 0.5),
    "a column": (lambda value: FRAME.assign(z=value)["z"].tolist(), 3),
    "columns": (lambda value: list(value[["x"]]), FRAME),
    "a table in a row": (lambda value: len(pd.concat([value, FRAME])), FRAME),
}


def lazy(value: Any) -> LazyResult:
    return LazyResult("step", "value", lambda: value)


@pytest.mark.parametrize(("use", "value"), USES.values(), ids=USES.keys())
def test_a_stand_in_is_used_as_its_value(use: Callable[[Any], Any], value: Any) -> None:
    remembered = value if use is not next else iter([5, 6])
    assert repr(use(lazy(value))) == repr(use(remembered))


def test_what_a_value_can_not_its_stand_in_can_not() -> None:
    number = lazy(3)
    assert not hasattr(number, "__iter__")
    assert not hasattr(number, "__fspath__")
    with pytest.raises(TypeError):
        list(number)
    with pytest.raises(TypeError):
        PATH(number)


def test_nothing_is_waited_for_before_it_is_used() -> None:
    asked: list[str] = []

    def load() -> dict[str, int]:
        asked.append("now")
        return {"a": 1}

    held = {"later": [LazyResult("step", "value", load)]}
    assert not asked
    assert json.dumps(dict(held["later"][0])) == '{"a": 1}'
    assert asked == ["now"]
