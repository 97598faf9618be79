"""A pipeline drawn as a plotly figure, and told as a table: pure functions from its steps to dicts and rows.

The controller reports both as plots of its task, the dashboard draws the figure anew when a step has changed. Nothing
in them grows with time: what is reported stays true, and a browser loses clicks on a figure that has been replaced.
"""

from __future__ import annotations

import html
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

from ...projections.pipeline_fold import StepState
from ..figures import Figure
from ..text import duration, one_line, utc_time
from .layout import HALF_HEIGHT, HALF_WIDTH, Layout, layout, way

FLOW: Final = ("Pipeline", "Execution Flow")
"""Title and series of the figure among the plots of the controller's task."""
DETAILS: Final = ("Pipeline Details", "Execution Details")
"""Title and series of the table there."""
COLORS: Final[Mapping[str, str]] = {
    "pending": "#6a7282",
    "queued": "#7455c4",
    "running": "#2f6fd6",
    "completed": "#23875f",
    "cached": "#4b9c7a",
    "failed": "#c8374a",
    "aborted": "#c87516",
    "skipped": "#8d95a6",
}
"""The dashboard's colours for statuses of tasks, on which white is read in light and in dark."""
ROW_PIXELS: Final = 46
SHOWN_ROWS: Final = 9
"""Rows shown at first where the figure stands among other plots; dragging shows the others."""
_FEWEST_ACROSS: Final = 4
_LABEL: Final = 152
"""Letters that fit across the figure."""
_MOST_EDGES: Final = 4000
_NAMED_PARENTS: Final = 5
_AIMS: Final = (-0.24, 0.0, 0.24)
"""Places of the points in a box, from its middle: with these all of it can be clicked on."""
_EDGE: Final = "rgba(128, 139, 160, 0.55)"
_MARGIN: Final = {"l": 4, "r": 4, "t": 36, "b": 4}
_HEADING: Final = ["Step", "Status", "Task", "Queue", "Started", "Duration", "Message"]


class Node(NamedTuple):
    """What is drawn of a step."""

    name: str
    status: str
    parents: Sequence[str] = ()
    child: str = ""
    child_run: int = 0
    queue: str = ""
    stage: str = ""
    base: str = ""
    retries: int = 0
    message: str = ""
    queued_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None

    @classmethod
    def of(cls, step: StepState) -> Node:
        """What is drawn of a step of the fold's."""
        told = {name: getattr(step, name) for name in cls._fields if hasattr(step, name)}
        return cls(**told, parents=step.definition.parents, stage=step.definition.stage, base=step.definition.base)

    def took(self) -> str:
        """How long it ran; nothing where it never did, or is not over."""
        if self.started_at is None or self.ended_at is None:
            return ""
        return duration((self.ended_at - self.started_at).total_seconds())

    def state(self) -> str:
        """Status, time and retries in a few words, which stay true as time goes on."""
        since = {"queued": self.queued_at, "running": self.started_at}.get(self.status)
        status = f"{self.status} since {since.astimezone(UTC):%H:%M} UTC" if since else self.status
        return " · ".join(filter(None, [status, self.took(), f"retry {self.retries}" if self.retries else ""]))


def execution_flow(steps: Mapping[str, StepState]) -> Figure:
    """Return the graph of a pipeline, to be reported: as much as fits among plots, from what is not over yet on."""
    nodes = [Node.of(step) for step in steps.values()]
    found = layout({node.name: node.parents for node in nodes})
    figure = drawn(nodes, found, aims=(0.0,))
    shown = min(found.rows, SHOWN_ROWS)
    first = min(_first_open(nodes, found), max(found.rows - shown, 0.0))
    figure["layout"] |= {"height": _height(shown), "dragmode": "pan"}
    figure["layout"]["yaxis"] |= {"range": [first + shown - 0.5, first - 0.5], "fixedrange": False}
    return figure


