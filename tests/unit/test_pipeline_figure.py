"""A pipeline as a figure and as a table: where its steps stand, what is told of each, however many there are."""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import plotly.graph_objects as go
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasktape.dashboard.theme import APP
from tasktape.events.pipeline_events import PipelineStep
from tasktape.producers.pipelines.figure import COLORS, Node, drawn, execution_details, execution_flow
from tasktape.producers.pipelines.layout import ACROSS, TALLEST, Layout, layout, way
from tasktape.projections.pipeline_fold import StepState

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def state(name: str, parents: Sequence[str] = (), **fields: Any) -> StepState:
    return StepState(PipelineStep(name=name, parents=list(parents), stage="train", base="fit.py"), **fields)


def before(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def by_name(*steps: StepState) -> dict[str, StepState]:
    return {step.name: step for step in steps}


STEPS = by_name(
    state("load", status="completed", child="t1", child_run=2, started_at=before(200), ended_at=before(75)),
    state("fit <b>", ["load"], status="running", child="t2", queue="gpu", started_at=before(65), retries=1),
    state("test", ["load"], status="queued", child="t3", queued_at=before(5)),
    state("join", ["fit <b>", "test"], message="line\nbreak"),
)


def trace(figure: dict[str, Any], mode: str) -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in figure["data"] if one["mode"] == mode)
    return found


def test_a_figure_tells_state_time_and_task_of_each_step() -> None:
    figure = execution_flow(STEPS)
    assert trace(figure, "text")["text"] == [
        "<b>load</b><br>completed · 2 min 5 s",
        "<b>fit &lt;b&gt;</b><br>running since 11:58 UTC · retry 1",
        "<b>test</b><br>queued since 11:59 UTC",
        "<b>join</b><br>pending",
    ]
    targets = trace(figure, "markers")
    assert targets["customdata"] == ["t1", "t2", "t3", ""]
    assert (
        "task: t1, run 2<br>stage: train<br>runs: fit.py<br>started: 2026-01-01 11:56:40 UTC" in targets["hovertext"][0]
    )
    assert "message: line break" in targets["hovertext"][-1]
    go.Figure(figure)


def test_boxes_have_their_statuses_colour_and_the_legend_counts_them() -> None:
    boxes = [one for one in execution_flow(STEPS)["data"] if one.get("fill")]
    assert {box["name"]: box["fillcolor"] for box in boxes} == {
        f"{status} 1": COLORS[status] for status in ("pending", "queued", "running", "completed")
    }


def test_statuses_have_the_dashboards_colours() -> None:
    theme = tomllib.loads(APP.with_name("theme.toml").read_text())["theme"]["light"]
    shared = {"pending": "gray", "queued": "violet", "running": "blue", "completed": "green", "failed": "red"}
    assert {status: COLORS[status] for status in shared} == {s: theme[f"{name}Color"] for s, name in shared.items()}
    assert COLORS["aborted"] == theme["orangeColor"]


def test_a_table_tells_the_steps_in_order() -> None:
    assert execution_details(STEPS) == [
        ["Step", "Status", "Task", "Queue", "Started", "Duration", "Message"],
        ["load", "completed", "t1", "", "2026-01-01 11:56:40 UTC", "2 min 5 s", ""],
        ["fit <b>", "running", "t2", "gpu", "2026-01-01 11:58:55 UTC", "", ""],
        ["test", "queued", "t3", "", "", "", ""],
        ["join", "pending", "", "", "", "", "line break"],
    ]


def test_lines_join_a_step_with_those_it_depends_on() -> None:
    figure = drawn([Node.of(step) for step in STEPS.values()])
    assert trace(figure, "lines")["x"].count(None) == 4
    places = layout({name: step.definition.parents for name, step in STEPS.items()}).places
    assert [places[name].x for name in STEPS] == [0, 1, 1, 2]
    for name in ("fit <b>", "test"):
        points = way(places["load"], places[name])
        assert (points[0][1], points[-1][1]) == (places["load"].y, places[name].y)
        assert all(left[0] < right[0] for left, right in pairwise(points))


def tallest(found: Layout) -> int:
    """Steps in the tallest column."""
    return max(Counter((place.top, place.x) for place in found.places.values()).values(), default=0)


WIDE = {"first": [], **{f"s{n}": ["first"] for n in range(500)}, "last": [f"s{n}" for n in range(500)]}
DEEP = {f"s{n}": [f"s{n - 1}"] if n else [] for n in range(500)}
DENSE = {f"s{n}": [f"s{m}" for m in range(n)] for n in range(500)}


@pytest.mark.parametrize("parents", [WIDE, DEEP, DENSE, {}], ids=["wide", "deep", "dense", "none"])
def test_however_many_steps_there_are_each_has_a_place_of_a_size_to_read(parents: Mapping[str, list[str]]) -> None:
    found = layout(parents)
    assert len({place[:2] for place in found.places.values()}) == len(parents)
    assert found.across <= ACROSS
    assert tallest(found) <= TALLEST
    steps = by_name(*(state(name, after) for name, after in parents.items()))
    whole, report = drawn([Node.of(step) for step in steps.values()]), execution_flow(steps)
    assert whole["layout"]["height"] >= 46 * found.rows
    assert report["layout"]["height"] <= 460
    assert len(json.dumps(report)) < 420_000


def test_a_figure_shows_first_what_is_under_way() -> None:
    steps = by_name(*(state(name, after, status="completed") for name, after in DEEP.items()))
    steps |= by_name(state("s400", ["s399"], status="running"))
    (lower, upper) = execution_flow(steps)["layout"]["yaxis"]["range"]
    row = layout(DEEP).places["s400"].y
    assert upper < row < lower
    done = by_name(*(state(name, after, status="completed") for name, after in DEEP.items()))
    assert execution_flow(done)["layout"]["yaxis"]["range"][1] == -0.5


def test_steps_that_wait_for_themselves_or_for_nobody_have_a_place_too() -> None:
    found = layout({"a": ["b"], "b": ["a"], "c": ["nobody"], "d": ["b"]})
    assert set(found.places) == {*"abcd"}
    assert len(way(found.places["a"], found.places["b"])) > 1


@given(st.lists(st.sets(st.integers(0, 30), max_size=4), max_size=60))
def test_a_step_stands_behind_all_it_depends_on(drawn_parents: list[set[int]]) -> None:
    parents = {str(n): [str(m) for m in found if m < n] for n, found in enumerate(drawn_parents)}
    places = layout(parents).places
    for name, found in parents.items():
        for parent in found:
            assert (places[parent].top, places[parent].x) < (places[name].top, places[name].x)
