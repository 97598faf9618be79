from __future__ import annotations

import io
import json
import math
from datetime import date
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import pyplot as plt
from PIL import Image

from tasktape.producers import plots
from tasktape.producers.figures import dumps, figure_json, merged
from tasktape.producers.images import image_payload
from tasktape.producers.mpl_figure import to_plotly
from tasktape.producers.tables import MOST_ROWS, Table, table, table_of

mpl.use("Agg")


class Tensor:
    """What a torch tensor looks like to those who do not import torch."""

    dtype = "torch.float32"

    def __init__(self, values: Any) -> None:
        self._values = np.array(values)

    def detach(self) -> Tensor:
        return self

    def cpu(self) -> Tensor:
        return self

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return np.array(self._values, dtype=dtype)

    def tolist(self) -> Any:
        return self._values.tolist()


def plotly_takes(figure: Any) -> dict[str, Any]:
    """The figure as plotly reads it back: it raises for a property that does not exist."""
    read: dict[str, Any] = json.loads(figure_json(figure))
    go.Figure(read)
    return read


FIGURES = {
    "histogram": plots.histogram("t", "s", [1, 2, 3], xlabels=["a", "b"], labels=["x"], mode="stack"),
    "rows of bars": plots.histogram("t", "s", np.eye(3), data_args={"opacity": 0.5}),
    "lines": plots.lines("t", [{"name": "a", "data": [[0, 1], [1, 2]]}], "x", "y", reverse_xaxis=True, comment="c"),
    "scatter2d": plots.scatter2d("t", "s", np.eye(2), labels=["p", "q"], mode="line"),
    "y alone": plots.scatter2d("t", "s", [5, 6, 7]),
    "scatter3d": plots.scatter3d("t", "s", np.eye(3), axes=("x", None, "z"), fill=True),
    "clouds": plots.scatter3d("t", "s", [np.eye(3), np.zeros((2, 3))], labels=[["a"] * 3, ["b"] * 2]),
    "heatmap": plots.heatmap("t", "s", np.eye(3), xlabels=["a", "b", "c"], numbers=True, yaxis_reversed=True),
    "surface": plots.surface(
        "t", "s", np.eye(3), camera=(1, 2, 3), xlabels=["a", "b", "c"], extra_layout={"width": 90}
    ),
    "table": table("t", "s", Table(["a", "b"], [[1, "x"], [2]]), {"width": 90}, {"cells": {"height": 20}}),
}


@pytest.mark.parametrize("name", FIGURES)
def test_plotly_knows_every_property_we_write(name: str) -> None:
    assert plotly_takes(FIGURES[name])["data"]


def test_values_and_labels_are_where_they_belong() -> None:
    bars = plotly_takes(FIGURES["histogram"])["data"][0]
    assert (bars["name"], bars["x"], bars["y"]) == ("x", ["a", "b", 2], [1, 2, 3])
    assert [row["y"] for row in plotly_takes(FIGURES["rows of bars"])["data"]] == np.eye(3).tolist()
    line = plotly_takes(FIGURES["lines"])
    assert (line["data"][0]["x"], line["data"][0]["y"]) == ([0, 1], [1, 2])
    assert line["layout"]["xaxis"]["autorange"] == "reversed"
    assert plotly_takes(FIGURES["y alone"])["data"][0]["x"] == [0, 1, 2]
    assert len(plotly_takes(FIGURES["clouds"])["data"]) == 2
    assert plotly_takes(FIGURES["surface"])["layout"]["width"] == 90
    assert plotly_takes(FIGURES["table"])["data"][0]["cells"]["values"] == [[1, 2], ["x", ""]]


@pytest.mark.parametrize(
    "values",
    [
        [1, 2, 3],
        (1, 2, 3),
        np.array([1, 2, 3]),
        Tensor([1, 2, 3]),
        pd.Series([1, 2, 3]),
        np.array([1, 2, 3], np.float32),
    ],
    ids=lambda value: type(value).__name__,
)
def test_arrays_of_any_make_are_arrays(values: Any) -> None:
    assert plotly_takes(plots.histogram("t", "s", values))["data"][0]["y"] == [1, 2, 3]


