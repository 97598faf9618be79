"""For tests of your own: tasktape on a log in memory, and what a log holds, in plain Python."""

from __future__ import annotations

import os
import tempfile
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager

from .events.base import Event
from .events.codec import Codec
from .events.log import Delivery, Log, LogRecord
from .events.log.memory import MemoryLog
from .events.log.past import past_in_batches

__all__ = ["append_all", "events_on", "in_memory", "memory_log", "records_on"]


@contextmanager
def memory_log() -> Iterator[MemoryLog]:
    """Give an empty log in this process's memory; its `url` opens it again within the block, nowhere else."""
    name = uuid.uuid4().hex
    try:
        with MemoryLog.named(name) as log:
            yield log
    finally:
        MemoryLog.forget(name)


@contextmanager
def in_memory() -> Iterator[MemoryLog]:
    """Let this process's tasks live on a log in memory, with an empty home folder, until the block ends.

    >>> from tasktape import Task
    >>> from tasktape.testing import events_on, in_memory
    >>> with in_memory() as log:
    ...     task = Task.init(project_name="tests", task_name="one", auto_connect_frameworks=False)
    ...     task.close()
    ...     names = [type(event).__name__ for event in events_on(log)]
    >>> "RunCompleted" in names
    True
    """
    from .producers.session import change_session, process  # noqa: PLC0415  the log alone must not cost the SDK

    with ExitStack() as stack:
        home = stack.enter_context(tempfile.TemporaryDirectory())
        log = stack.enter_context(memory_log())
        stack.enter_context(_environment({"TASKTAPE_LOG": log.url, "TASKTAPE_HOME": home}))
        change_session(None)
        try:
            yield log
        finally:
            if process.task is not None:
                process.task.close()
            change_session(None)


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def append_all(log: Log, topic: str, records: Iterable[tuple[str | None, bytes | None]]) -> list[Delivery]:
    """Append records, given as key and value, and return their delivery reports in the order they came."""
    deliveries: list[Delivery] = []
    for key, value in records:
        log.append(topic, key, value, on_delivery=deliveries.append)
    log.flush()
    return deliveries


def records_on(log: Log, topics: Iterable[str] | None = None, timeout: float = 10.0) -> list[LogRecord]:
    """Return all records of these topics (default: of all), by topic, partition and offset.

    Raises `TimeoutError` when the log has more, but gives nothing for `timeout` seconds.
    """
    names = sorted(log.topics()) if topics is None else list(topics)
    found: list[LogRecord] = []
    deadline = time.monotonic() + timeout
    for batch in past_in_batches(log, log.end_positions(names), log.start_positions(names)):
        if batch:
            found += batch
            deadline = time.monotonic() + timeout
        elif time.monotonic() > deadline:
            raise TimeoutError(f"the log {log.url} has more records, but gave nothing for {timeout} s")
    return sorted(found)


def events_on(log: Log, topics: Iterable[str] | None = None) -> list[Event]:
    """Return all events of these topics (default: of all) in the order of their append times."""
    codec = Codec()
    records = sorted(records_on(log, topics), key=lambda record: record.timestamp)
    return [codec.decode(record.value) for record in records if record.value is not None]
