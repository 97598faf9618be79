"""A search drawn as plotly figures and told as a table: pure functions from its trials to dicts and rows.

The controller reports them as plots of its task, under ClearML's titles; the command line writes them into a page.
"""

from __future__ import annotations

import html
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeVar

from ...events.search_events import Objective
from ...projections.search_fold import TrialState
from ..figures import Figure
from ..parameters import DEFAULT_SECTION, text_of, value_of
from ..text import one_line
from .objectives import objectives as compared

OBJECTIVE: Final = "Optimization Objective"
"""Title of the objective over the trials; its series is the objective's title."""
SUMMARY: Final = ("summary", "job")
"""Title and series of the table of trials."""
PARALLEL: Final = ("Parallel Coordinates", "")
"""Title and series of the parameters against the objective."""
IMPORTANCE: Final = ("Hyper-Parameter Importance", "")
"""Title and series of how much of the objective each parameter explains."""
MOST: Final = 1000
"""Trials drawn at most: a browser takes its time for more, and nobody tells them apart."""
_STATUS_COLORS: Final = {"completed": "#23875f", "pruned": "#8d95a6", "aborted": "#c87516", "failed": "#c8374a"}
"""The dashboard's colours for statuses."""
_BEST: Final = "#2f6fd6"
_SCALE: Final = [[0.0, "#a3acbb"], [0.6, "#5b8def"], [1.0, "#e8590c"]]
"""From the worst to the best, seen in light and in dark."""
_CROWD: Final = 200
_DOT, _SMALL_DOT = 6, 4
"""Pixels of a trial among some and among many."""
_COLUMNS: Final = 8
_LABEL: Final = 24
_SHORT: Final = 6
_ACROSS: Final = 120
"""Letters that fit side by side above the axes of parallel coordinates."""
_TICKS: Final = 20
_NONE: Final = "none"
_TOLD: Final = 60
T = TypeVar("T")


class Shown(NamedTuple):
    """What is shown of a trial. `values` are those of the objectives, empty where there are none."""

    number: int
    child: str
    status: str
    values: Sequence[float] = ()
    iteration: int = 0
    parameters: Mapping[str, Any] = {}

    @classmethod
    def of(cls, trial: TrialState) -> Shown:
        """What is shown of a trial of the fold's."""
        parameters = {held.name: value_of(held) for held in trial.parameters}
        return cls(trial.number, trial.child, trial.status, trial.values, trial.iteration, parameters)


def summary_table(
    trials: Sequence[Shown], objectives: Sequence[Objective], most: int | None = None
) -> list[list[object]]:
    """Return the table of the trials (at most so many), the best first; the first row is its heading."""
    names = parameter_names(trials)
    heading = ["trial", "task id", "status", *map(objective_name, objectives), "iteration", *map(short_name, names)]
    return [[*heading], *(_row(trial, len(objectives), names) for trial in ranked(trials, objectives)[:most])]


def ranked(trials: Sequence[Shown], objectives: Sequence[Objective]) -> list[Shown]:
    """Return the trials, the best first; behind them those that failed or have no values, by number."""
    signs = [one.sign for one in objectives]
    judge = compared([one.title for one in objectives], [one.series for one in objectives], signs)
    told = [trial.values if trial.values and trial.status != "failed" else None for trial in trials]
    best = [trials[place] for place in judge.ranking(told)]
    return [*best, *(trial for trial, values in zip(trials, told, strict=True) if values is None)]


def objective_plot(trials: Sequence[Shown], objective: Objective, place: int = 0, most: int = MOST) -> Figure:
    """Return an objective's values over the trials, a colour for each status, and the best so far as a line.

    Of more than so many trials some are drawn, the best among them.
    """
    seen = [trial for trial in trials if len(trial.values) > place]
    shown = thinned(seen, [objective], most, place)
    by_status = {status: [trial for trial in shown if trial.status == status] for status in _STATUS_COLORS}
    size = _DOT if len(shown) <= _CROWD else _SMALL_DOT
    points = [_points(found, status, place, size) for status, found in by_status.items()]
    counted = f" ({len(shown):,} of {len(seen):,} drawn)" if len(shown) < len(seen) else ""
    return {
        "data": [
            *(trace for trace in points if trace["x"]),
            _best_so_far([trial for trial in seen if trial.status != "failed"], objective, place, most),
        ],
        "layout": {
            "title": {"text": _text(objective_name(objective), _TOLD)},
            "xaxis": {"title": {"text": f"trial{counted}"}},
            "yaxis": {"title": {"text": _text(objective_name(objective), _LABEL)}},
            "hovermode": "closest",
        },
    }


