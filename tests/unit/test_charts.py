from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasktape.dashboard import charts


def table(*rows: tuple[str, str, int, int, float]) -> pa.Table:
    title, series, step, time, value = zip(*rows, strict=True)
    moments = pa.array(time, pa.timestamp("us", tz="UTC"))
    return pa.table({"title": title, "series": series, "step": step, "time": moments, "value": value})


SCALARS = table(
    ("loss", "train", 0, 5_000_000, 1.0),
    ("loss", "train", 1, 7_000_000, 0.5),
    ("loss", "validation", 1, 7_500_000, 0.7),
    (":monitor:machine", "cpu", 0, 5_000_000, 12.0),
)


def test_titles_are_sorted_and_the_machine_comes_last() -> None:
    assert charts.titles(SCALARS) == ["loss", ":monitor:machine"]


def test_curves_of_a_title_have_their_points_and_colours() -> None:
    train, validation = charts.curves(SCALARS, "loss", "Iterations")
    assert (train.label, train.x.tolist(), train.y.tolist()) == ("train", [0, 1], [1.0, 0.5])
    assert (validation.label, validation.x.tolist()) == ("validation", [1])
    assert train.color != validation.color


def test_time_from_start_is_in_seconds() -> None:
    assert charts.curves(SCALARS, "loss", "Time from start")[0].x.tolist() == [0.0, 2.0]


def test_wall_time_is_the_moment_itself() -> None:
    assert charts.curves(SCALARS, "loss", "Wall time")[0].x[1] == np.datetime64("1970-01-01T00:00:07")


def test_compared_tasks_have_a_colour_each_and_series_a_dash_each() -> None:
    lines = charts.compared([("a", SCALARS), ("b", SCALARS)], "loss", "Iterations")
    assert [line.label for line in lines] == ["a · train", "a · validation", "b · train", "b · validation"]
    assert lines[0].color == lines[1].color != lines[2].color
    assert lines[0].dash == lines[2].dash != lines[1].dash


@given(st.floats(0.01, 0.99), st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50))
def test_smoothed_values_stay_between_the_extremes(weight: float, values: list[float]) -> None:
    smoothed = charts.smooth(np.array(values), weight)
    assert smoothed.min() >= min(values) - 1e-3
    assert smoothed.max() <= max(values) + 1e-3


def test_smoothing_starts_at_the_first_value_and_keeps_gaps() -> None:
    smoothed = charts.smooth(np.array([5.0, np.nan, 5.0]), 0.9)
    assert smoothed[0] == pytest.approx(5.0)
    assert np.isnan(smoothed[1])
    assert smoothed[2] == pytest.approx(5.0)


def test_without_smoothing_values_are_as_reported() -> None:
    values = np.array([1.0, 9.0])
    assert charts.smooth(values, 0.0) is values


def test_a_smoothed_chart_keeps_the_reported_values_behind() -> None:
    lines = charts.curves(SCALARS, "loss", "Iterations")
    assert len(charts.scalar_figure(lines, x_axis="Iterations").data) == 2
    assert len(charts.scalar_figure(lines, smoothing=0.5, x_axis="Iterations").data) == 4


def test_a_log_scale_is_a_log_scale() -> None:
    assert charts.scalar_figure([], log=True, x_axis="Iterations").layout.yaxis.type == "log"


def test_markup_in_a_series_name_is_shown_not_obeyed() -> None:
    lines = charts.curves(table(("t", "<b>x</b>\n<a href='u'>y", 0, 0, 1.0)), "t", "Iterations")
    assert charts.scalar_figure(lines, x_axis="Iterations").data[0].name == "&lt;b&gt;x&lt;/b&gt; &lt;a href='u'&gt;y"


def test_a_users_figure_keeps_its_data_and_loads_nothing_from_elsewhere() -> None:
    images = [{"source": "https://example.com/x.png"}, {"source": "data:image/png;base64,AA=="}]
    content = {"data": [{"type": "bar", "y": [1, 2]}], "layout": {"images": images, "width": 9000}}
    figure = charts.user_figure(json.dumps(content))
    assert figure is not None
    assert list(figure.data[0].y) == [1, 2]
    assert [image.source for image in figure.layout.images] == ["data:image/png;base64,AA=="]
    assert figure.layout.width is None


@pytest.mark.parametrize("text", ["", "nonsense", "[]", "null", '{"data": 5}', '{"data": [{"type": "bogus"}]}'])
def test_what_is_no_figure_is_none_or_empty_but_never_an_error(text: str) -> None:
    figure = charts.user_figure(text)
    assert figure is None or len(figure.data) <= 1
