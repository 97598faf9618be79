"""Parameter values keep their types: through JSON text, through a person's edit, and into a script's own values."""

from __future__ import annotations

import enum
import json
import math
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasktape.producers import parameters


class Colour(enum.Enum):
    RED = "r"
    GREEN = "g"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.sampled_from(Colour)
    | st.sampled_from(Level)
)
KEYS = st.text() | st.integers() | st.booleans() | st.none()
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(KEYS, inner, max_size=4)
        | st.sets(st.integers(), max_size=4)
    ),
    max_leaves=12,
)


def shape(value: Any) -> Any:
    """A value with the types of all its parts, so that 1, 1.0 and True differ."""
    if isinstance(value, dict):
        return type(value), [(shape(k), shape(v)) for k, v in value.items()]
    if isinstance(value, (list, tuple)):
        return type(value), [shape(item) for item in value]
    return type(value), value


@given(VALUES)
def test_a_value_comes_back_from_its_parameter_with_all_its_types(value: Any) -> None:
    assert shape(parameters.value_of(parameters.make("General/x", value))) == shape(value)


@given(VALUES)
def test_an_unchanged_parameter_leaves_the_scripts_own_value_alone(value: Any) -> None:
    assert parameters.localized(parameters.make("General/x", value), value) is value


@given(st.lists(VALUES, min_size=1, max_size=1))
def test_a_value_of_the_scripts_type_wins_over_the_scripts_value(values: list[Any]) -> None:
    edited = parameters.make("General/x", values)
    assert shape(parameters.localized(edited, ["the script's"])) == shape(values)


@given(VALUES)
def test_the_stored_text_is_strict_json_that_avro_can_hold(value: Any) -> None:
    json.loads(parameters.encode(value).encode(), parse_constant=pytest.fail)


@given(SCALARS.filter(lambda value: not isinstance(value, enum.Enum)))
def test_the_text_shown_to_people_reads_back_as_the_value(value: Any) -> None:
    assert parameters.from_text(parameters.text_of(value), parameters.type_name(value)) == value


@pytest.mark.parametrize("value", [math.inf, -math.inf])
def test_infinity_survives(value: float) -> None:
    assert parameters.decode(parameters.encode(value)) == value


def test_nan_survives() -> None:
    assert math.isnan(parameters.decode(parameters.encode(math.nan)))


def test_lone_surrogates_survive() -> None:
    assert parameters.decode(parameters.encode("\ud800")) == "\ud800"


@pytest.mark.parametrize(
    ("value", "expected"),
    [(np.float64(0.5), 0.5), (np.int32(3), 3), (np.bool_(True), True), (np.array([1, 2]), [1, 2])],  # noqa: FBT003
)
def test_numpy_values_become_plain_ones(value: Any, expected: Any) -> None:
    assert shape(parameters.value_of(parameters.make("x", value))) == shape(expected)


@pytest.mark.parametrize(
    ("text", "kind", "expected"),
    [
        ("true", "bool", True),
        ("False", "bool", False),
        ("0", "bool", False),
        ("7", "int", 7),
        ("0.5", "int", 0.5),
        ("1e-3", "float", 0.001),
        ("[1, 'a', None]", "list", [1, "a", None]),
        ("[1, null]", "list", [1, None]),
        ("(1, 2)", "tuple", (1, 2)),
        ("{'a': 1}", "dict", {"a": 1}),
        ("None", "NoneType", None),
        (" kept ", "str", " kept "),
    ],
)
def test_text_is_read_as_the_type_it_is_meant_for(text: str, kind: str, expected: Any) -> None:
    assert shape(parameters.from_text(text, kind)) == shape(expected)


@pytest.mark.parametrize(
    ("text", "kind"),
    [("maybe", "bool"), ("three", "int"), ("", "float"), ("[1", "list"), ("5", "list"), ("[]", "dict")],
)
def test_text_that_is_no_such_value_is_a_value_error(text: str, kind: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parameters.from_text(text, kind)


@pytest.mark.parametrize(
    ("remote", "local", "expected"),
    [
        ("5", 1, 5),
        ("0.5", 1, 0.5),
        (5, 0.1, 5.0),
        (0.5, 1, 0.5),
        ("False", True, False),
        (0, True, False),
        ("[1, 2]", [], [1, 2]),
        ((1, 2), [0], [1, 2]),
        ("GREEN", Colour.RED, Colour.GREEN),
        ("g", Colour.RED, Colour.GREEN),
        ("Colour.GREEN", Colour.RED, Colour.GREEN),
        (5, "text", "5"),
        (None, 3, None),
        ("text", None, "text"),
        (3, None, 3),
        ("/data", Path("/tmp"), Path("/data")),
        ("1.5", Decimal(1), Decimal("1.5")),
        ("no decimal", Decimal(1), "no decimal"),
        ("not a number", 3, "not a number"),
    ],
)
def test_a_remote_value_takes_the_type_the_script_has(remote: Any, local: Any, expected: Any) -> None:
    assert shape(parameters.localized(parameters.make("General/x", remote), local)) == shape(expected)


def test_an_enum_whose_module_is_not_imported_stays_a_name() -> None:
    parameter = parameters.make("x", "RED", kind="some.module.never.imported:Colour")
    assert parameters.value_of(parameter) == "RED"


def test_text_in_place_of_json_stands_for_itself() -> None:
    assert parameters.decode("{not json") == "{not json"