def parallel_coordinates(
    trials: Sequence[Shown], objectives: Sequence[Objective], powers: Collection[str] = (), most: int = MOST
) -> Figure | None:
    """Return parameters and objectives as parallel axes, a line for each trial with values; None without any.

    `powers` are the full names of parameters whose axes are logarithmic.
    """
    finite = [trial for trial in trials if trial.values and all(map(math.isfinite, trial.values))]
    if not finite:
        return None
    seen = thinned(finite, objectives, most)
    names = parameter_names(seen)
    width = min(max(_ACROSS // (len(names) + len(objectives)), _SHORT), _LABEL)
    axes = [
        {
            "label": _text(short_name(name), width),
            **_axis([trial.parameters.get(name) for trial in seen], log=name in powers, width=width),
        }
        for name in names
    ]
    axes += [
        {"label": _text(objective_name(one), width), "values": [trial.values[place] for trial in seen]}
        for place, one in enumerate(objectives)
    ]
    line = {
        "color": [trial.values[0] for trial in seen],
        "colorscale": _SCALE,
        "reversescale": not _is_max(objectives[0]),
        "showscale": True,
    }
    fonts = {"labelfont": {"size": 13}, "tickfont": {"size": 12}}
    return {"data": [{"type": "parcoords", "line": line, "dimensions": axes, **fonts}], "layout": {}}


def thinned(
    trials: Sequence[Shown], objectives: Sequence[Objective], most: int = MOST, first: int = 0
) -> Sequence[Shown]:
    """Return about so many of the trials, in their order and evenly chosen, with the best by each of the objectives.

    `first` is the place of the first of these objectives among a trial's values.
    """
    if len(trials) <= most:
        return trials
    kept = {trial.number: trial for trial in evenly(trials, most)}
    best = (best_of(trials, objective, place) for place, objective in enumerate(objectives, start=first))
    kept |= {trial.number: trial for trial in best if trial is not None}
    return [kept[number] for number in sorted(kept)]


def best_of(trials: Iterable[Shown], objective: Objective, place: int = 0) -> Shown | None:
    """Return the best trial by one objective, the first of equals; None where none that did not fail has a value."""
    whole = (trial for trial in trials if len(trial.values) > place and trial.status != "failed")
    return (max if _is_max(objective) else min)(whole, key=lambda trial: trial.values[place], default=None)


def evenly(items: Sequence[T], most: int) -> Sequence[T]:
    """Return so many of the items at the most, the first and the last among them."""
    if len(items) <= most:
        return items
    return [items[place * (len(items) - 1) // (most - 1)] for place in range(most)]


def importance_plot(importances: Mapping[str, float]) -> Figure:
    """Return parameters and how much each matters, the one that matters most at the top."""
    names = sorted(importances, key=lambda name: importances[name])
    bars = {
        "type": "bar",
        "orientation": "h",
        "x": [importances[name] for name in names],
        "y": [_text(short_name(name), _TOLD) for name in names],
        "texttemplate": "%{x:.2f}",
        "textposition": "outside",
        "cliponaxis": False,
    }
    room = [0, 1.2 * max(importances.values(), default=1.0)]
    layout = {
        "xaxis": {"title": {"text": "importance"}, "range": room},
        "yaxis": {"automargin": True, "type": "category"},
    }
    return {"data": [bars], "layout": layout}


def parameter_names(trials: Iterable[Shown]) -> list[str]:
    """Return the full names of the trials' parameters, as they come."""
    return list(dict.fromkeys(name for trial in trials for name in trial.parameters))


def short_name(name: str) -> str:
    """A parameter's name without the section that most have."""
    return name.removeprefix(f"{DEFAULT_SECTION}/")


def objective_name(objective: Objective) -> str:
    """An objective as people name it."""
    return f"{objective.title}/{objective.series}"


def are_numbers(values: Iterable[Any]) -> bool:
    """Whether all of them have a place on an axis; truth values are categories."""
    return all(isinstance(one, (int, float)) and not isinstance(one, bool) and math.isfinite(one) for one in values)


def _row(trial: Shown, objectives: int, names: Sequence[str]) -> list[object]:
    values: Sequence[object] = trial.values or [""] * objectives
    held = [one_line(text_of(trial.parameters[name]), 200) if name in trial.parameters else "" for name in names]
    return [trial.number, trial.child, trial.status, *values, trial.iteration, *held]


def _points(trials: Sequence[Shown], status: str, place: int, size: int) -> Figure:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": status,
        "x": [trial.number for trial in trials],
        "y": [trial.values[place] for trial in trials],
        "text": [_told(trial) for trial in trials],
        "customdata": [trial.child for trial in trials],
        "hoverinfo": "text+x+y",
        "marker": {"color": _STATUS_COLORS[status], "size": size},
    }


def _told(trial: Shown) -> str:
    """A trial's task and parameters, a line for each thing."""
    held = list(trial.parameters.items())
    lines = [_text(f"{short_name(name)}: {text_of(value)}", _TOLD) for name, value in held[:_COLUMNS]]
    more = [f"and {len(held) - _COLUMNS:,} more"] if len(held) > _COLUMNS else []
    return "<br>".join([f"task: {trial.child}", *lines, *more])


def _best_so_far(trials: Sequence[Shown], objective: Objective, place: int, most: int) -> Figure:
    """The best value up to each trial: where it gets better and at the end, in steps, as nothing lies between."""
    is_max = _is_max(objective)
    best: list[Shown] = []
    for trial in trials:
        value = trial.values[place]
        if not best or (value > best[-1].values[place] if is_max else value < best[-1].values[place]):
            best.append(trial)
    steps = [(trial.number, trial.values[place]) for trial in evenly(best, most)]
    steps += [(trials[-1].number, steps[-1][1])] if steps and trials[-1].number > steps[-1][0] else []
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "best so far",
        "x": [number for number, _ in steps],
        "y": [value for _, value in steps],
        "line": {"shape": "hv", "color": _BEST},
        "hoverinfo": "x+y",
    }


def _is_max(objective: Objective) -> bool:
    return objective.sign.startswith("max")


def _axis(values: Sequence[Any], *, log: bool, width: int) -> Figure:
    """An axis of numbers or of their powers of ten, or one with a tick for each of what are none.

    What a trial does not have (those of a set need not have all) is below all numbers.
    """
    known = [value for value in values if value is not None]
    if not known or not are_numbers(known):
        return _categories([_NONE if value is None else text_of(value) for value in values], width)
    is_log = log and min(known) > 0
    axis = _powers(known) if is_log else {"values": list(known)}
    return axis if len(known) == len(values) else _with_none(values, axis, is_log=is_log)


def _categories(texts: Sequence[str], width: int) -> Figure:
    ticks = sorted(set(texts))
    places = {text: place for place, text in enumerate(ticks)}
    shown = evenly(ticks, _TICKS)
    return {
        "values": [places[text] for text in texts],
        "tickvals": [places[text] for text in shown],
        "ticktext": [_text(text, width) for text in shown],
    }


def _powers(values: Sequence[float]) -> Figure:
    exponents = [math.log10(value) for value in values]
    first = math.floor(min(exponents))
    ticks = list(range(first, max(math.ceil(max(exponents)), first + 1) + 1))
    texts = [f"{10.0**tick:g}" for tick in ticks]
    return {"values": exponents, "range": [ticks[0], ticks[-1]], "tickvals": ticks, "ticktext": texts}


def _with_none(values: Sequence[float | None], axis: Figure, *, is_log: bool) -> Figure:
    """The axis with a place for trials that lack the parameter."""
    least, greatest = axis["range"] if is_log else (min(axis["values"]), max(axis["values"]))
    place = least - ((greatest - least) or 1.0) / 6
    known = iter(axis["values"])
    ticks = axis.get("tickvals") or sorted({least, (least + greatest) / 2, greatest})
    return {
        "values": [place if value is None else next(known) for value in values],
        "range": [place, greatest],
        "tickvals": [place, *ticks],
        "ticktext": [_NONE, *axis.get("ticktext", [f"{tick:.4g}" for tick in ticks])],
    }


def _text(text: str, width: int) -> str:
    """Text that plotly shows as it is: its own HTML-like markup does not count."""
    return html.escape(one_line(text, width), quote=False)
