"""What a search has come to, for those who ask its optimizer: the best trials, their tasks, what is known of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..parameters import value_of
from .board import SUMMARY

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from ...projections.search_fold import TrialState
    from ..task import Task
    from .objectives import Objectives


def ranked(trials: Iterable[TrialState], metric: Objectives) -> list[TrialState]:
    """Return trials that have come to something, the best first: a trial that failed has not."""
    sound = [trial for trial in trials if trial.status != "failed"]
    return [sound[place] for place in metric.ranking([trial.values or None for trial in sound])]


def task_of(trial: TrialState) -> Task:
    """Return a trial's task."""
    from ..task import Task  # noqa: PLC0415  what a search returns

    return Task.get_task(task_id=trial.child)


def searched(trial: TrialState) -> dict[str, Any]:
    """Return the parameters that a trial was proposed with."""
    return {held.name: value_of(held) for held in trial.parameters}


def details(
    trial: TrialState, wanted: Collection[tuple[str, str]] | None, *, all_hyper_parameters: bool
) -> dict[str, Any]:
    """Return what is known of a trial; of its scalars those that are `wanted`, by title and series, None for all."""
    task = task_of(trial)
    metrics = {
        f"{title}/{series}": _metric(title, series, found["last"], found["min"], found["max"])
        for title, of_title in task.get_last_scalar_metrics().items()
        for series, found in of_title.items()
        if wanted is None or (title, series) in wanted
    }
    metrics |= {
        f"{SUMMARY}/{name}": _metric(SUMMARY, name, value, value, value)
        for name, value in task.get_reported_single_values().items()
        if wanted is None or (SUMMARY, name) in wanted
    }
    shown = task.get_parameters(cast=True) if all_hyper_parameters else searched(trial)
    return {"task_id": trial.child, "hyper_parameters": shown, "metrics": metrics}


def _metric(title: str, series: str, last: float, least: float, most: float) -> dict[str, Any]:
    return {"metric": title, "variant": series, "value": last, "min_value": least, "max_value": most}
