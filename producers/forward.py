"""From a spool to the log: a record leaves the spool when the log has acknowledged it, and not before.

One batch is under way at a time: memory is bounded, and each key keeps its order as long as the log takes nothing of a
batch after a record that it failed to take. What it refuses for good is set aside, so that it holds up nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..events.base import uuid7
from ..events.codec import Codec
from ..events.errors import DecodeError, LogUnavailableError, RecordRefusedError, TasktapeError, UnknownTopicError
from ..events.log.port import Delivery, Log
from ..events.task_events import TasksEvent
from ..events.topics import TOPICS, TopicSpec
from .spool import Spool
from .spool_file import Record, SpoolFile, frame
from .warn import warn_once

if TYPE_CHECKING:
    from ..events.settings import Settings

BATCH_RECORDS: Final = 64
"""No more than the window in which readers tell copies by: a record sent again is then never taken for an old one."""

BATCH_BYTES: Final = 4 << 20
_LOOK_AROUND: Final = 0.2
_PAUSE: Final = 0.002

GivesUp = Callable[[float], bool]
"""Asked now and then whether to go on waiting, with the seconds for which the log has said nothing."""


class Batch:
    """Records that were handed to the log together, and what it said to each."""

    def __init__(self, log: Log, codec: Codec, records: list[Record]) -> None:
        """Hand all records to the log, in the codec's framing. A registry may have to be asked, and be away."""
        self.records = records
        self._log = log
        self._errors: dict[int, TasktapeError | None] = {}
        self._heard_at = time.monotonic()
        for number, record in enumerate(records):
            try:
                value = None if record.value is None else codec.reframe(record.value, record.topic)
            except DecodeError as error:
                self._errors[number] = RecordRefusedError(f"no tool could read it on {log.url}: {error}")
                continue
            report = partial(self._report, number)
            log.append(record.topic, record.key, value, headers=record.headers, on_delivery=report)

    def _report(self, number: int, delivery: Delivery) -> None:
        self._errors[number] = delivery.error
        self._heard_at = time.monotonic()

    def wait(self, gives_up: GivesUp) -> bool:
        """Wait until the log has said something to each; False when `gives_up` first."""
        while True:
            self._log.flush(_LOOK_AROUND)
            if len(self._errors) == len(self.records):
                return True
            if gives_up(time.monotonic() - self._heard_at):
                return False
            time.sleep(_PAUSE)

    def delivered(self) -> int:
        """How many records, from the first on, are on the log without a gap."""
        return next((n for n in range(len(self.records)) if self._errors[n] is not None), len(self.records))

    def error(self) -> TasktapeError | None:
        """What the log said to the first record that it did not take."""
        return next((error for _, error in sorted(self._errors.items()) if error is not None), None)


class Forwarder:
    """Brings the records of spools to one log; used by one thread at a time.

    `codec` is what the settings ask for: spools hold single-object framing, and where there is a schema registry the
    records get Confluent's on their way. What the log refuses for good is set aside in the folder `refused`; `refusal`
    is the latest reason.
    """

    def __init__(self, log: Log, codec: Codec, refused: Path) -> None:
        self._log = log
        self._codec = codec
        self._refused = refused
        self._created: set[str] = set()
        self.refusal: RecordRefusedError | None = None

    def forward(self, spool: Spool, gives_up: GivesUp) -> int:
        """Bring one batch to the log and let it leave the spool; return how many records left.

        0 means that nothing waits, that a topic had to be made first, or that it gave up. Raises the log's error where
        the log did not even take the first record.
        """
        batch = Batch(self._log, self._codec, _up_to_an_end(spool.front(BATCH_RECORDS, BATCH_BYTES)))
        if not batch.wait(gives_up):
            return 0
        delivered = batch.delivered()
        spool.acknowledge(delivered)
        error = batch.error()
        if error is None or delivered:
            return delivered
        if self._heed(error, batch.records[0]):
            spool.acknowledge(1)
            return 1
        return 0

    def append(self, record: Record, seconds: float) -> None:
        """Bring one record to the log at once. Raises the log's error, or `LogUnavailableError` after `seconds`."""
        while True:
            batch = Batch(self._log, self._codec, [record])
            if not batch.wait(lambda silence: silence > seconds):
                raise LogUnavailableError(self._log.url, f"it has been busy for {seconds:g} s")
            error = batch.error()
            if error is None or self._heed(error, record):
                return

    def offer_again(self, path: Path, seconds: float) -> bool:
        """Bring a record that was set aside to the log; its file goes when the log takes it now.

        Raises the log's error for any other reason than that it still refuses it.
        """
        file = SpoolFile.open(path)
        batch = Batch(self._log, self._codec, list(file.records()))
        file.close()
        if not batch.wait(lambda silence: silence > seconds):
            raise LogUnavailableError(self._log.url, f"it has been busy for {seconds:g} s")
        error = batch.error()
        if error is None:
            path.unlink(missing_ok=True)
        elif not isinstance(error, RecordRefusedError):
            raise error
        return error is None

    def _heed(self, error: TasktapeError, record: Record) -> bool:
        """Do what the log's answer to a record asks for; whether that settles the record. Raises other errors."""
        if isinstance(error, UnknownTopicError) and error.topic not in self._created:
            self._created.add(error.topic)
            self._log.create_topics([TopicSpec(error.topic)])
            return False
        if isinstance(error, RecordRefusedError):
            self.refusal = error
            set_aside(record, self._refused, error)
            return True
        raise error

    def close(self, timeout: float) -> None:
        """Let go of the log."""
        self._log.close(timeout)


def _up_to_an_end(records: list[Record]) -> list[Record]:
    """Return the first records, without what is said of a task's life after things on other topics.

    Who reads that a run has ended finds all that it reported before: within a batch the log keeps no order of topics.
    """
    pairs = enumerate(pairwise(records), 1)
    ends = (place for place, (before, record) in pairs if record.topic == TasksEvent.topic != before.topic)
    return records[: next(ends, None)]


def open_forwarder(settings: Settings, refused: Path, heard: Callable[[], object] = lambda: None) -> Forwarder:
    """Open the settings' log, make sure that its topics exist, and return the way to it.

    `heard` is called at the log's first sign of life: topics may take a while. Raises `LogUnavailableError`, or
    whatever else keeps the log from opening.
    """
    log = settings.open_log()
    try:
        log.create_topics([])
        heard()
        log.create_topics(TOPICS)
        return Forwarder(log, settings.codec(), refused)
    except BaseException:
        log.close(0)
        raise


def set_aside(record: Record, folder: Path, error: TasktapeError) -> None:
    """Keep a record that the log refuses in a file of its own. Raises `OSError` where that fails."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / f"{uuid7()}.spool"
    file = SpoolFile.create(path)
    file.append(frame(record))
    file.close()
    again = "`tasktape sync` offers such events again."
    warn_once(f"refused_{record.topic}", f"{error} The event, about {record.key}, is kept in {path}. {again}")
