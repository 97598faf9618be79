from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasktape.dashboard.columns import ChosenColumn, column_name, column_named, shown_cell, shown_parameter
from tasktape.projections.rows import MetricColumn, ParameterColumn

PARAMETERS = ["General/lr", "name", "a/b:max"]
METRICS = [("validation", "accuracy"), ("loss/aux", "train:min"), ("General", "lr"), (":monitor:gpu", "load")]


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("name", "name"),
        ("General/lr", ParameterColumn("General/lr")),
        ("General/lr:max", MetricColumn("General", "lr", "max")),
        ("validation/accuracy", MetricColumn("validation", "accuracy")),
        ("validation/accuracy:min", MetricColumn("validation", "accuracy", "min")),
        ("loss/aux/train:min", MetricColumn("loss/aux", "train:min")),
        ("loss/aux/train:min:last", MetricColumn("loss/aux", "train:min")),
        (":monitor:gpu/load:mean", MetricColumn(":monitor:gpu", "load", "mean")),
        ("a/b:max", ParameterColumn("a/b:max")),
        ("validation/accuracy:median", None),
        ("bogus", None),
        ("", None),
    ],
)
def test_a_name_finds_its_column(text: str, column: ChosenColumn | None) -> None:
    assert column_named(text, PARAMETERS, METRICS) == column


@pytest.mark.parametrize("aggregate", ["last", "min", "max", "first", "mean"])
@pytest.mark.parametrize("metric", [metric for metric in METRICS if metric != ("General", "lr")])
def test_a_metrics_name_leads_back_to_it(metric: tuple[str, str], aggregate: str) -> None:
    column = MetricColumn(*metric, aggregate)  # type: ignore[arg-type]
    assert column_named(column_name(column), PARAMETERS, METRICS) == column


@pytest.mark.parametrize(
    ("value", "shown"),
    [('"adam"', "adam"), ("0.1", "0.1"), ('"0.1"', '"0.1"'), ('""', '""'), ("null", "null"), ('"null"', '"null"')],
)
def test_a_text_that_looks_like_a_number_keeps_its_quotes(value: str, shown: str) -> None:
    assert shown_parameter(value) == shown


@given(st.one_of(st.none(), st.booleans(), st.integers(), st.text(), st.lists(st.integers())))
def test_two_parameters_that_differ_never_look_alike(value: object) -> None:
    shown = shown_parameter(json.dumps(value))
    assert shown == json.dumps(value) or shown == value


def test_what_is_no_json_is_shown_as_it_is() -> None:
    assert shown_parameter("{oops") == "{oops"


def test_cells_are_formatted_by_their_column() -> None:
    assert shown_cell(MetricColumn("a", "b"), 0.123456789) == "0.123457"
    assert shown_cell(ParameterColumn("a"), '"x"') == "x"
    assert shown_cell(ParameterColumn("a"), None) == ""
