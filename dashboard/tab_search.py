"""Tab: the search that a task controls: how far it is, its objectives over the trials, what matters, and each trial.

What is shown follows from the search's row and its trials, so that it is made once for as long as the row stays the
same, for all who look at it, and not each second anew where there are tens of thousands of trials.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final, NamedTuple

import plotly.graph_objects as go
import streamlit as st

from ..events.search_events import Objective
from ..producers.figures import Figure
from ..producers.parameters import text_of
from ..producers.search import figures
from ..producers.search.figures import Shown, objective_name, short_name
from ..producers.search.importances import FEWEST, importances, powers_of
from ..producers.search.told import limits_of, objectives_of, shown_of
from ..producers.text import counted
from ..projections.query import Queries
from ..projections.rows import TaskRow
from ..projections.search_rows import SearchRow, TrialRow
from . import navigation as to
from .formatting import TRIAL_COLORS, duration, markdown, number, one_line
from .latest import Latest
from .source import queries
from .task_table import frame
from .widgets import fact, in_pages, nothing, now

PER_PAGE: Final = 500
BEST_FIRST: Final = "Best first"
NEWEST_FIRST: Final = "Newest first"
_SHOWN: Final = "_shown_trials"
_CLICK: Final = "trial-click"
_ROUND: Final = "_trials_round"
_HEIGHT: Final = 340
_TALLEST: Final = 640
_MOST_ROWS: Final = 16
_SIGNS: Final = {
    "max": "the greatest of the trials' last values",
    "min": "the least of the trials' last values",
    "max_global": "the greatest of all values of all trials",
    "min_global": "the least of all values of all trials",
}
_KEPT: Final = 8
"""Searches whose figures are kept at once."""


class Seen(NamedTuple):
    """A search's trials as they were read, the best first in `ranked`, and the figures of them."""

    objectives: Sequence[Objective]
    rows: Sequence[TrialRow]
    trials: Sequence[Shown]
    ranked: Sequence[Shown]
    plots: Sequence[go.Figure]
    parallel: go.Figure | None


def draw(task: TaskRow) -> None:
    """Draw the search that a task controls."""
    with queries() as asked:
        row = next(iter(asked.searches(task=task.id, archived=True)), None)
        seen = None if row is None else _latest(row.task).get(row, partial(_seen, row, asked))
    if row is None or seen is None:
        nothing("No search yet. The controller defines it once it runs.")
        return
    _follow_clicks(task.id, len(seen.plots))
    _summary(row)
    _facts(row, seen)
    if not seen.trials:
        nothing("No trials yet. They come as soon as the controller's strategy proposes them.")
        return
    shares = _charts(task.id, seen)
    _table(seen)
    with shares:
        _importances(row, seen)


@st.cache_resource(max_entries=_KEPT, show_spinner=False)
def _latest(task: str) -> Latest[Seen]:  # noqa: ARG001  what it is kept by
    return Latest(lambda seen: len(seen.trials) > figures.MOST)


def _seen(row: SearchRow, asked: Queries) -> Seen:
    """Read and draw a search's trials."""
    rows, objectives = asked.trials(row.task), objectives_of(row)
    trials = shown_of(rows)
    told = [len(trial.values) for trial in trials]
    plots = [
        _styled(figures.objective_plot(trials, one, place))
        for place, one in enumerate(objectives)
        if any(count > place for count in told)
    ]
    parallel = figures.parallel_coordinates(trials, objectives, powers_of(row.space))
    ranked = figures.ranked(trials, objectives)
    return Seen(objectives, rows, trials, ranked, plots, parallel and _styled(parallel, l=56, r=24, t=56, b=24))


def _styled(figure: Figure, **margins: int) -> go.Figure:
    made = go.Figure(figure)
    return made.update_layout(
        title=None,
        height=_HEIGHT,
        margin={"l": 8, "r": 8, "t": 8, "b": 8, **margins},
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        uirevision="kept",
    )


def _follow_clicks(task_id: str, plots: int) -> None:
    """Go where a click led, on a point of an objective or on a task in the table."""
    states = [st.session_state.get(_plot_key(task_id, place)) for place in range(plots)]
    children = [point.get("customdata") for state in states if state for point in state["selection"]["points"]]
    if click := st.session_state.get(_CLICK):
        children = st.session_state.get(_SHOWN, [])[click["row"] : click["row"] + 1]
    for child in filter(None, children):
        st.session_state[_ROUND] = st.session_state.get(_ROUND, 0) + 1
        to.open_task(child)


def _plot_key(task_id: str, place: int) -> str:
    """Another one after each click: the browser remembers what was selected, and who comes back would be sent on."""
    return f"objective-{place}-{task_id}-{st.session_state.get(_ROUND, 0)}"


def _summary(row: SearchRow) -> None:
    """How many trials are over, of as many as there are to be."""
    over, most = row.trials - row.under_way, limits_of(row).trials
    parts = [f"{over:,} of {counted(max(most, row.trials), 'trial')} over"]
    counts = {"running": row.running, "queued": row.under_way - row.running, "pruned": row.pruned}
    counts["failed or aborted"] = row.failed
    parts += [f"{count:,} {what}" for what, count in counts.items() if count]
    st.progress(min(over / max(most, row.trials, 1), 1.0), text=" · ".join(parts))
    if row.stopping_reason is not None:
        icon = ":material/error:" if row.stopping_failed else ":material/stop_circle:"
        told = st.error if row.stopping_failed else st.info
        told(f"{'Failed' if row.stopping_failed else 'Stopped'}: {markdown(row.stopping_reason, 400)}", icon=icon)


