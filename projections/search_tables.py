"""Folds the events of searches into tables: one row per search, and one per trial with what became of it."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from ..events.base import from_us
from ..events.parts import Parameter
from ..events.search_events import SearchDefined, SearchEvent, SearchStopping, TrialEvent
from ..events.task_events import TaskReset, TasksEvent
from .search_fold import SearchFold, TrialState
from .tables import us
from .verdict import ACCEPTED, Verdict, rejected

if TYPE_CHECKING:
    from .arrival import Arrival
    from .tables import Row, Tables

_PLAIN: Final = ("number", "child", "status", "stopping", "iteration", "seconds", "message", "told")
_MOMENTS: Final = ("queued_at", "started_at", "ended_at")
_COLUMNS: Final = ("task", *_PLAIN, "values", *_MOMENTS, "parameters", "held")
_BEGAN, _BEST, _COUNT = -6, -5, -3
"""Places in a search's row of when it began, which trial is the best, and how many there are."""


class SearchTables:
    """Searches of one batch. Only the trials that its events are about are read, and those that changed are written."""

    def __init__(self) -> None:
        self._folds: dict[str, SearchFold] = {}
        self._rows: dict[str, Row] = {}
        self._trials: dict[tuple[str, int], TrialState] = {}

    def load(self, tables: Tables, arrivals: Sequence[Arrival]) -> None:
        """Read the searches that these events are about, the trials they name, and the best so far."""
        tasks = {(a.key,) for a in arrivals if isinstance(a.event, SearchEvent | TaskReset)}
        self._rows = {row[0]: row for row in tables.select("search_states", tasks)}
        named = {(a.key, a.event.trial) for a in arrivals if isinstance(a.event, TrialEvent)}
        best = {(task, row[_BEST]) for task, row in self._rows.items() if row[_BEST] is not None}
        held: defaultdict[str, list[TrialState]] = defaultdict(list)
        for row in tables.select("trial_states", named | best):
            held[row[0]].append(_trial(row))
        self._trials = {(task, trial.number): trial for task, known in held.items() for trial in known}
        self._folds = {task: _fold(held[task], self._rows.get(task)) for (task,) in tasks}

    def apply(self, arrival: Arrival) -> Verdict:
        """Fold one event of a task's; most are about no search."""
        event, fold = arrival.event, self._folds.get(arrival.key)
        if not isinstance(event, TasksEvent):
            return rejected("no event of a task")
        return ACCEPTED if fold is None else fold.apply(event)

    def save(self, tables: Tables) -> None:
        """Write the searches and trials that changed."""
        rows = {task: _row(task, fold) for task, fold in self._folds.items() if _says(fold)}
        tables.delete("search_states", [(task,) for task in self._rows if task not in rows])
        tables.replace("search_states", [row for task, row in rows.items() if row != self._rows.get(task)])
        tables.delete(
            "trial_states", [key for task, fold in self._folds.items() for key in self._forgotten(task, fold)]
        )
        found = [(task, trial) for task, fold in self._folds.items() for trial in fold.trials]
        changed = [(task, trial) for task, trial in found if trial is not self._trials.get((task, trial.number))]
        tables.replace("trial_states", [_trial_row(task, trial) for task, trial in changed])

    def _forgotten(self, task: str, fold: SearchFold) -> Iterator[tuple[str, int]]:
        """Keys of trials that were there before a reset."""
        if fold.generation and task in self._rows:
            yield from ((task, number) for number in range(self._rows[task][_COUNT]))


class _Some:
    """Trials of which there are so many, and only some at hand: an event costs no look at the others."""

    def __init__(self, count: int, held: Sequence[TrialState]) -> None:
        self._count = count
        self._held = {trial.number: trial for trial in held}

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[TrialState]:
        return iter(self._held.values())

    def __getitem__(self, number: int) -> TrialState:
        return self._held[number]

    def __setitem__(self, number: int, trial: TrialState) -> None:
        self._held[number] = trial

    def append(self, trial: TrialState) -> None:
        self._held[self._count] = trial
        self._count += 1


def _fold(held: Sequence[TrialState], row: Row | None) -> SearchFold:
    """A fold that goes on from a search's row."""
    if row is None:
        return SearchFold()
    began, best, spent, count, defined, stopping = row[_BEGAN:]
    return SearchFold(
        SearchDefined.model_validate_json(defined) if defined else None,
        SearchStopping.model_validate_json(stopping) if stopping else None,
        None if began is None else from_us(began),
        _Some(count, held),
        spent=spent,
        best=best,
    )


def _says(fold: SearchFold) -> bool:
    """Whether there is anything to keep of it; what was reset is as if it had never been."""
    return fold.defined is not None or fold.stopping is not None or len(fold.trials) > 0


def _row(task: str, fold: SearchFold) -> Row:
    defined, stopping = fold.defined, fold.stopping
    told = defined.model_dump(mode="json") if defined else {}
    return (
        task,
        *((defined.run, defined.base_task, defined.strategy, defined.queue) if defined else (None,) * 4),
        *((json.dumps(told["objectives"]), json.dumps(told["limits"]), defined.space) if defined else (None,) * 3),
        *((stopping.reason, stopping.failed) if stopping else (None, None)),
        us(fold.began_at),
        fold.best,
        fold.spent,
        len(fold.trials),
        defined.model_dump_json() if defined else "",
        stopping.model_dump_json() if stopping else "",
    )


def _trial(row: Row) -> TrialState:
    known = dict(zip(_COLUMNS, row, strict=True))
    told: dict[str, Any] = {name: known[name] for name in _PLAIN}
    told |= {name: None if known[name] is None else from_us(known[name]) for name in _MOMENTS}
    held = [Parameter.model_validate(one) for one in json.loads(known["held"])]
    return TrialState(**told, parameters=tuple(held), values=tuple(known["values"]))


def _trial_row(task: str, trial: TrialState) -> Row:
    told = {
        "task": task,
        "values": list(trial.values),
        "parameters": json.dumps({one.name: _value(one) for one in trial.parameters}, ensure_ascii=False),
        "held": json.dumps([one.model_dump() for one in trial.parameters], ensure_ascii=False),
        **{name: us(getattr(trial, name)) for name in _MOMENTS},
        **{name: getattr(trial, name) for name in _PLAIN},
    }
    return tuple(told[column] for column in _COLUMNS)


def _value(parameter: Parameter) -> Any:
    """What its JSON text says; text that is no JSON stands for itself."""
    try:
        return json.loads(parameter.value)
    except ValueError:
        return parameter.value
