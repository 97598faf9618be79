"""Changes to entries of a queue, by somebody who has to know what became of them.

1. The change is appended, again under the same id while its fate is in doubt, and read back.
2. The queue's log says whether it counts: an agent may have been faster. If it does not, nothing else is done.
3. What follows is said at once: the next hop of an entry that moves to another queue, and once that is on the log the
   note with the task. Should this process die before, the partition's owner, or a watcher of the workers, says it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NamedTuple

from ..events.base import Event, Stamper
from ..events.errors import DecodeError, LogUnavailableError, RecordRefusedError
from ..events.log.port import Delivery, Log, LogRecord, Positions, TopicPartition, partition_of
from ..events.queue_events import EntryDequeued, EntryEnqueued, EntryEvent, EntryMoved, queue_topic
from ..events.wire import append_event, read_event
from ..projections.queue_fold import Entry, QueueFold
from ..projections.queue_moves import left, next_hop
from ..projections.verdict import Verdict

if TYPE_CHECKING:
    from ..events.codec import Codec
    from ..projections.work_rows import EntryRow
    from .session import Session

PATIENCE_SECONDS: Final = 30.0
_PAUSE_SECONDS: Final = 0.1
_POLL_SECONDS: Final = 0.25

Change = EntryDequeued | EntryMoved


class Answer(NamedTuple):
    """What the queue's log says of a change, and the entry as it stands since."""

    verdict: Verdict
    entry: Entry


class Desk:
    """Changes entries of one queue. Close it with the log it was given."""

    def __init__(self, session: Session, log: Log, queue: str, entries: Sequence[EntryRow]) -> None:
        self._log = log
        self._codec = session.codec
        self._fold = QueueFold(queue, session.settings.claim_lease)
        self._requests: dict[str, EntryEnqueued] = {}
        self._verdicts: dict[str, Verdict] = {}
        self._reader = log.read(_places(log, queue, entries))
        self._queue = queue
        self.stamp = Stamper(session.actor)

    def dequeue(self, entries: Iterable[EntryRow], reason: str) -> list[Answer]:
        """Withdraw entries."""
        return self.change([EntryDequeued(**self._about(entry), reason=reason) for entry in entries])

    def move(
        self, entry: EntryRow, *, rank: float | None, priority: int | None, to_queue: str = "", reason: str = ""
    ) -> Answer:
        """Move an entry to another rank or priority, or to another queue, which has to exist."""
        change = EntryMoved(**self._about(entry), to_queue=to_queue, rank=rank, priority=priority, reason=reason)
        return self.change([change])[0]

    def change(self, changes: Sequence[Change]) -> list[Answer]:
        """Say changes, learn which of them count, and say what follows from those.

        Raises:
            LogUnavailableError: The log does not answer; the changes may count all the same.

        """
        deliver(self._log, self._codec, changes)
        ours = {change.meta.event_id for change in changes}
        self._read_back(ours)
        answers = [Answer(self._verdicts[change.meta.event_id], self._entry(change.entry)) for change in changes]
        self._complete([answer.entry for answer in answers if answer.entry.changed_by in ours])
        return answers

    def close(self) -> None:
        """Stop reading."""
        self._reader.close()

    def _about(self, entry: EntryRow) -> dict[str, object]:
        return {"meta": self.stamp(), "task": entry.task, "queue": self._queue, "entry": entry.id, "run": entry.run}

    def _entry(self, entry: str) -> Entry:
        found = self._fold.entry(entry)
        assert found is not None, "read from where it was enqueued"  # noqa: S101  for the type checker
        return found

    def _complete(self, changed: Iterable[Entry]) -> None:
        """Say what follows for entries whose last change is ours; one that was taken since is an agent's."""
        gone = [entry for entry in changed if entry.gone]
        moved = [entry for entry in gone if entry.state == "moved"]
        deliver(self._log, self._codec, [next_hop(entry, self._requests[entry.id], self.stamp) for entry in moved])
        deliver(self._log, self._codec, [left(entry, self.stamp) for entry in gone])

    def _read_back(self, ids: set[str]) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not ids <= self._verdicts.keys():
            for record in self._reader.poll(_POLL_SECONDS):
                self._read(record)
            if time.monotonic() > deadline:
                raise LogUnavailableError(self._log.url, f"what was said could not be read in {PATIENCE_SECONDS:g} s")

    def _read(self, record: LogRecord) -> None:
        try:
            event = read_event(record, codec=self._codec)
        except DecodeError:
            return
        if not isinstance(event, EntryEvent):
            return
        verdict = self._fold.apply(
            event, partition=record.partition, offset=record.offset, timestamp_us=record.timestamp
        )
        self._verdicts.setdefault(event.meta.event_id, verdict)
        if verdict.accepted and isinstance(event, EntryEnqueued):
            self._requests[event.entry] = event


@contextmanager
def desk(session: Session, log: Log, queue: str, entries: Sequence[EntryRow]) -> Iterator[Desk]:
    """Give a desk for these entries of a queue, and close it."""
    opened = Desk(session, log, queue, entries)
    try:
        yield opened
    finally:
        opened.close()


def deliver(log: Log, codec: Codec, events: Sequence[Event]) -> None:
    """Append events, each again until the log has acknowledged it.

    Raises:
        RecordRefusedError: The log will never take one.
        LogUnavailableError: It did not acknowledge all within `PATIENCE_SECONDS`.

    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    missing = list(events)
    while missing:
        reports = [_appended(log, codec, event) for event in missing]
        log.flush(max(0.0, deadline - time.monotonic()))
        errors = [report[0].error if report else None for report in reports]
        if refusal := next((error for error in errors if isinstance(error, RecordRefusedError)), None):
            raise refusal
        missing = [event for event, report in zip(missing, reports, strict=True) if not report or report[0].error]
        if missing:
            _pause(log, deadline, next((str(error) for error in errors if error), "nothing was heard"))


def _appended(log: Log, codec: Codec, event: Event) -> list[Delivery]:
    """Append an event; its delivery report comes into the list returned."""
    reports: list[Delivery] = []
    append_event(log, event, codec=codec, on_delivery=reports.append)
    return reports


def _pause(log: Log, deadline: float, reason: str) -> None:
    if time.monotonic() > deadline:
        raise LogUnavailableError(log.url, reason)
    time.sleep(_PAUSE_SECONDS)


def _places(log: Log, queue: str, entries: Iterable[EntryRow]) -> Positions:
    """Where entries were enqueued: the first of each partition, since what concerns an entry lies behind that."""
    topic = queue_topic(queue)
    partitions = len(log.end_positions([topic]))
    found: Positions = {}
    for entry in entries:
        source = TopicPartition(topic, partition_of(entry.task, partitions))
        found[source] = min(found.get(source, entry.offset), entry.offset)
    return found
