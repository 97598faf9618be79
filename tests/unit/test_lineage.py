"""A process knows on whose behalf it runs from its environment, and is not fooled by what the dead left there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tasktape.events.parts import TaskSpec
from tasktape.producers import lineage
from tasktape.producers.lineage import Announced, Assigned


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (lineage.TASK_ID, lineage.RUN, lineage.SPEC_FILE, lineage.PROC_TASK, lineage.SIMULATED):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def parent(pid: int) -> Announced:
    return Announced(pid=pid, task="t", run=3, project="p", name="n", task_type="training", initial_iteration=5)


def test_a_child_finds_its_parents_task() -> None:
    lineage.announce(parent(os.getppid()))
    assert lineage.announced() == parent(os.getppid())


def test_a_process_is_not_its_own_child() -> None:
    lineage.announce(parent(os.getpid()))
    assert lineage.announced() is None


def test_a_parent_that_is_gone_has_no_task() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    lineage.announce(parent(gone.pid))
    assert lineage.announced() is None


def test_an_agents_run_is_no_part_of_the_task_that_started_the_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    lineage.announce(parent(os.getppid()))
    monkeypatch.setenv(lineage.TASK_ID, "another")
    assert lineage.announced() is None
    monkeypatch.setenv(lineage.TASK_ID, "t")
    assert lineage.announced() is not None


def test_nothing_is_announced_after_the_withdrawal() -> None:
    lineage.announce(parent(os.getppid()))
    lineage.withdraw()
    lineage.withdraw()
    assert lineage.announced() is None


@pytest.mark.parametrize("text", ["", "no JSON", "[]", '{"pid": 1}', '{"unknown": 1}'])
def test_a_damaged_announcement_is_none(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv(lineage.PROC_TASK, text)
    assert lineage.announced() is None


def test_an_agents_run_is_found_with_its_spec(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    spec = TaskSpec(project="p", name="n", comment="edited")
    (tmp_path / "spec.json").write_text(spec.model_dump_json())
    monkeypatch.setenv(lineage.TASK_ID, "t")
    monkeypatch.setenv(lineage.RUN, "4")
    monkeypatch.setenv(lineage.SPEC_FILE, str(tmp_path / "spec.json"))
    assert lineage.runs_remotely()
    assert lineage.assigned() == Assigned("t", 4, spec)


def test_a_spec_that_cannot_be_read_is_left_to_the_log(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(lineage.TASK_ID, "t")
    monkeypatch.setenv(lineage.SPEC_FILE, str(tmp_path / "missing.json"))
    assert lineage.assigned() == Assigned("t", 0, None)


def test_without_an_agent_the_script_decides() -> None:
    assert not lineage.runs_remotely()
    assert lineage.assigned() is None


def test_a_simulated_run_has_no_agent() -> None:
    lineage.simulate("t")
    assert lineage.assigned() == Assigned("t", 0, None, simulated=True)


def test_an_announcement_is_json_that_other_tools_can_read() -> None:
    lineage.announce(parent(1))
    assert json.loads(os.environ[lineage.PROC_TASK])["task"] == "t"
