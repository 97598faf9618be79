"""Ranges and objectives as people write them: what is written is what is tried, and errors point at their place."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasktape.producers.search.objectives import Objective
from tasktape.producers.search.parameters import (
    DiscreteParameterRange,
    LogUniformParameterRange,
    Parameter,
    UniformIntegerParameterRange,
    UniformParameterRange,
)
from tasktape.producers.search.written import WrittenError, objective, parameter

SPACES = st.sampled_from(["", " ", "\t  "])
NUMBERS = st.floats(-1e9, 1e9) | st.integers(-1000, 1000)
WORDS = st.text(st.sampled_from("abcxyz0189._-+/:=@ é"), min_size=1).map(str.strip).filter(bool)
JSON = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)


@st.composite
def numbers(draw: st.DrawFn) -> tuple[str, Parameter]:
    """A range of numbers, and a text for it, its later numbers by name or not."""
    low, high = sorted((draw(NUMBERS), draw(NUMBERS)))
    step = draw(st.none() | st.floats(0.001, 1e6))
    third = [] if step is None else [f"{draw(st.sampled_from(['', 'step=', 'step = ']))}{step!r}"]
    return written(draw, "uniform", [repr(low), repr(high), *third]), UniformParameterRange("n", low, high, step)


@st.composite
def powers(draw: st.DrawFn) -> tuple[str, Parameter]:
    low, high = sorted((draw(st.integers(-8, 8)), draw(st.integers(-8, 8))))
    base = draw(st.none() | st.sampled_from([2, 10, 0.5]))
    step = draw(st.none() | st.sampled_from([0.5, 1]))
    more = [*([] if base is None else [repr(base)]), *([] if step is None else [f"step={step!r}"])]
    return written(draw, "LogUniform", [str(low), str(high), *more]), LogUniformParameterRange(
        "n", low, high, base or 10, step
    )


@st.composite
def whole(draw: st.DrawFn) -> tuple[str, Parameter]:
    low, high = sorted((draw(st.integers(-1000, 1000)), draw(st.integers(-1000, 1000))))
    step = draw(st.none() | st.integers(1, 50))
    items = [f"max={high}", f"min={low}"] if draw(st.booleans()) else [str(low), str(high)]
    kind = draw(st.sampled_from(["int", "uniformint"]))
    text = written(draw, kind, [*items, *([] if step is None else [f"step={step}"])])
    return text, UniformIntegerParameterRange("n", low, high, step or 1)


@st.composite
def choices(draw: st.DrawFn) -> tuple[str, Parameter]:
    """Texts, quoted where they have to be, and what JSON has."""
    values: list[Any] = draw(st.lists(st.text() | JSON | st.lists(st.integers(), max_size=2), min_size=1))
    texts = [repr(value) if isinstance(value, str | list) else str(value) for value in values]
    kind = draw(st.sampled_from(["choice", ""]))
    text = written(draw, kind, texts, "[]" if not kind else "()")
    return text, DiscreteParameterRange("n", values)


def written(draw: st.DrawFn, kind: str, items: list[str], brackets: str = "()") -> str:
    inside = ",".join(f"{draw(SPACES)}{item}{draw(SPACES)}" for item in items)
    return f"n={draw(SPACES)}{kind}{brackets[0]}{inside}{brackets[1]}{draw(SPACES)}"


@given(numbers() | powers() | whole() | choices())
def test_a_range_is_what_was_written(given: tuple[str, Parameter]) -> None:
    text, meant = given
    assert parameter(text).range("n") == meant


@given(st.lists(WORDS, min_size=1))
def test_values_of_a_text_parameter_are_the_words_as_they_stand(words: list[str]) -> None:
    found = parameter(f"General/kind=choice({', '.join(words)})").range("General/kind", "str")
    assert found == DiscreteParameterRange("General/kind", words)


@pytest.mark.parametrize(
    ("type_name", "text", "values"),
    [
        ("int", "[8, 16]", [8, 16]),
        ("float", "[1, 0.5, 1e-3]", [1.0, 0.5, 0.001]),
        ("bool", "[yes, false]", [True, False]),
        ("str", "[1, true, 'a, b']", ["1", "true", "a, b"]),
        ("list", "[[1, 2], [3]]", [[1, 2], [3]]),
        ("tuple", "[(1, 2), (3,)]", [[1, 2], [3]]),
        ("dict", '[{"a": [1, 2]}, {}]', [{"a": [1, 2]}, {}]),
        ("NoneType", "[none, 3, 'none', adam]", [None, 3, "none", "adam"]),
        ("", "[null, 0.5, true, 01x]", [None, 0.5, True, "01x"]),
        ("shop:Kind", "[RED, BLUE]", ["RED", "BLUE"]),
    ],
)
def test_values_have_the_type_that_the_task_has(type_name: str, text: str, values: list[Any]) -> None:
    (found,) = [parameter(f"n={text}").range("n", type_name)]
    assert [list(each.values()) for each in found.to_list()] == [[value] for value in values]
    assert [type(next(iter(each.values()))) for each in found.to_list()] == [type(value) for value in values]


@pytest.mark.parametrize(
    ("text", "mark", "reason"),
    [
        ("lr", "  ^", "NAME=RANGE"),
        ("=uniform(0, 1)", "^", "NAME=RANGE"),
        ("lr=0.5", "   ^", "no range"),
        ("lr=normal(0, 1)", "   ^", "no ranges 'normal'"),
        ("lr=uniform[0, 1]", "   ^", "no ranges"),
        ("lr=uniform(0, one)", "              ^", "'one' is no number"),
        ("lr=uniform(0, max=one)", "                  ^", "'one' is no number"),
        ("lr=uniform(0)", "            ^", "max of the range is missing"),
        ("lr=uniform(0, 1, 2, 3)", "                    ^", "min, max, step"),
        ("lr=uniform(0, 1, min=3)", "                 ^", "each once"),
        ("lr=uniform(2, 1)", "   ^", "exchange them"),
        ("n=int(1, 2.5)", "  ^", "whole number"),
        ("n=choice(a,, b)", "           ^", "missing here"),
        ("n=[]", "   ^", "missing here"),
        ("n=[a, 'b]", "      ^", "never closed"),
        ("n=[a, (b]", "        ^", "closes nothing"),
        ("n=[a, (b)", "  ^", "never closed"),
        ("n=[a] b", "      ^", "nothing may follow"),
        ("n=['\\x']", "   ^", "Python can't read"),
    ],
)
def test_an_error_points_at_its_place(text: str, mark: str, reason: str) -> None:
    with pytest.raises(WrittenError) as raised:
        parameter(text).range("n")
    assert reason in raised.value.reason
    assert str(raised.value).splitlines()[1:] == [f"  {text}", f"  {mark}"]
    assert raised.value.column == len(mark)


@pytest.mark.parametrize(
    ("type_name", "text", "reason"),
    [
        ("bool", "n=uniform(0, 1)", "of the type bool"),
        ("int", "n=uniform(1, 20)", "write int(1, 20), or 1.0"),
        ("int", "n=[1, many]", "many is no int"),
        ("bool", "n=[true, maybe]", "maybe is no bool"),
    ],
)
def test_what_does_not_fit_the_tasks_parameter_is_refused(type_name: str, text: str, reason: str) -> None:
    with pytest.raises(WrittenError, match="n=") as raised:
        parameter(text).range("n", type_name)
    assert reason in raised.value.reason


@pytest.mark.parametrize("text", ["n=uniform(0.0, 1)", "n=uniform(0, 1, 0.5)"])
def test_fractions_of_what_the_task_holds_as_a_whole_number_are_tried_where_they_are_meant(text: str) -> None:
    assert isinstance(parameter(text).range("n", "int"), UniformParameterRange)


@given(
    st.text(min_size=1),
    st.text(min_size=1).filter(lambda series: "/" not in series),
    st.sampled_from(["min", "max", "min_global", "max_global"]),
)
def test_an_objective_is_what_was_written(title: str, series: str, sign: str) -> None:
    order, _, extremum = sign.partition("_")
    assert objective(f"{title}/{series}:{sign}") == Objective(title, series, order, bool(extremum))


@pytest.mark.parametrize(
    ("text", "column"), [("loss/test", 10), ("loss/test:best", 11), ("loss:min", 1), ("/x:min", 1), ("x/:max", 1)]
)
def test_what_is_no_objective_is_refused(text: str, column: int) -> None:
    with pytest.raises(WrittenError) as raised:
        objective(text)
    assert raised.value.column == column
