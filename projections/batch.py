"""One batch of records through all folds: decode, tell copies, let its fold judge each event, write what changed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from ..events.base import Event
from ..events.errors import DecodeError
from ..events.instance_events import InstanceEvent, ScalerEvent
from ..events.limit_events import LimitSet, PermitEvent
from ..events.queue_events import AbortRequested, EntryEvent, QueueEvent
from ..events.task_events import TasksEvent
from ..events.worker_events import DrainRequested, WorkerEvent
from . import worker_tables
from .arrival import Arrival, decode
from .audit import dead_letter_row, event_row
from .instance_tables import InstanceTables
from .limit_tables import LimitTables
from .output_tables import OutputTables
from .queue_tables import EntryTables, QueueTables
from .report_tables import ReportTables
from .sessions import Sessions
from .task_tables import TaskTables
from .verdict import DUPLICATE, Verdict, rejected
from .worker_tables import WorkerTables

if TYPE_CHECKING:
    from ..events.codec import Codec
    from ..events.log.port import LogRecord
    from .fold import Fold
    from .tables import Row, Tables


class Folds:
    """All folds of the projection. `lease` is the claim lease in seconds."""

    def __init__(self, codec: Codec, lease: float) -> None:
        self._codec = codec
        self._sessions = Sessions()
        self._outputs = OutputTables()
        self._workers = WorkerTables()
        self._reports = ReportTables()
        self._by_kind: tuple[tuple[type[Event], Fold], ...] = (
            (TasksEvent, TaskTables()),
            (EntryEvent, EntryTables(lease)),
            (QueueEvent, QueueTables()),
            (LimitSet, limits := LimitTables()),
            (PermitEvent, limits),
            (WorkerEvent, self._workers),
            (AbortRequested, self._reports),
            (DrainRequested, self._reports),
            (InstanceEvent, instances := InstanceTables()),
            (ScalerEvent, instances),
        )

    def write(self, tables: Tables, records: Iterable[LogRecord]) -> None:
        """Fold records, in the order given for each partition, and write all they change."""
        found, dead = self._decoded(records)
        arrivals = [one for one in found if isinstance(one, Arrival)]
        folds = self._load(tables, [arrival for arrival in arrivals if not arrival.misplaced])
        verdicts = self._judge(found)
        self._sessions.save(tables)
        for fold in folds:
            fold.save(tables)
        tables.insert("events", [event_row(*judged) for judged in zip(arrivals, verdicts, strict=True)])
        tables.insert("dead_letters", dead)

    def _decoded(self, records: Iterable[LogRecord]) -> tuple[list[Arrival | str], list[Row]]:
        """Return what was read in order (a worker's tombstone as the worker's id), and rows of what could not be."""
        found: list[Arrival | str] = []
        dead: list[Row] = []
        for record in records:
            if record.value is None and record.topic == worker_tables.TOPIC and record.key is not None:
                found.append(record.key)
                continue
            try:
                found.append(decode(record, self._codec))
            except DecodeError as error:
                dead.append(dead_letter_row(record, error))
        return found, dead

    def _load(self, tables: Tables, arrivals: Sequence[Arrival]) -> list[Fold]:
        """Have each fold read what it needs; return those that have something to do."""
        self._sessions.load(tables, [arrival for arrival in arrivals if not isinstance(arrival.event, EntryEvent)])
        by_fold: defaultdict[Fold, list[Arrival]] = defaultdict(list)
        for arrival in arrivals:
            for fold in self._folds(arrival):
                by_fold[fold].append(arrival)
        by_fold.setdefault(self._workers, [])
        for fold, concerned in by_fold.items():
            fold.load(tables, concerned)
        return list(by_fold)

    def _judge(self, found: Iterable[Arrival | str]) -> list[Verdict]:
        verdicts = []
        for one in found:
            if isinstance(one, Arrival):
                verdicts.append(self._verdict(one))
            else:
                self._workers.bury(one)
        return verdicts

    def _verdict(self, arrival: Arrival) -> Verdict:
        if reason := arrival.misplaced:
            return rejected(reason)
        if not isinstance(arrival.event, EntryEvent) and self._sessions.is_copy(arrival):
            return DUPLICATE
        first, *others = self._folds(arrival)
        verdict = first.apply(arrival)
        for fold in others:
            fold.apply(arrival)
        return verdict

    def _folds(self, arrival: Arrival) -> tuple[Fold, ...]:
        """Folds an event goes through; the first one's verdict is the event's."""
        if not isinstance(arrival.event, Event):
            return self._scalars, self._outputs
        for kind, fold in self._by_kind:
            if isinstance(arrival.event, kind):
                return (fold,)
        return self._reports, self._outputs

    @cached_property
    def _scalars(self) -> Fold:
        from .scalar_tables import ScalarTables  # noqa: PLC0415  NumPy is for those who read scalars

        return ScalarTables()
