"""The plots of ClearML's Logger as plotly figures: pure functions from arrays to dicts.

Each takes anything NumPy makes an array of (tensors too), and raises `ValueError` where the shape is not what it needs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .figures import Figure, merged
from .text import shown

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.generic]


@dataclass
class SeriesInfo:
    """A line of `report_line_plot`: its name, its (x, y) points, and a text to show on hover for each."""

    name: str
    data: Any
    labels: Sequence[str] | None = None


def array(value: Any, *, what: str = "values") -> Array:
    """NumPy array of a list, tensor, series or array. Raises `ValueError` for what has no regular shape."""
    import numpy as np  # noqa: PLC0415  heavy: only who reports plots pays for it

    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = value.float() if str(value.dtype) == "torch.bfloat16" else value
    if hasattr(value, "todense"):
        value = value.todense()
    found = np.asarray(value)
    if not found.ndim:
        raise ValueError(f"{what} are {shown(value)}, not an array")
    return found


def points(value: Any, dimensions: int) -> Array:
    """Array of points, one in each row. With two dimensions a single column is taken as y over its index."""
    found = array(value, what="points")
    if dimensions == 2 and (found.ndim == 1 or found.shape[1:] == (1,)):  # noqa: PLR2004  x and y
        found = array(list(enumerate(found.reshape(-1))))
    if found.ndim != 2 or found.shape[1] != dimensions:  # noqa: PLR2004  rows of coordinates
        raise ValueError(f"points have the shape {found.shape}, not (n, {dimensions})")
    return found


def matrix(value: Any) -> Array:
    """Array of two dimensions."""
    found = array(value, what="a matrix's rows")
    if found.ndim != 2:  # noqa: PLR2004  rows and columns
        raise ValueError(f"a matrix has the shape {found.shape}, not (rows, columns)")
    return found


def _axis(name: str | None, **more: Any) -> Figure:
    return {"title": {"text": name or ""}} | more


def _layout(title: str, xaxis: Figure, yaxis: Figure, comment: str | None = None) -> Figure:
    text = f"{title}<br><sup>{comment}</sup>" if comment else title
    return {"title": {"text": text}, "xaxis": xaxis, "yaxis": yaxis, "hovermode": "closest"}


def _figure(traces: Iterable[Figure], layout: Figure, extra: Figure | None) -> Figure:
    return {"data": list(traces), "layout": merged(layout, extra)}


def histogram(
    title: str,
    series: str,
    values: Any,
    *,
    labels: Sequence[str] | None = None,
    xlabels: Sequence[str] | None = None,
    xaxis: str | None = None,
    yaxis: str | None = None,
    mode: str | None = None,
    data_args: Figure | None = None,
    extra_layout: Figure | None = None,
) -> Figure:
    """Bars: a value each; with two dimensions, a row of bars for each row, side by side or as `mode` says."""
    bars = array(values)
    rows = bars.reshape(1, -1) if bars.ndim == 1 else bars.reshape(len(bars), -1)
    names = _labels(labels, [series] if len(rows) == 1 else [f"{series} {n}" for n in range(len(rows))])
    x = _labels(xlabels, list(range(rows.shape[1])))
    traces = (
        {"type": "bar", "name": n, "x": x, "y": row} | (data_args or {}) for n, row in zip(names, rows, strict=True)
    )
    layout = _layout(title, _axis(xaxis), _axis(yaxis)) | {"barmode": mode or "group"}
    return _figure(traces, layout, extra_layout)


def lines(
    title: str,
    series: Iterable[Any],
    xaxis: str,
    yaxis: str,
    *,
    mode: str = "lines",
    reverse_xaxis: bool = False,
    comment: str | None = None,
    extra_layout: Figure | None = None,
) -> Figure:
    """Lines: each series, a dict or object, has `name` and `data` of (x, y) points, and `labels` to show on hover."""
    traces = [_line(number, each, mode) for number, each in enumerate(_series(series))]
    axis = _axis(xaxis, autorange="reversed") if reverse_xaxis else _axis(xaxis)
    return _figure(traces, _layout(title, axis, _axis(yaxis), comment), extra_layout)


def _series(series: Any) -> Iterable[Any]:
    """A lone series is as good as a list of one."""
    return [series] if isinstance(series, dict) or hasattr(series, "data") else series


def _line(number: int, series: Any, mode: str) -> Figure:
    known = series if isinstance(series, dict) else {k: getattr(series, k, None) for k in ("name", "data", "labels")}
    found = points(known["data"], 2)
    return _points_trace("scatter", known.get("name") or f"series {number}", found, mode, known.get("labels"))


def _points_trace(kind: str, name: str, found: Array, mode: str, labels: Sequence[str] | None) -> Figure:
    trace: Figure = {"type": kind, "name": name, "mode": mode} | dict(zip("xyz", found.T, strict=False))
    return trace | ({"text": list(labels), "hoverinfo": "text+x+y"} if labels is not None else {})


def scatter2d(
    title: str,
    series: str,
    scatter: Any,
    *,
    xaxis: str | None = None,
    yaxis: str | None = None,
    labels: Sequence[str] | None = None,
    mode: str = "lines",
    comment: str | None = None,
    extra_layout: Figure | None = None,
) -> Figure:
    """Points (x, y), as `mode` says: `lines`, `markers` or `lines+markers`."""
    trace = _points_trace("scatter", series, points(scatter, 2), "lines" if mode == "line" else mode, labels)
    return _figure([trace], _layout(title, _axis(xaxis), _axis(yaxis), comment), extra_layout)


def scatter3d(
    title: str,
    series: str,
    scatter: Any,
    *,
    axes: tuple[str | None, str | None, str | None] = (None, None, None),
    labels: Sequence[Any] | None = None,
    mode: str = "markers",
    fill: bool = False,
    comment: str | None = None,
    extra_layout: Figure | None = None,
) -> Figure:
    """Points (x, y, z); a list of arrays is a cloud each."""
    clouds = _clouds(scatter)
    many = len(clouds) > 1
    traces = [
        _points_trace(
            "scatter3d", f"{series} {n}" if many else series, points(cloud, 3), mode, _of(labels, n, many=many)
        )
        | ({"surfaceaxis": 1} if fill else {})
        for n, cloud in enumerate(clouds)
    ]
    return _figure(traces, _scene(title, axes, comment), extra_layout)


def _clouds(scatter: Any) -> list[Any]:
    """A list whose items are arrays of points is several clouds; a list of points is one."""
    if isinstance(scatter, (list, tuple)) and scatter and array(scatter[0]).ndim == 2:  # noqa: PLR2004  rows of points
        return list(scatter)
    return [scatter]


def _of(labels: Sequence[Any] | None, number: int, *, many: bool) -> Any:
    return labels[number] if many and labels is not None else labels


def _scene(title: str, axes: tuple[str | None, str | None, str | None], comment: str | None) -> Figure:
    layout = _layout(title, {}, {}, comment)
    scene = {f"{name}axis": _axis(text) for name, text in zip("xyz", axes, strict=True)}
    return {"title": layout["title"], "scene": scene}


def heatmap(
    title: str,
    series: str,
    values: Any,
    *,
    xaxis: str | None = None,
    yaxis: str | None = None,
    xlabels: Sequence[str] | None = None,
    ylabels: Sequence[str] | None = None,
    yaxis_reversed: bool = False,
    comment: str | None = None,
    numbers: bool = False,
    extra_layout: Figure | None = None,
) -> Figure:
    """Colours for the cells of a matrix; `numbers` writes each value into its cell. The first row is at the bottom."""
    cells = matrix(values)
    trace = {
        "type": "heatmap",
        "name": series,
        "z": cells,
        "x": _labels(xlabels, list(range(cells.shape[1]))),
        "y": _labels(ylabels, list(range(cells.shape[0]))),
    } | ({"texttemplate": "%{z}"} if numbers else {})
    vertical = _axis(yaxis, autorange="reversed") if yaxis_reversed else _axis(yaxis)
    return _figure([trace], _layout(title, _axis(xaxis), vertical, comment), extra_layout)


def _labels(labels: Sequence[Any] | None, otherwise: list[Any]) -> list[Any]:
    """A label for each place: those given as far as they go, then what there is otherwise."""
    given = [str(label) for label in labels][: len(otherwise)] if labels is not None else []
    return given + otherwise[len(given) :]


def surface(
    title: str,
    series: str,
    values: Any,
    *,
    axes: tuple[str | None, str | None, str | None] = (None, None, None),
    xlabels: Sequence[str] | None = None,
    ylabels: Sequence[str] | None = None,
    camera: Sequence[float] | None = None,
    comment: str | None = None,
    extra_layout: Figure | None = None,
) -> Figure:
    """A matrix as heights over a plane; `camera` is the eye's (x, y, z)."""
    trace = {"type": "surface", "name": series, "z": matrix(values), "contours": {"z": {"show": True}}}
    layout = _scene(title, axes, comment)
    for axis, labels in (("xaxis", xlabels), ("yaxis", ylabels)):
        if labels is not None:
            layout["scene"][axis] |= {"tickvals": list(range(len(labels))), "ticktext": [str(text) for text in labels]}
    if camera is not None:
        layout["scene"]["camera"] = {"eye": dict(zip("xyz", camera, strict=True))}
    return _figure([trace], layout, extra_layout)