@pytest.mark.parametrize(
    "draw",
    [
        lambda: plots.heatmap("t", "s", [1, 2]),
        lambda: plots.scatter2d("t", "s", np.zeros((2, 4))),
        lambda: plots.scatter3d("t", "s", np.zeros((2, 2))),
        lambda: plots.histogram("t", "s", 5),
        lambda: plots.heatmap("t", "s", [[1, 2], [3]]),
        table_of,
        lambda: table_of([]),
        lambda: image_payload(np.zeros((2, 2, 7)), "x"),
        lambda: image_payload(np.zeros((0, 5)), "x"),
    ],
)
def test_shapes_that_cannot_be_drawn_are_value_errors(draw: Any) -> None:
    with pytest.raises(ValueError, match=r".+"):
        draw()


@settings(deadline=None)
@given(
    st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(), lambda x: st.lists(x, max_size=4))
)
def test_json_has_null_for_what_it_has_no_number_for(value: Any) -> None:
    def expected(item: Any) -> Any:
        if isinstance(item, list):
            return [expected(each) for each in item]
        return None if isinstance(item, float) and not math.isfinite(item) else item

    assert json.loads(dumps({"x": value})) == {"x": expected(value)}


def test_json_takes_arrays_scalars_dates_and_sets() -> None:
    value = {"a": np.array([1.0, math.nan]), "b": np.float32(0.5), "c": date(2025, 1, 2), "d": {3}, "e": Tensor([[1]])}
    assert json.loads(dumps(value)) == {"a": [1.0, None], "b": 0.5, "c": "2025-01-02", "d": [3], "e": [[1]]}


def test_a_plotly_figure_is_taken_as_it_is_and_a_stranger_is_a_type_error() -> None:
    figure = go.Figure(go.Scatter(x=[1, 2], y=[3, math.nan]))
    assert json.loads(figure_json(figure))["data"][0]["type"] == "scatter"
    with pytest.raises(TypeError, match="DataFrame"):
        figure_json(pd.DataFrame())


def test_layouts_are_merged_section_by_section() -> None:
    assert merged({"x": {"a": 1, "b": 2}, "y": 3}, {"x": {"b": 4}, "z": 5}) == {"x": {"a": 1, "b": 4}, "y": 3, "z": 5}


def test_tables_come_from_frames_rows_files_and_addresses(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('a,b\n1,"x, y"\n')
    expected = Table(["a", "b"], [["1", "x, y"]])
    assert table_of(csv_path=str(tmp_path / "t.csv")) == expected
    assert table_of(url=str(tmp_path / "t.csv")) == expected
    assert table_of(url=(tmp_path / "t.csv").as_uri()) == expected
    assert table_of([["a", "b"], [1, 2]]) == Table(["a", "b"], [[1, 2]])
    assert table_of(np.array([[1, 2], [3, 4]])) == Table(["1", "2"], [[3, 4]])
    frame = pd.DataFrame({"a": [1], "b": ["x"]})
    assert table_of(frame) == Table(["a", "b"], [[1, "x"]])
    assert table_of(frame.set_index("b")) == Table(["b", "a"], [["x", 1]])


def test_a_long_table_is_cut_and_says_so() -> None:
    figure = table("t", "s", Table(["a"], [[n] for n in range(MOST_ROWS + 1)]), None, None)
    assert len(figure["data"][0]["cells"]["values"][0]) == MOST_ROWS
    assert "10,000 of 10,001" in figure["layout"]["title"]["text"]


def pixels(image: Any) -> Any:
    return np.asarray(Image.open(io.BytesIO(image_payload(image, "x").data)))


def test_images_come_in_any_layout_and_range() -> None:
    colours = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
    assert np.array_equal(pixels(colours), colours)
    assert np.array_equal(pixels(colours.transpose(2, 0, 1)), colours)
    assert np.array_equal(pixels(Tensor(colours[None])), colours)
    assert np.array_equal(pixels(Image.fromarray(colours)), colours)
    assert np.array_equal(pixels(colours[:, :, :1]), colours[:, :, 0])
    assert np.array_equal(pixels(np.dstack([colours, colours[:, :, 0]])).shape, (4, 5, 4))
    assert pixels(np.array([[0.0, 0.5], [1.0, math.nan]])).tolist() == [[0, 128], [255, 0]]
    assert pixels(np.array([[-1.0, 0.0], [1.0, 1.0]])).tolist() == [[0, 128], [255, 255]]
    assert pixels(np.array([[0.0, 300.0], [17.6, -4.0]])).tolist() == [[0, 255], [18, 0]]
    assert pixels(np.array([[True, False]])).tolist() == [[255, 0]]
    assert pixels(np.array([[0, 65535]], np.uint16)).tolist() == [[0, 255]]
    assert pixels(np.array([[5, 999]], np.int64)).tolist() == [[5, 255]]


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "CMYK", "YCbCr", "F"])
def test_images_of_every_mode_become_png(mode: str) -> None:
    assert image_payload(Image.new(mode, (3, 2)), "x").data.startswith(b"\x89PNG")


