"""What `tasktape.testing` gives users' own tests."""

from __future__ import annotations

import doctest
import os
from collections.abc import Sequence

import pytest

from tasktape import Task, testing
from tasktape.events.log import LogRecord, Reader, open_log
from tasktape.events.log.memory import MemoryLog
from tasktape.events.topics import TopicSpec
from tasktape.testing import append_all, events_on, in_memory, memory_log, records_on


def test_its_example_works() -> None:
    result = doctest.testmod(testing)
    assert (result.failed, result.attempted) == (0, 4)


def test_a_memory_log_is_shared_by_its_url_and_forgotten_afterwards() -> None:
    with memory_log() as log:
        log.create_topics([TopicSpec("t", 1)])
        with open_log(log.url) as same:
            append_all(same, "t", [("k", b"v")])
        assert [record.value for record in records_on(log)] == [b"v"]
    with open_log(log.url) as new:
        assert new.topics() == {}
    MemoryLog.forget(log.url.removeprefix("memory://"))


def fail_with_a_task_running() -> None:
    with in_memory():
        Task.init(project_name="p", task_name="t", auto_connect_frameworks=False, auto_resource_monitoring=False)
        raise ZeroDivisionError


def test_a_task_left_running_is_closed_and_the_environment_is_as_before() -> None:
    before = dict(os.environ)
    with pytest.raises(ZeroDivisionError):
        fail_with_a_task_running()
    assert dict(os.environ) == before
    assert Task.current_task() is None
    with in_memory() as log:
        assert events_on(log) == []


class Stuck(MemoryLog):
    """A log whose readers find nothing."""

    def read(self, positions: object) -> Reader:
        reader = super().read(positions)  # type: ignore[arg-type]
        reader.poll = nothing  # type: ignore[method-assign]
        return reader


def nothing(timeout: float = 0.0, limit: int = 1000) -> Sequence[LogRecord]:  # noqa: ARG001  as readers have it
    return []


def test_a_log_that_gives_nothing_is_given_up() -> None:
    with Stuck() as log:
        log.create_topics([TopicSpec("t", 1)])
        append_all(log, "t", [("k", b"v")])
        with pytest.raises(TimeoutError, match="has more records, but gave nothing"):
            records_on(log, ["t"], timeout=0.01)