def drawn(nodes: Sequence[Node], found: Layout | None = None, *, aims: Sequence[float] = _AIMS) -> Figure:
    """Return the whole graph as a figure as high as it needs; `customdata` of its points are the steps' tasks.

    `aims` are where in each box there is a point to click on: a single one makes the figure a third as large.
    """
    found = found or layout({node.name: node.parents for node in nodes})
    across = max(found.across, _FEWEST_ACROSS)
    hidden: Figure = {"visible": False, "fixedrange": True}
    return {
        "data": [
            _edges(nodes, found),
            *_boxes(nodes, found),
            _labels(nodes, found, _LABEL // across),
            _targets(nodes, found, aims),
        ],
        "layout": {
            "height": _height(found.rows),
            "margin": dict(_MARGIN),
            "xaxis": hidden | {"range": [found.across / 2 - 0.5 - across / 2, found.across / 2 - 0.5 + across / 2]},
            "yaxis": hidden | {"range": [found.rows - 0.5, -0.5]},
            "hovermode": "closest",
            "hoverdistance": 32,
            "legend": {"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom", "itemclick": False},
            "plot_bgcolor": "rgba(0, 0, 0, 0)",
            "uirevision": "kept",
        },
    }


def execution_details(steps: Mapping[str, StepState]) -> list[list[str]]:
    """Return the table of a pipeline's steps; the first row is its heading."""
    return [_HEADING, *(_detail(Node.of(step)) for step in steps.values())]


def _detail(node: Node) -> list[str]:
    message = one_line(node.message, 400)
    return [node.name, node.status, node.child, node.queue, _moment(node.started_at), node.took(), message]


def _height(rows: float) -> int:
    return round(max(rows, 1) * ROW_PIXELS) + _MARGIN["t"] + _MARGIN["b"]


def _first_open(nodes: Iterable[Node], found: Layout) -> float:
    """Where the first band begins in which something runs, or is still to run."""
    tops = [found.places[node.name].top for node in nodes if node.status in {"pending", "queued", "running"}]
    return min(tops, default=0.0)


def _edges(nodes: Sequence[Node], found: Layout) -> Figure:
    """All lines as one; of steps with very many parents some are left out."""
    most = max(_MOST_EDGES // max(len(nodes), 1), 1)
    x: list[float | None] = []
    y: list[float | None] = []
    for node in nodes:
        for parent in [name for name in node.parents if name in found.places][-most:]:
            points = way(found.places[parent], found.places[node.name])
            x += [*(round(point[0], 3) for point in points), None]
            y += [*(round(point[1], 3) for point in points), None]
    line = {"color": _EDGE, "width": 1.5}
    return {"type": "scatter", "mode": "lines", "x": x, "y": y, "line": line, "hoverinfo": "skip", "showlegend": False}


def _boxes(nodes: Sequence[Node], found: Layout) -> Iterator[Figure]:
    """The boxes of each status; the legend counts them."""
    by_status: defaultdict[str, list[str]] = defaultdict(list)
    for node in nodes:
        by_status[node.status].append(node.name)
    for status, color in COLORS.items():
        if names := by_status[status]:
            x, y = _rectangles(names, found)
            about: Figure = {"type": "scatter", "mode": "lines", "fill": "toself", "hoverinfo": "skip"}
            shape = {"x": x, "y": y, "fillcolor": color, "line": {"color": color, "width": 2}}
            yield about | shape | {"name": f"{status} {len(names):,}", "showlegend": True}


def _rectangles(names: Iterable[str], found: Layout) -> tuple[list[float | None], list[float | None]]:
    x: list[float | None] = []
    y: list[float | None] = []
    for name in names:
        place = found.places[name]
        left, right = round(place.x - HALF_WIDTH, 3), round(place.x + HALF_WIDTH, 3)
        upper, lower = round(place.y - HALF_HEIGHT, 3), round(place.y + HALF_HEIGHT, 3)
        x += [left, right, right, left, left, None]
        y += [upper, upper, lower, lower, upper, None]
    return x, y


def _labels(nodes: Sequence[Node], found: Layout, width: int) -> Figure:
    """What stands in the boxes."""
    return {
        "type": "scatter",
        "mode": "text",
        "x": [found.places[node.name].x for node in nodes],
        "y": [found.places[node.name].y for node in nodes],
        "text": [f"<b>{_text(node.name, width)}</b><br>{_text(node.state(), width + 4)}" for node in nodes],
        "textfont": {"color": "#ffffff", "size": 11},
        "hoverinfo": "skip",
        "showlegend": False,
    }


def _targets(nodes: Sequence[Node], found: Layout, aims: Sequence[float]) -> Figure:
    """Points that can't be seen, to hover and to click on."""
    aimed = [(node, offset) for node in nodes for offset in aims]
    unseen = {"marker": {"opacity": 0}}
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [round(found.places[node.name].x + offset, 3) for node, offset in aimed],
        "y": [found.places[node.name].y for node, _ in aimed],
        "marker": {"size": 0.8 * ROW_PIXELS, "opacity": 0, "symbol": "square"},
        "selected": unseen,
        "unselected": unseen,
        "hovertext": [told for told in map(_told, nodes) for _ in aims],
        "hoverinfo": "text",
        "hoverlabel": {
            "align": "left",
            "bgcolor": [COLORS.get(node.status, _EDGE) for node, _ in aimed],
            "bordercolor": "#ffffff",
            "font": {"color": "#ffffff"},
        },
        "customdata": [node.child for node, _ in aimed],
        "showlegend": False,
    }


def _told(node: Node) -> str:
    """All about a step, a line for each thing."""
    others = len(node.parents) - _NAMED_PARENTS
    parents = ", ".join(node.parents[:_NAMED_PARENTS]) + (f" and {others:,} more" if others > 0 else "")
    facts = {
        "task": f"{node.child}{f', run {node.child_run}' if node.child_run else ''}" if node.child else "",
        "queue": node.queue,
        "stage": node.stage,
        "runs": node.base,
        "after": parents,
        "queued": _moment(node.queued_at),
        "started": _moment(node.started_at),
        "message": node.message,
    }
    lines = [f"{name}: {_text(value, 80)}" for name, value in facts.items() if value]
    return "<br>".join([f"<b>{_text(node.name, 80)}</b>", _text(node.state(), 80), *lines])


def _moment(moment: datetime | None) -> str:
    return utc_time(moment) if moment else ""


def _text(text: str, width: int) -> str:
    """Text that plotly shows as it is: its own HTML-like markup does not count."""
    return html.escape(one_line(text, width), quote=False)
