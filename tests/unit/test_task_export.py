"""A task's description survives its way out as a plain dict and in again, and a person may edit it between."""

from __future__ import annotations

import enum
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasktape.events.parts import Configuration, Container, Script, TaskSpec
from tasktape.producers.errors import InvalidArgumentError
from tasktape.producers.parameters import make, value_of
from tasktape.producers.task_export import exported, imported


class Colour(enum.Enum):
    RED = "r"


EMPTY = TaskSpec(project="", name="")
NAMES = st.text(st.characters(exclude_characters="/\n", exclude_categories=["Cs"]), min_size=1, max_size=8)
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(),
    st.lists(st.integers() | st.text()),
    st.dictionaries(st.text(), st.integers()),
    st.tuples(st.integers(), st.booleans()),
    st.just(Colour.RED),
)
SPECS = st.builds(
    TaskSpec,
    project=NAMES,
    name=st.text(),
    comment=st.text(),
    tags=st.lists(st.text()),
    parent=st.text(),
    script=st.builds(Script, repository=st.text(), commit=st.text(), requirements=st.lists(NAMES, max_size=3)),
    container=st.builds(Container, image=st.text(), arguments=st.text(), setup_script=st.text()),
    parameters=st.dictionaries(NAMES, VALUES, max_size=4).map(
        lambda values: [make(f"General/{name}", value, "what it is") for name, value in values.items()]
    ),
    configurations=st.dictionaries(NAMES, st.text(), max_size=3).map(
        lambda texts: [Configuration(name=name, text=text) for name, text in texts.items()]
    ),
)


@given(SPECS)
def test_a_spec_comes_back_as_it_was(spec: TaskSpec) -> None:
    assert imported(json.loads(json.dumps(exported(spec))), EMPTY) == spec


def edited(value: Any, text: Any) -> Any:
    data = exported(TaskSpec(project="p", name="n", parameters=[make("General/x", value)]))
    data["hyperparams"]["General"]["x"]["value"] = text
    return value_of(imported(data, EMPTY).parameters[0])


@pytest.mark.parametrize(
    ("value", "text", "expected"),
    [
        (1, "2", 2),
        (0.5, "1e-3", 0.001),
        (True, "false", False),
        ([1], "[1, 2]", [1, 2]),
        (Colour.RED, "RED", Colour.RED),
        ("a", "b", "b"),
        (1, "many", "many"),
        (1, 7, 7),
    ],
)
def test_an_edited_text_is_read_as_the_parameters_type(value: Any, text: Any, expected: Any) -> None:
    found = edited(value, text)
    assert (type(found), found) == (type(expected), expected)


def test_what_is_not_given_stays_as_it_was() -> None:
    base = TaskSpec(project="p", name="before", comment="kept", parameters=[make("General/x", 1)])
    after = imported({"name": "after", "hyperparams": {"General": {"y": {"value": "2", "type": "int"}}}}, base)
    assert (after.name, after.comment) == ("after", "kept")
    assert {held.name: value_of(held) for held in after.parameters} == {"General/x": 1, "General/y": 2}


@pytest.mark.parametrize(
    "data",
    [{"hyperparams": 5}, {"script": {"arguments": 5}}, {"tags": 5}, {"type": "no such type"}, {"configuration": [1]}],
)
def test_what_does_not_fit_is_a_clear_error(data: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError):
        imported(data, EMPTY)