def _facts(row: SearchRow, seen: Seen) -> None:
    """The best trial by each objective, and what the search is."""
    columns = iter(st.columns(len(seen.objectives) + 4))
    for place, objective in enumerate(seen.objectives):
        with next(columns):
            _best(place, objective, figures.best_of(seen.trials, objective, place))
    with next(columns):
        fact("Strategy", row.strategy)
    with next(columns):
        fact("Queue", row.queue or "this machine's processes")
    with next(columns):
        fact("Computing", duration(row.spent), hint="time of all trials that are over")
    with next(columns), st.container(gap=None):
        st.markdown(":gray[Base task]")
        if st.button(f"{row.base_task[:12]}…", type="tertiary", key="base-task", help="the task that is tried"):
            to.open_task(row.base_task)


def _best(place: int, objective: Objective, trial: Shown | None) -> None:
    with st.container(gap=None):
        value = trial.values[place] if trial else None
        fact(f"Best {one_line(objective_name(objective), 40)}", number(value), hint=_SIGNS.get(objective.sign, ""))
        label = f"trial {trial.number:,}" if trial else ""
        if trial and st.button(label, type="tertiary", icon=":material/emoji_events:", key=f"best-{place}"):
            to.open_task(trial.child)


def _charts(task_id: str, seen: Seen) -> Any:
    """Draw all figures but the importances, whose judge takes its time; returns where they are to be."""
    for start in range(0, len(seen.plots), 2):
        pair = range(start, min(start + 2, len(seen.plots)))
        for column, place in zip(st.columns(len(pair)), pair, strict=True):
            with column.container(border=True):
                _heading(figures.OBJECTIVE, objective_name(seen.objectives[place]))
                st.plotly_chart(
                    seen.plots[place],
                    key=_plot_key(task_id, place),
                    on_select="rerun",
                    selection_mode="points",
                    config={"displayModeBar": False},
                )
    if seen.parallel is None:
        return st.container()
    left, right = st.columns([7, 3])
    with left.container(border=True):
        _heading(figures.PARALLEL[0], "drag along an axis to choose trials")
        st.plotly_chart(seen.parallel, key="parallel", config={"displayModeBar": False})
    return right.container(border=True)


def _heading(title: str, told: str) -> None:
    st.markdown(f"**{markdown(title, 80)}** :gray[{markdown(told, 60)}]")


def _importances(row: SearchRow, seen: Seen) -> None:
    if seen.parallel is None:
        return
    _heading(figures.IMPORTANCE[0], f"for {objective_name(seen.objectives[0])}")
    stamp = f"{row.task} {row.run} {row.completed}"
    if (figure := _weighed(stamp, row, seen)) is None:
        nothing(f"It takes {FEWEST} completed trials that differ, and Optuna: `pip install 'tasktape[hpo]'`.")
        return
    st.plotly_chart(figure, key="importances", config={"displayModeBar": False})


@st.cache_resource(max_entries=_KEPT, show_spinner="Weighing parameters")
def _weighed(stamp: str, _row: SearchRow, _of: Seen) -> go.Figure | None:  # noqa: ARG001  what it is kept by
    shares = importances(_of.trials, _of.objectives[0], _row.space)
    return _styled(figures.importance_plot(shares)) if shares else None


def _table(seen: Seen) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        order = st.segmented_control(
            "Order", [BEST_FIRST, NEWEST_FIRST], default=BEST_FIRST, key="trial-order", label_visibility="collapsed"
        )
        st.caption("Click a task to open it, a heading to sort by it.", width="content")
    trials = list(reversed(seen.trials)) if order == NEWEST_FIRST else seen.ranked
    in_pages(trials, PER_PAGE, "trials-page", lambda page: _page(seen, page))


def _page(seen: Seen, trials: Sequence[Shown]) -> None:
    st.session_state[_SHOWN] = [trial.child for trial in trials]
    moment, names = now(), figures.parameter_names(seen.trials)
    rows = [_row(trial, seen.rows[trial.number], names, len(seen.objectives), moment) for trial in trials]
    config = st.column_config
    objectives = {
        f"o{place}": config.NumberColumn(one_line(objective_name(one), 40), format="%.6g")
        for place, one in enumerate(seen.objectives)
    }
    st.dataframe(
        frame(rows),
        hide_index=True,
        placeholder="",
        height=_TALLEST if len(trials) > _MOST_ROWS else "content",
        key="trials",
        column_config={
            "trial": config.NumberColumn("Trial", pinned=True, width=70),
            "task": config.ButtonColumn("Task", type="tertiary", alignment="left", key=_CLICK, pinned=True, width=110),
            "status": config.MultiselectColumn(
                "Status", options=list(TRIAL_COLORS), color=list(TRIAL_COLORS.values()), width=110
            ),
            **objectives,
            "iteration": config.NumberColumn("Iteration", format="localized"),
            **{f"c{place}": config.Column(one_line(short_name(name), 40)) for place, name in enumerate(names)},
            "runtime": config.TextColumn("Runtime"),
            "message": config.TextColumn("Message", width="large"),
        },
    )


def _row(trial: Shown, row: TrialRow, names: Sequence[str], objectives: int, moment: datetime) -> dict[str, Any]:
    values = [*trial.values, *[None] * objectives][:objectives]
    runs = (moment - row.started_at).total_seconds() if row.started_at and row.ended_at is None else row.seconds
    return {
        "trial": trial.number,
        "task": trial.child[:8],
        "status": [trial.status],
        **{f"o{place}": value for place, value in enumerate(values)},
        "iteration": trial.iteration if trial.values else None,
        **{f"c{place}": _held(trial.parameters.get(name)) for place, name in enumerate(names)},
        "runtime": duration(runs) if row.started_at or row.ended_at else "",
        "message": one_line(row.message, 200),
    }


def _held(value: Any) -> Any:
    """A parameter's value: numbers as numbers, all else as text."""
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    return one_line(text_of(value), 80)
