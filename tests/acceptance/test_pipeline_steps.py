"""Scripts made of functions, run for real: arguments arrive typed, return values come back, what fails says why."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tasktape import Task
from tasktape.producers import lineage
from tasktape.producers.parameters import make
from tasktape.producers.pipelines.function_task import function_spec
from tasktape.producers.session import change_session

RATE = 0.5


def announced(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        print("decorated", sorted(kwargs))  # noqa: T201  as users write it
        return function(*args, **kwargs)

    return call


def halved(value: float) -> float:
    return value * RATE


@announced
def first(
    count: int, text: str, shape: tuple[int, ...] = (1, 2), rate: float = 1.0, *, options: Any = None, missing: Any = 7
) -> Any:
    table = pd.DataFrame({"n": np.arange(count), "text": text})
    kinds = [type(value).__name__ for value in (count, text, shape, rate, options, missing)]
    return (table, table["n"]), {"kinds": kinds, "rate": halved(rate), "options": options, "missing": missing}


def second(pair: Any, facts: dict[str, Any], scale: int = 2) -> Any:
    table, series = pair
    return {"sum": int(table["n"].sum()) * scale, "same": series.equals(table["n"]), "facts": facts}


class Thing:
    def __init__(self, value: int) -> None:
        self.value = value


def things() -> Any:
    return [Thing(1)]


def value_of(thing: Any, kind: Any = Thing) -> int:
    return int(thing[0].value) if isinstance(thing[0], kind) else 0


def pack(value: Any) -> bytes:
    return f"{value}".encode()


Run = Callable[..., tuple[Task, str]]


@pytest.fixture
def run(home: Path, tmp_path: Path) -> Run:
    """Run a function as an agent would, in another process and folder; returns its task and what was said."""

    def start(
        function: Callable[..., Any],
        overrides: dict[str, Any] | None = None,
        status: str = "completed",
        **options: Any,
    ) -> tuple[Task, str]:
        spec = function_spec(function, name="a step", project="p", packages=False, **options)
        given = {name: make(name, value) for name, value in (overrides or {}).items()}
        held = {parameter.name: parameter for parameter in spec.parameters} | given
        task = Task._created(spec.model_copy(update={"parameters": list(held.values())}))
        change_session(None)
        folder = tmp_path / task.id
        folder.mkdir()
        (folder / spec.script.entry_point).write_text(spec.script.source)
        done = subprocess.run(
            [sys.executable, spec.script.entry_point],
            cwd=folder,
            env=os.environ | {"TASKTAPE_HOME": str(home), lineage.TASK_ID: task.id, lineage.SIMULATED: task.id},
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
        )
        task, said = Task.get_task(task.id), done.stdout + done.stderr
        assert task.get_status() == status, said
        return task, said

    return start


def test_values_go_typed_through_two_steps(run: Run) -> None:
    one, said = run(
        first,
        kwargs={"count": "3", "text": "5", "options": {"a": {"b": (1, None)}}},
        overrides={"kwargs/rate": "4", "kwargs/options/a/c": 9},
        returns=["pair", "facts"],
    )
    assert "decorated ['count', 'missing', 'options', 'rate', 'shape', 'text']" in said
    facts = one.artifacts["facts"].get()
    assert facts == {
        "kinds": ["int", "str", "tuple", "float", "dict", "int"],
        "rate": 2.0,
        "options": {"a": {"b": (1, None), "c": 9}},
        "missing": 7,
    }
    assert one.get_parameter("kwargs/shape", cast=True) == (1, 2)
    two, _ = run(second, artifacts={"pair": f"{one.id}.pair", "facts": f"{one.id}.facts"}, returns=["result"])
    assert two.artifacts["result"].get() == {"sum": 6, "same": True, "facts": facts}
    assert one.artifacts["pair"].type == "value"


def test_a_wrong_count_of_return_values_fails_the_task_and_says_so(run: Run) -> None:
    _, said = run(first, kwargs={"count": 1, "text": ""}, returns=["a", "b", "c"], status="failed")
    assert "step 'a step' has 3 return values by name (a, b, c), but returned 2 values." in said


def test_pickle_is_asked_for_by_name_and_read_where_it_was(run: Run) -> None:
    _, said = run(things, returns=["made"], status="failed")
    assert "step 'a step' returns 'made' as a list: no safe format holds a __main__.Thing." in said
    assert 'artifact_serialization_function="pickle"' in said
    made, said = run(things, returns=["made"], serialization=pickle.dumps)
    assert "is kept by pickle as the pipeline asks" in said
    taker, _ = run(value_of, artifacts={"thing": f"{made.id}.made"}, returns=["value"], serialization=pack)
    assert taker.artifacts["value"].get(deserialization_function=bytes.decode) == "1"
