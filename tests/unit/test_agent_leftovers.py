"""What processes that died on a machine left is brought on by its agents, even while they have no run."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from tasktape.agent import leftovers
from tasktape.agent.leftovers import Leftovers
from tasktape.events.parts import TaskSpec
from tasktape.events.settings import Settings
from tasktape.events.task_events import RunStarted, TaskCreated
from tasktape.producers.running import RunFile
from tasktape.producers.session import Session
from tasktape.projections import open_queries

Until = Callable[[Callable[[], Any]], Any]


@pytest.fixture
def settings(home: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A home in which a process died whose log was away: its events and its run were left."""
    settings = Settings(home=home, close_timeout=0.0)
    session = Session(settings)
    with monkeypatch.context() as patch:
        patch.setattr(Settings, "open_log", Mock(side_effect=OSError("nobody answers")))
        session.emit(TaskCreated(meta=session.stamp(), task="t", spec=TaskSpec(project="p", name="n")))
        session.emit(RunStarted(meta=session.stamp(), task="t", run=1))
        session.close()
    run = RunFile.create(settings, "t", 1)
    assert run is not None
    run.release()
    return settings


def test_an_agent_without_a_run_brings_on_what_was_left(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, until: Until
) -> None:
    """Also when the log is away at first."""
    monkeypatch.setattr(leftovers, "PERIOD", 0.01)
    recovery = threading.Lock()
    looking = Leftovers(settings, recovery)
    with monkeypatch.context() as patch:
        asked = Mock(side_effect=OSError("nobody answers"))
        patch.setattr(Settings, "open_log", asked)
        looking.start()
        until(lambda: asked.call_count > 1)
    until(lambda: not list((settings.home / "running").iterdir()))
    looking.close()
    with recovery, open_queries(settings) as queries:
        row = queries.task("t")
    assert row is not None
    assert (row.status, row.status_reason) == ("failed", "process died")
