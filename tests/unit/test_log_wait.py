"""An agent that starts while its log is away: it asks again, more and more seldom, says so, and knows when to stop."""

from __future__ import annotations

import logging
from itertools import repeat

import pytest

from tasktape.agent.log_wait import FIRST_PAUSE, LIMIT_SECONDS, LONGEST_PAUSE, LogWait
from tasktape.events.errors import LogSettingsError, LogUnavailableError, NotAllowedError, TasktapeError

AWAY = LogUnavailableError("kafka://k:9092", "Failed while waiting for controller")


class World:
    """A log that fails so often, and a clock that goes on while somebody sleeps."""

    def __init__(self, *failures: Exception) -> None:
        self._failures = iter(failures)
        self.now = 1000.0
        self.pauses: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds

    def ask(self) -> str:
        if (failure := next(self._failures, None)) is not None:
            raise failure
        return "answer"

    def wait(self) -> LogWait:
        return LogWait(clock=lambda: self.now, sleep=self.sleep)


def test_it_asks_until_the_log_answers_and_says_that_it_waits(caplog: pytest.LogCaptureFixture) -> None:
    world = World(*[AWAY] * 7)
    with caplog.at_level(logging.WARNING):
        assert world.wait()(world.ask) == "answer"
    assert world.pauses == [FIRST_PAUSE, 2, 4, 8, LONGEST_PAUSE, LONGEST_PAUSE, LONGEST_PAUSE]
    assert {getattr(record, "action", None) for record in caplog.records} == {"wait_for_log"}
    assert "waiting for controller" in caplog.records[0].message


@pytest.mark.parametrize(
    "error", [LogSettingsError("u", "Authentication failed"), NotAllowedError("u", "me", "READ", "it"), TasktapeError()]
)
def test_what_waiting_does_not_mend_is_raised_at_once(error: Exception) -> None:
    world = World(AWAY, error)
    with pytest.raises(type(error)):
        world.wait()(world.ask)
    assert len(world.pauses) == 1


def test_it_gives_up_after_its_limit_however_much_it_asks_for() -> None:
    world = World(AWAY, *repeat(AWAY, 100))
    wait = world.wait()
    with pytest.raises(LogUnavailableError):
        wait(world.ask)
    assert sum(world.pauses) == LIMIT_SECONDS
    with pytest.raises(LogUnavailableError):
        wait(world.ask)
    assert sum(world.pauses) == LIMIT_SECONDS
