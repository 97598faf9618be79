"""Queues changed from the command line while real agents serve them, on both logs, and by processes that are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tasktape.cli.main import app
from tasktape.events.queue_events import EntryClaimed, EntryEnqueued, queue_topic
from tasktape.events.task_events import EntryLeft, RunStarted
from tasktape.events.worker_events import WorkerHeartbeat
from tasktape.producers.session import change_session
from tasktape.tests.support.agent_site import AgentSite, agent_site

KILLED_AT = """
import os, signal, sys
from tasktape.producers import queue_desk
queue_desk.{function} = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
from tasktape.cli.main import main
sys.exit(main())
"""


@pytest.fixture
def site(log_url: str, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AgentSite]:
    with agent_site(log_url, home, tmp_path / "site") as made:
        for name, value in made.settings.items():
            monkeypatch.setenv(name, value)
        change_session(None)
        yield made
        change_session(None)


def tasktape(*arguments: str) -> None:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == 0, result.output


def killed_at(function: str, *arguments: str) -> subprocess.Popen[bytes]:
    """Start a command whose process is killed when it is about to say what this function makes."""
    return subprocess.Popen([sys.executable, "-c", KILLED_AT.format(function=function), *arguments], env=os.environ)


def starts(site: AgentSite) -> list[str]:
    found = sorted(site.events(RunStarted), key=lambda event: event.meta.occurred_at)
    return [event.task for event in found]


def test_what_waits_is_run_as_it_was_ordered_and_what_was_dequeued_is_not(site: AgentSite) -> None:
    tasktape("queues", "pause", "default", "--reason", "maintenance")
    tasktape("queues", "create", "other")
    site.agent("--queue", "other")
    site.wait(lambda: site.events(WorkerHeartbeat))
    first, dequeued, moved, last = (site.create("print('ran')") for _ in range(4))
    tasktape("tasks", "enqueue", first, dequeued, moved, last)
    tasktape("queues", "move", last, "--front")
    tasktape("tasks", "dequeue", dequeued)
    tasktape("queues", "pause", "other")
    tasktape("queues", "move", moved, "--to", "other")
    assert site.events(EntryClaimed) == []
    tasktape("queues", "resume", "default")
    assert [site.wait_for_end(task) for task in (last, first)] == [(1, "RunCompleted")] * 2
    tasktape("queues", "resume", "other")
    assert site.wait_for_end(moved) == (1, "RunCompleted")
    assert starts(site) == [last, first, moved]
    assert {event.task for event in site.events(EntryLeft)} == {dequeued, moved}


def test_what_the_killed_have_left_undone_is_done_by_owners_and_watchers(site: AgentSite) -> None:
    tasktape("queues", "create", "other")
    tasktape("queues", "create", "unserved")
    before_hop, before_note, dequeued, unserved = (site.create("print('ran')") for _ in range(4))
    tasktape("tasks", "enqueue", before_hop, before_note, dequeued)
    tasktape("tasks", "enqueue", unserved, "--queue", "unserved")
    processes = [
        killed_at("next_hop", "queues", "move", before_hop, "--to", "other"),
        killed_at("left", "queues", "move", before_note, "--to", "other"),
        killed_at("left", "tasks", "dequeue", dequeued),
        killed_at("next_hop", "queues", "move", unserved, "--to", "other"),
    ]
    assert [process.wait(60) for process in processes] == [-signal.SIGKILL] * 4
    arrived = [event.task for event in site.events(EntryEnqueued, queue_topic("other"))]
    assert arrived == [before_note]
    assert site.events(EntryLeft) == []
    site.agent("--queue", "other")
    moved = [before_hop, before_note, unserved]
    assert [site.wait_for_end(task) for task in moved] == [(1, "RunCompleted")] * 3
    site.wait(lambda: {event.task for event in site.events(EntryLeft)} == {*moved, dequeued})
    assert sorted(starts(site)) == sorted(moved)
