"""A script that is tried must not search over itself: each of its trials would start a search of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasktape.errors import UsageError
from tasktape.events.parts import Script, TaskSpec
from tasktape.producers import lineage
from tasktape.producers.pipelines.preparing import Base
from tasktape.producers.search.recursion import TRIAL_TAG, refuse_own_kind

TRAINING = Script(entry_point="train.py", source="train()")
SEARCHING = Script(entry_point="search.py", source="search()")


def run_as(task: str, script: Script, tags: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Be the process that an agent has started for a task."""
    spec = folder / "spec.json"
    spec.write_text(TaskSpec(project="p", name="n", script=script, tags=tags).model_dump_json())
    monkeypatch.setenv(lineage.TASK_ID, task)
    monkeypatch.setenv(lineage.SPEC_FILE, str(spec))


def base(task: str, script: Script) -> Base:
    return Base(task, TaskSpec(project="p", name="n", script=script))


@pytest.mark.parametrize(("task", "code"), [("trial", TRAINING), ("base", SEARCHING)])
def test_a_trial_starts_no_search_over_itself_or_its_like(
    task: str, code: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_as("trial", SEARCHING, ["mine", f"{TRIAL_TAG}search"], tmp_path, monkeypatch)
    with pytest.raises(UsageError, match="without end"):
        refuse_own_kind(base(task, code))


def test_others_search_over_what_they_like(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_own_kind(base("base", SEARCHING))
    run_as("search", SEARCHING, ["mine"], tmp_path, monkeypatch)
    refuse_own_kind(base("base", SEARCHING))
    run_as("trial", SEARCHING, [f"{TRIAL_TAG}search"], tmp_path, monkeypatch)
    refuse_own_kind(base("base", TRAINING))