def drawn(draw: Any) -> dict[str, Any] | None:
    figure, axes = plt.subplots()
    draw(axes)
    converted = to_plotly(figure)
    plt.close(figure)
    return None if converted is None else plotly_takes(converted)


def test_lines_points_bars_and_pixels_of_matplotlib_become_plotlys() -> None:
    line = drawn(lambda axes: (axes.plot([1, 2], [3, 4], "--o", label="a"), axes.legend(), axes.set_title("T")))
    assert line is not None
    assert line["data"][0] | {"x": [1, 2], "y": [3, 4], "mode": "lines+markers", "name": "a"} == line["data"][0]
    assert (line["layout"]["title"]["text"], line["data"][0]["line"]["dash"]) == ("T", "dash")
    points = drawn(lambda axes: axes.scatter([1, 2], [3, 4], c=["r", "b"]))
    assert points is not None
    assert points["data"][0]["marker"]["color"] == ["rgba(255,0,0,1)", "rgba(0,0,255,1)"]
    bars = drawn(lambda axes: axes.bar(["p", "q"], [5, 6]))
    assert bars is not None
    assert [max(bar["y"]) for bar in bars["data"]] == [5, 6]
    assert bars["layout"]["xaxis"]["ticktext"] == ["p", "q"]
    picture = drawn(lambda axes: axes.imshow([[1, 2], [3, 4]]))
    assert picture is not None
    assert picture["data"][0]["z"] == [[1, 2], [3, 4]]
    assert picture["layout"]["yaxis"]["range"] == [1.5, -0.5]
    logarithmic = drawn(lambda axes: axes.semilogy([1, 2], [10, 1000]))
    assert logarithmic is not None
    assert logarithmic["layout"]["yaxis"]["type"] == "log"


@pytest.mark.parametrize(
    "draw",
    [
        lambda axes: axes.imshow(np.zeros((2, 2, 3))),
        lambda axes: axes.fill_between([1, 2], [1, 2]),
        lambda axes: axes.axhline(3),
        lambda axes: axes.text(1, 1, "here"),
        lambda axes: axes.pie([1, 2]),
        lambda axes: axes.set_xscale("symlog"),
        lambda _: None,
    ],
    ids=["colours", "area", "line across", "text", "pie", "symlog", "nothing"],
)
def test_what_has_no_counterpart_is_better_left_a_picture(draw: Any) -> None:
    assert drawn(draw) is None


def test_axes_of_other_kinds_are_better_left_a_picture() -> None:
    for projection in ("3d", "polar"):
        figure = plt.figure()
        figure.add_subplot(projection=projection)
        assert to_plotly(figure) is None
        plt.close(figure)


def test_several_axes_keep_their_places() -> None:
    figure, axes = plt.subplots(2, 2)
    for each in axes.flat:
        each.plot([1, 2])
    converted = to_plotly(figure)
    plt.close(figure)
    assert converted is not None
    read = plotly_takes(converted)
    assert [trace["xaxis"] for trace in read["data"]] == ["x", "x2", "x3", "x4"]
    assert read["layout"]["xaxis2"]["domain"][0] > read["layout"]["xaxis"]["domain"][1]
