"""A home, a log and a process state of its own for each test that makes tasks in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tasktape import Task
from tasktape.events.parts import Script
from tasktape.events.settings import load_settings
from tasktape.producers import begin as beginning
from tasktape.producers import describing, lineage, requirements, sender, task_init, warn
from tasktape.producers.session import Session, change_session, process
from tasktape.projections import open_queries
from tasktape.projections.query import Queries
from tasktape.projections.rows import EventRow

Begin = Callable[..., Task]
PATIENCE = 30.0
"""Seconds to wait for the log before doing without it: that a machine is busy must not change what is tested."""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty home with the embedded log; afterwards nothing of the test is left in this process."""
    for name in (lineage.TASK_ID, lineage.RUN, lineage.SPEC_FILE, lineage.PROC_TASK, lineage.SIMULATED):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("TASKTAPE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("TASKTAPE_LOG", raising=False)
    monkeypatch.setattr(requirements.wishes, "added", {})
    monkeypatch.setattr(describing, "describe", lambda *_, **__: Script(entry_point="script.py"))
    monkeypatch.setattr(task_init.InitMixin, "_install", lambda *_: None)
    monkeypatch.setattr(beginning, "VERIFY_SECONDS", PATIENCE)
    monkeypatch.setattr(sender, "STRAIGHT_SECONDS", PATIENCE)
    held = _projection_held_open(monkeypatch)
    yield tmp_path / "home"
    if process.task is not None:
        process.task.close()
    change_session(None)
    for queries in held:
        queries.close()
    process.is_offline = None
    warn.forget()


def _projection_held_open(monkeypatch: pytest.MonkeyPatch) -> list[Queries]:
    """Hold the projection from the first question to the test's end: then questions are quick."""
    held: list[Queries] = []
    ask = Session.queries

    def queries(self: Session) -> Queries:
        found = ask(self)
        if not held:
            held.append(open_queries(self.settings, fresh=False))
        return found

    monkeypatch.setattr(Session, "queries", queries)
    return held


@pytest.fixture
def begin() -> Begin:
    """Begin a task as a script does, without seeding the test run's random numbers."""
    Task.set_random_seed(None)

    def init(project: str = "project", name: str = "task", **options: Any) -> Task:
        return Task.init(project, name, **options)

    return init


@pytest.fixture
def as_agent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[Task], Task]:
    """Begin a task in this process as if an agent had started it for a run of `task`."""

    def start(task: Task) -> Task:
        with open_queries(load_settings()) as queries:
            spec = queries.spec(task.id)
        assert spec is not None
        file = tmp_path / "spec.json"
        file.write_text(spec.model_dump_json())
        monkeypatch.setenv(lineage.TASK_ID, task.id)
        monkeypatch.setenv(lineage.RUN, "7")
        monkeypatch.setenv(lineage.SPEC_FILE, str(file))
        return Task.init("names of", "the script")

    return start


@pytest.fixture
def events_of() -> Callable[[Task], list[EventRow]]:
    """All events of a task in order, with what became of them."""

    def read(task: Task) -> list[EventRow]:
        task.flush()
        with open_queries(load_settings()) as queries:
            return queries.events(task.id)

    return read
