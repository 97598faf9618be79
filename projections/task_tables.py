"""Folds `tasktape.tasks` into tables: tasks with their runs, parameters and configurations, artifacts and models.

What a task's fold accepts goes on to the pipeline or the search that it may control.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ..events.parts import Artifact, Model
from ..events.task_events import (
    ArtifactDeleted,
    ArtifactUploaded,
    ModelAttached,
    ModelDeleted,
    ModelSaved,
    TasksEvent,
)
from .pipeline_tables import PipelineTables
from .search_tables import SearchTables
from .tables import us
from .task_state import RunState, TaskState, apply
from .verdict import Verdict, rejected

if TYPE_CHECKING:
    from .arrival import Arrival
    from .tables import Row, Tables

OutputEvent = ArtifactUploaded | ArtifactDeleted | ModelSaved | ModelAttached | ModelDeleted
_NO_ARTIFACT = Artifact(name="", type="", uri="", size=0, sha256="")


class TaskTables:
    """Tasks of one batch."""

    def __init__(self) -> None:
        self._before: dict[str, TaskState] = {}
        self._states: dict[str, TaskState] = {}
        self._runs: dict[tuple[str, int], RunState] = {}
        self._outputs: dict[str, list[Row]] = {}
        self._pipelines = PipelineTables()
        self._searches = SearchTables()

    def load(self, tables: Tables, arrivals: Sequence[Arrival]) -> None:
        """Read the tasks that these events are about."""
        keys = {arrival.key for arrival in arrivals}
        rows = tables.select("task_states", [(key,) for key in keys])
        self._before = dict.fromkeys(keys, TaskState()) | {
            row[0]: TaskState.model_validate_json(row[-1]) for row in rows
        }
        self._states = dict(self._before)
        self._runs = {}
        self._outputs = {"artifact_versions": [], "model_versions": [], "model_uses": []}
        self._pipelines.load(tables, arrivals)
        self._searches.load(tables, arrivals)

    def apply(self, arrival: Arrival) -> Verdict:
        """Fold one event of a task's."""
        event = arrival.event
        if not isinstance(event, TasksEvent):
            return rejected("no event of a task")
        outcome = apply(self._states[event.task], event)
        if not isinstance(outcome, TaskState):
            return rejected(outcome.reason)
        verdict = self._pipelines.apply(arrival)
        if verdict.accepted:
            verdict = self._searches.apply(arrival)
        if verdict.accepted:
            self._take(event, outcome, arrival)
        return verdict

    def _take(self, event: TasksEvent, outcome: TaskState, arrival: Arrival) -> None:
        if outcome.run is not self._states[event.task].run:
            self._runs[event.task, outcome.run.number] = outcome.run
        self._states[event.task] = outcome
        if isinstance(event, OutputEvent):
            table, row = _output(event, outcome.resets, arrival)
            self._outputs[table].append(row)

    def save(self, tables: Tables) -> None:
        """Write the tasks that changed."""
        changed = {task: state for task, state in self._states.items() if state is not self._before[task]}
        tables.replace("task_states", [_task_row(task, state) for task, state in changed.items()])
        tables.replace("run_states", [_run_row(task, run) for (task, _), run in self._runs.items()])
        self._save_specs(tables, changed)
        for table, rows in self._outputs.items():
            tables.insert(table, rows)
        self._pipelines.save(tables)
        self._searches.save(tables)

    def _save_specs(self, tables: Tables, changed: dict[str, TaskState]) -> None:
        parameters = [task for task in changed if self._changed(task, "parameters")]
        configurations = [task for task in changed if self._changed(task, "configurations")]
        tables.delete("task_parameters", [(task,) for task in parameters])
        tables.insert("task_parameters", [row for task in parameters for row in _parameters(task, changed[task])])
        tables.delete("task_configurations", [(task,) for task in configurations])
        tables.insert(
            "task_configurations", [row for task in configurations for row in _configurations(task, changed[task])]
        )

    def _changed(self, task: str, field: str) -> bool:
        before, after = self._before[task].spec, self._states[task].spec
        return getattr(before, field, []) != getattr(after, field, [])


def _task_row(task: str, state: TaskState) -> Row:
    spec, run = state.spec, state.run
    return (
        task,
        *((spec.project, spec.name, spec.task_type) if spec else (None, None, None)),
        state.status,
        *_said(state),
        run.number,
        *((spec.user, spec.tags, spec.system_tags, spec.parent, spec.comment) if spec else ("", [], [], "", "")),
        run.progress,
        *(us(moment) for moment in (state.created_at, *_span(run), state.changed_at)),
        run.worker,
        state.archived,
        state.published,
        spec.output_uri if spec else "",
        state.deleted,
        state.visible_from,
        state.resets,
        [entry for _, entry in state.left],
        state.model_dump_json(),
    )


def _said(state: TaskState) -> tuple[str, str]:
    """Status reason and message."""
    if state.published:
        return "", state.publish_message
    return ("", "") if state.run.reset else (state.run.reason, state.run.message)


def _span(run: RunState) -> tuple[datetime | None, datetime | None]:
    return (None, None) if run.reset else (run.started_at, run.ended_at)


def _run_row(task: str, run: RunState) -> Row:
    return (
        task,
        run.number,
        run.status,
        run.reason,
        run.message,
        run.traceback,
        run.exit_code,
        run.progress,
        run.worker,
        run.entry,
        run.continues,
        run.initial_iteration,
        json_text(run.machine),
        us(run.started_at),
        us(run.ended_at),
    )


def _parameters(task: str, state: TaskState) -> list[Row]:
    held = state.spec.parameters if state.spec else []
    return [(task, place, p.name, p.value, p.type, p.description) for place, p in enumerate(held)]


def _configurations(task: str, state: TaskState) -> list[Row]:
    held = state.spec.configurations if state.spec else []
    return [(task, place, c.name, c.text, c.type, c.suffix, c.description) for place, c in enumerate(held)]


def _output(event: OutputEvent, resets: int, arrival: Arrival) -> tuple[str, Row]:
    """Return the table and the row of an artifact or model."""
    place = (event.task, event.run, resets, arrival.offset)
    if isinstance(event, ArtifactUploaded):
        return "artifact_versions", (*place, False, *_artifact(event.artifact), arrival.at)
    if isinstance(event, ArtifactDeleted):
        gone = _NO_ARTIFACT.model_copy(update={"name": event.name})
        return "artifact_versions", (*place, True, *_artifact(gone), arrival.at)
    if isinstance(event, ModelSaved):
        return "model_versions", (*place, False, arrival.at, *_model(event.model))
    if isinstance(event, ModelDeleted):
        return "model_versions", (*place, True, arrival.at, *_model(Model(id=event.model_id, name="")))
    return "model_uses", (*place, event.model_id, event.name, arrival.at)


def _artifact(a: Artifact) -> Row:
    return a.name, a.type, a.uri, a.size, a.sha256, a.content_type, a.preview, json_text(a.metadata)


def _model(m: Model) -> Row:
    return (
        m.id,
        m.name,
        m.direction,
        m.project,
        m.framework,
        m.uri,
        m.size,
        m.sha256,
        m.comment,
        m.tags,
        json_text(m.labels),
        m.design,
        json_text(m.metadata),
        m.iteration,
        m.published,
        m.archived,
    )


def json_text(value: Any) -> str:
    """JSON with sorted keys, so that equal values are equal text."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False)
