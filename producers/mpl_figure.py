"""Matplotlib figures as plotly figures, where that shows the same: lines, points, bars and pixel maps on plain axes.

Anything else in the figure, and the answer is None: a picture of it is better than a part of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Final
from weakref import WeakSet

from .figures import Figure

REPORTED: Final[WeakSet[Any]] = WeakSet()
"""Figures that a script reports itself: they are not reported once more when they are shown."""

_DASHES: Final = {"-": "solid", "--": "dash", ":": "dot", "-.": "dashdot"}
_MARKERS: Final = {
    mark: name
    for marks, name in (
        ("o.,", "circle"),
        ("s", "square"),
        ("^", "triangle-up"),
        ("v", "triangle-down"),
        ("<", "triangle-left"),
        (">", "triangle-right"),
        ("Dd", "diamond"),
        ("*", "star"),
        ("P", "cross"),
        ("X", "x"),
        ("+", "cross-thin-open"),
        ("x", "x-thin-open"),
        ("p", "pentagon"),
        ("hH", "hexagon"),
    )
    for mark in marks
}
_NO_MARKER: Final = {"None", "none", "", " ", None}
_FURNITURE: Final = {"Spine", "XAxis", "YAxis", "Text", "Legend", "Rectangle"}


class _UnknownArtistError(Exception):
    """Something in the figure has no counterpart."""


def to_plotly(figure: Any) -> Figure | None:
    """Plotly figure that shows what a matplotlib figure does; None where there is none."""
    data: list[Figure] = []
    layout: Figure = {"title": {"text": _title(figure)}, "showlegend": any(ax.get_legend() for ax in figure.axes)}
    try:
        for number, axes in enumerate(figure.axes, start=1):
            suffix = "" if number == 1 else str(number)
            data += [trace | {"xaxis": f"x{suffix}", "yaxis": f"y{suffix}"} for trace in _traces(axes)]
            layout |= _axes_layout(axes, suffix)
    except _UnknownArtistError:
        return None
    return {"data": data, "layout": layout} if data else None


def _title(figure: Any) -> str:
    own = figure.get_suptitle()
    return str(own or (figure.axes[0].get_title() if len(figure.axes) == 1 else ""))


def _traces(axes: Any) -> Iterator[Figure]:
    if axes.name != "rectilinear" or axes.texts or axes.tables or axes.child_axes:
        raise _UnknownArtistError
    for artist in axes.get_children():
        if artist.get_visible():
            yield from _trace(artist, axes)


def _trace(artist: Any, axes: Any) -> Iterator[Figure]:
    kind = type(artist).__name__
    if artist is axes.patch or (kind in _FURNITURE and artist not in axes.patches):
        return
    if kind == "AxesImage":
        yield _pixels(artist)
    elif kind in {"Line2D", "Rectangle", "PathCollection"} and _in_data_coordinates(artist, axes):
        yield {"Line2D": _line, "Rectangle": _bar, "PathCollection": _scatter}[kind](artist)
    else:
        raise _UnknownArtistError


def _in_data_coordinates(artist: Any, axes: Any) -> bool:
    transform = artist.get_offset_transform() if hasattr(artist, "get_offset_transform") else artist.get_transform()
    return bool(transform.contains_branch(axes.transData)) and not _is_blended(transform, axes)


def _is_blended(transform: Any, axes: Any) -> bool:
    """Whether one direction is in parts of the axes, as it is for `axhline`."""
    return bool(transform.contains_branch_seperately(axes.transData) != (True, True))


def _name(artist: Any) -> Figure:
    label = str(artist.get_label())
    return {"showlegend": False} if label.startswith("_") else {"name": label}


def _line(line: Any) -> Figure:
    dash, marker = line.get_linestyle(), line.get_marker()
    shown = [dash in _DASHES and "lines", marker not in _NO_MARKER and "markers"]
    return _name(line) | {
        "type": "scatter",
        "x": line.get_xdata(orig=False),
        "y": line.get_ydata(orig=False),
        "mode": "+".join(part for part in shown if part) or "none",
        "line": {"color": _colour(line.get_color()), "dash": _DASHES.get(dash, "solid"), "width": line.get_linewidth()},
        "marker": {
            "color": _colour(line.get_markerfacecolor()),
            "symbol": _MARKERS.get(marker, "circle"),
            "size": line.get_markersize(),
        },
    }


def _scatter(points: Any) -> Figure:
    offsets = points.get_offsets()
    colours = [_colour(colour) for colour in points.get_facecolors()]
    sizes = points.get_sizes() ** 0.5
    return _name(points) | {
        "type": "scatter",
        "mode": "markers",
        "x": offsets[:, 0],
        "y": offsets[:, 1],
        "marker": {
            "color": colours[0] if len(colours) == 1 else colours,
            "size": sizes[0] if len(sizes) == 1 else sizes,
        },
    }


def _bar(bar: Any) -> Figure:
    x, y, width, height = bar.get_x(), bar.get_y(), bar.get_width(), bar.get_height()
    return _name(bar) | {
        "type": "scatter",
        "mode": "lines",
        "fill": "toself",
        "fillcolor": _colour(bar.get_facecolor()),
        "line": {"width": 0},
        "x": [x, x, x + width, x + width, x],
        "y": [y, y + height, y + height, y, y],
    }


def _pixels(image: Any) -> Figure:
    cells = image.get_array()
    if cells.ndim != 2:  # noqa: PLR2004  colours of their own, not values
        raise _UnknownArtistError
    left, right, bottom, top = image.get_extent()
    rows, columns = cells.shape
    (dx, dy) = (right - left) / columns, ((bottom - top) if image.origin == "upper" else (top - bottom)) / rows
    first = top if image.origin == "upper" else bottom
    place = {"x0": left + dx / 2, "dx": dx, "y0": first + dy / 2, "dy": dy}
    colours = [[step / 16, _colour(image.get_cmap()(step / 16))] for step in range(17)]
    scale = {"colorscale": colours, "zmin": image.norm.vmin, "zmax": image.norm.vmax}
    return {"type": "heatmap", "z": cells.filled(float("nan")) if hasattr(cells, "filled") else cells} | place | scale


def _axes_layout(axes: Any, suffix: str) -> Figure:
    box = axes.get_position()
    x = _axis_layout(axes.xaxis, axes.get_xlim()) | {"domain": [box.x0, box.x1], "anchor": f"y{suffix}"}
    y = _axis_layout(axes.yaxis, axes.get_ylim()) | {"domain": [box.y0, box.y1], "anchor": f"x{suffix}"}
    return {f"xaxis{suffix}": x, f"yaxis{suffix}": y}


def _axis_layout(axis: Any, limits: tuple[float, float]) -> Figure:
    layout: Figure = {"title": {"text": str(axis.get_label_text())}}
    if axis.get_scale() == "log":
        return layout | {"type": "log", "range": [math.log10(limit) for limit in limits]}
    if axis.get_scale() != "linear":
        raise _UnknownArtistError
    layout["range"] = [float(limit) for limit in limits]
    if type(axis.get_major_formatter()).__name__ != "ScalarFormatter":
        ticks = axis.get_majorticklocs()
        layout |= {"tickvals": ticks, "ticktext": axis.get_major_formatter().format_ticks(ticks)}
    return layout


def _colour(colour: Any) -> str:
    from matplotlib.colors import to_rgba  # noqa: PLC0415  whoever has a figure has it loaded

    red, green, blue, alpha = to_rgba(colour)
    return f"rgba({red * 255:.0f},{green * 255:.0f},{blue * 255:.0f},{alpha:.3g})"
