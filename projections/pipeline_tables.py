"""Folds the events of pipelines into tables: one row per pipeline, and one per step with what became of it."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from ..events.base import from_us
from ..events.pipeline_events import PipelineDefined, PipelineEvent, PipelineStep, PipelineStopping
from ..events.task_events import TaskReset, TasksEvent
from .pipeline_fold import PipelineFold, StepState
from .tables import us
from .verdict import ACCEPTED, Verdict, rejected

if TYPE_CHECKING:
    from .arrival import Arrival
    from .tables import Row, Tables

_COLUMNS: Final = (
    "task",
    "place",
    "name",
    "status",
    "child",
    "child_run",
    "retries",
    "parents",
    "base",
    "queue",
    "stage",
    "cache_key",
    "message",
    "queued_at",
    "started_at",
    "ended_at",
    "history",
    "definition",
    "answers",
)
_PLAIN: Final = ("status", "child", "child_run", "retries", "queue", "cache_key", "message")
_MOMENTS: Final = ("queued_at", "started_at", "ended_at")
Placed = tuple[int, StepState]


class PipelineTables:
    """Pipelines of one batch. Only the steps that changed are written."""

    def __init__(self) -> None:
        self._folds: dict[str, PipelineFold] = {}
        self._rows: dict[str, Row] = {}
        self._steps: dict[tuple[str, str], Placed] = {}

    def load(self, tables: Tables, arrivals: Sequence[Arrival]) -> None:
        """Read the pipelines that these events are about."""
        tasks = {(a.key,) for a in arrivals if isinstance(a.event, PipelineEvent | TaskReset)}
        self._rows = {row[0]: row for row in tables.select("pipeline_states", tasks)}
        steps: defaultdict[str, list[Placed]] = defaultdict(list)
        for row in tables.select("step_states", tasks, by=("task",)):
            steps[row[0]].append((row[1], _step(row)))
        self._steps = {(task, placed[1].name): placed for task, known in steps.items() for placed in known}
        self._folds = {task: _fold(steps[task], self._rows.get(task)) for (task,) in tasks}

    def apply(self, arrival: Arrival) -> Verdict:
        """Fold one event of a task's; most are about no pipeline."""
        event, fold = arrival.event, self._folds.get(arrival.key)
        if not isinstance(event, TasksEvent):
            return rejected("no event of a task")
        return ACCEPTED if fold is None else fold.apply(event)

    def save(self, tables: Tables) -> None:
        """Write the pipelines and steps that changed."""
        rows = {task: _row(task, fold) for task, fold in self._folds.items() if _says(fold)}
        tables.delete("pipeline_states", [(task,) for task in self._rows if task not in rows])
        tables.replace("pipeline_states", [row for task, row in rows.items() if row != self._rows.get(task)])
        steps = {
            (task, step.name): (place, step)
            for task, fold in self._folds.items()
            for place, step in enumerate(fold.steps.values())
        }
        tables.delete("step_states", [key for key in self._steps if key not in steps])
        changed = [(task, placed) for (task, name), placed in steps.items() if placed != self._steps.get((task, name))]
        tables.replace("step_states", [_step_row(task, *placed) for task, placed in changed])


def _says(fold: PipelineFold) -> bool:
    """Whether there is more to keep of it than steps; what was reset is as if it had never been."""
    return fold.defined is not None or fold.stopping is not None or fold.generation > 0


def _fold(steps: Sequence[Placed], row: Row | None) -> PipelineFold:
    defined, stopping, generation = (row[-2], row[-1], row[4]) if row else ("", "", 0)
    return PipelineFold.of(
        [step for _, step in sorted(steps, key=lambda placed: placed[0])],
        PipelineDefined.model_validate_json(defined) if defined else None,
        PipelineStopping.model_validate_json(stopping) if stopping else None,
        generation,
    )


def _row(task: str, fold: PipelineFold) -> Row:
    """Return a pipeline's row; the steps it was defined with have rows of their own."""
    defined, stopping = fold.defined, fold.stopping
    return (
        task,
        *((defined.run, defined.name, defined.version) if defined else (None, None, None)),
        fold.generation,
        *((defined.stops_on_fail, defined.time_limit, us(defined.meta.occurred_at)) if defined else (None,) * 3),
        *((stopping.reason, stopping.failed, us(stopping.meta.occurred_at)) if stopping else (None,) * 3),
        defined.model_copy(update={"steps": []}).model_dump_json() if defined else "",
        stopping.model_dump_json() if stopping else "",
    )


def _step(row: Row) -> StepState:
    known = dict(zip(_COLUMNS, row, strict=True))
    told: dict[str, Any] = {name: known[name] for name in _PLAIN}
    told |= {name: None if known[name] is None else from_us(known[name]) for name in _MOMENTS}
    return StepState(
        definition=PipelineStep.model_validate_json(known["definition"]),
        history=tuple(known["history"]),
        answers={(name, occasion): answer for name, occasion, answer in json.loads(known["answers"])},
        **told,
    )


def _step_row(task: str, place: int, step: StepState) -> Row:
    defined = step.definition
    told = {
        "task": task,
        "place": place,
        "name": step.name,
        "parents": defined.parents,
        "base": defined.base,
        "stage": defined.stage,
        "history": list(step.history),
        "definition": defined.model_dump_json(),
        "answers": json.dumps([[*call, answer] for call, answer in step.answers.items()], ensure_ascii=False),
        **{name: us(getattr(step, name)) for name in _MOMENTS},
        **{name: getattr(step, name) for name in _PLAIN},
    }
    return tuple(told[column] for column in _COLUMNS)
