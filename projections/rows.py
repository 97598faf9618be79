"""The typed rows that queries answer with, and the filters they take: the reading side's whole vocabulary.

Moments are aware datetimes in UTC; JSON is text.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, TypeVar

R = TypeVar("R")
Aggregate = Literal["last", "min", "max", "first", "mean"]
AGGREGATES: Final[tuple[Aggregate, ...]] = ("last", "min", "max", "first", "mean")


@dataclass(frozen=True, slots=True)
class TaskRow:
    """A task as it stands. `run` is the run that `status` speaks of, `last_run` the highest ever opened.

    A new run of the task has the number `last_run + 1`. `queue` is set while an entry waits or is claimed there.
    """

    id: str
    project: str
    name: str
    task_type: str
    status: str
    status_reason: str
    status_message: str
    run: int
    last_run: int
    user: str
    tags: tuple[str, ...]
    system_tags: tuple[str, ...]
    parent: str
    comment: str
    progress: int
    last_iteration: int
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    updated_at: datetime
    worker: str
    queue: str
    archived: bool
    published: bool
    output_uri: str


@dataclass(frozen=True, slots=True)
class ParameterColumn:
    """A column of a task table: the value (JSON text) of the parameter `Section/key`."""

    name: str


@dataclass(frozen=True, slots=True)
class MetricColumn:
    """A column of a task table: a scalar's summary over the visible runs."""

    title: str
    series: str
    aggregate: Aggregate = "last"


Column = ParameterColumn | MetricColumn


@dataclass(frozen=True, slots=True)
class TaskFilter:
    """Which tasks to list; an empty condition does not restrict, conditions are joined by *and*.

    `name` is a regular expression searched for in the name, whatever the case (RE2 syntax); `text` is plain text
    searched for in id, name, project, comment and tags. `patterns` are pairs of (fields, regular expression): one of
    the fields matches. `projects` are exact names; with `subprojects` what lies below them counts too.
    `order_by` names fields of `TaskRow`, with a leading `-` for descending. `order_column` goes before them, numbers by
    size, then text; `descending` turns that round. What a task has not got comes last; ties are broken by id.
    """

    ids: tuple[str, ...] = ()
    projects: tuple[str, ...] = ()
    subprojects: bool = False
    name: str = ""
    text: str = ""
    patterns: tuple[tuple[tuple[str, ...], str], ...] = ()
    any_tags: tuple[str, ...] = ()
    all_tags: tuple[str, ...] = ()
    no_tags: tuple[str, ...] = ()
    any_system_tags: tuple[str, ...] = ()
    no_system_tags: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    parents: tuple[str, ...] = ()
    updated_after: datetime | None = None
    include_archived: bool = True
    order_by: tuple[str, ...] = ("-updated_at",)
    order_column: Column | None = None
    descending: bool = False
    limit: int | None = None
    offset: int = 0


@dataclass(frozen=True, slots=True)
class RunRow:
    """One execution of a task. `visible` tells whether its outputs are shown."""

    task: str
    run: int
    status: str
    reason: str
    message: str
    traceback: str
    exit_code: int | None
    progress: int
    worker: str
    entry: str
    continues: bool
    initial_iteration: int
    machine: dict[str, str]
    started_at: datetime | None
    ended_at: datetime | None
    visible: bool


@dataclass(frozen=True, slots=True)
class ProjectRow:
    """A project: how many tasks it has (archived ones left out), by status too, and when one last changed."""

    name: str
    tasks: int
    statuses: dict[str, int]
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class LastScalar:
    """What is known of one scalar series over the visible runs without reading its points.

    `last` is the value at the largest step, the latest report of it. NaNs count, but are left out of `min`, `max`
    and `mean`, which are NaN where nothing else was reported.
    """

    title: str
    series: str
    count: int
    first: float
    first_step: int
    last: float
    last_step: int
    min: float
    min_step: int
    max: float
    max_step: int
    mean: float
    last_at: datetime


@dataclass(frozen=True, slots=True)
class ReportRow:
    """A plot, text or media report. Inline content is in `content`, a large one in the blob at `uri`.

    `kind` is `plot` (content: plotly's JSON), `text`, or for media `image`, `audio`, `video`, `html` …
    """

    task: str
    run: int
    kind: str
    title: str
    series: str
    iteration: int
    at: datetime
    content: str
    content_type: str
    uri: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class ConsoleRow:
    """A line of console output; (`offset`, `index`) orders the lines of a task and is the cursor to read on from."""

    run: int
    at: datetime
    stream: str
    text: str
    offset: int
    index: int


@dataclass(frozen=True, slots=True)
class ArtifactRow:
    """An artifact of a task."""

    task: str
    run: int
    name: str
    type: str
    uri: str
    size: int
    sha256: str
    content_type: str
    preview: str
    metadata: dict[str, str]
    uploaded_at: datetime


@dataclass(frozen=True, slots=True)
class ModelFilter:
    """Which models to list; `name` is a regular expression as in `TaskFilter`, `metadata` pairs must all be there."""

    ids: tuple[str, ...] = ()
    task: str = ""
    direction: str = ""
    projects: tuple[str, ...] = ()
    name: str = ""
    any_tags: tuple[str, ...] = ()
    all_tags: tuple[str, ...] = ()
    no_tags: tuple[str, ...] = ()
    metadata: tuple[tuple[str, str], ...] = ()
    only_published: bool = False
    include_archived: bool = True
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class ModelRow:
    """A model. `task` is the task it was asked for (with a task in the filter) or the one that made it.

    `attached_as` is the name the asking task gave an input model, else empty.
    """

    id: str
    task: str
    run: int
    name: str
    direction: str
    attached_as: str
    project: str
    framework: str
    uri: str
    size: int
    sha256: str
    comment: str
    tags: tuple[str, ...]
    labels: dict[str, int]
    design: str
    metadata: dict[str, str]
    iteration: int
    published: bool
    archived: bool
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class EventRow:
    """One event as it lies on the log, and what the projection made of it.

    `verdict` is `accepted`, `rejected` (with `reason`) or `duplicate`. `body` is the event as JSON; what has a table
    of its own (points of scalars, console lines, figures) is replaced by its size.
    """

    topic: str
    partition: int
    offset: int
    appended_at: datetime
    occurred_at: datetime
    type: str
    key: str
    actor: str
    session: str
    seq: int
    verdict: str
    reason: str
    body: str


@dataclass(frozen=True, slots=True)
class DeadLetterRow:
    """A record that could not be read, with its place on the log, what was wrong, and its bytes."""

    topic: str
    partition: int
    offset: int
    appended_at: datetime
    key: str | None
    error: str
    value: bytes


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)  # not from `events.base`: rows are read without pydantic's 75 ms
_CONVERTERS: Final[dict[str, Callable[[Any], Any]]] = {
    "datetime": lambda us: _EPOCH + timedelta(microseconds=us),
    "datetime | None": lambda us: None if us is None else _EPOCH + timedelta(microseconds=us),
    "tuple[str, ...]": tuple,
    "tuple[float, ...]": tuple,
    "dict[str, str]": json.loads,
    "dict[str, int]": json.loads,
    "dict[str, float]": json.loads,
}
"""From what a query answers with (µs, lists, JSON text) to what a field holds, by the field's annotation."""


def made(kind: type[R], rows: Iterable[Sequence[Any]]) -> list[R]:
    """Return plain tuples as rows of this kind."""
    columns: Any = kind
    converters = [_CONVERTERS.get(str(field.type)) for field in fields(columns)]
    return [
        kind(*(value if convert is None else convert(value) for convert, value in zip(converters, row, strict=True)))
        for row in rows
    ]
