from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasktape.cli import demo
from tasktape.cli.demo import Commands, DemoError, Wait
from tasktape.cli.demo_scaler_watch import Scaling
from tasktape.cli.demo_watch import Watch, open_reader
from tasktape.events.base import Event, Stamper, new_task_id
from tasktape.events.codec import Codec
from tasktape.events.instance_events import (
    InstanceDraining,
    InstanceFailed,
    InstanceReady,
    InstanceRequested,
    InstanceTerminated,
    ScalerLeads,
)
from tasktape.events.log import Log, open_log
from tasktape.events.parts import TaskSpec
from tasktape.events.queue_events import EntryEnqueued
from tasktape.events.scalars import ScalarColumns, event_of
from tasktape.events.task_events import RunCompleted, RunStarted, TaskCreated
from tasktape.events.topics import TOPICS

ME = Stamper("me@here")


def created(task: str = "a", name: str = "digits", stamp: Stamper = ME) -> Event:
    return TaskCreated(meta=stamp(), task=task, spec=TaskSpec(project="examples", name=name))


def scalars(**changed: Any) -> Event:
    columns = {
        "meta": ME(),
        "task": "a",
        "run": 1,
        "series": (("accuracy", "train"), ("accuracy", "validation")),
        "index": np.array([0, 1, 1]),
        "steps": np.array([4, 3, 4]),
        "times": np.array([1, 2, 3]),
        "values": np.array([0.9, 0.7, 0.8]),
    }
    return event_of(ScalarColumns(**{**columns, **changed}))


@pytest.mark.parametrize(
    "stranger", [created(name="other"), created(stamp=Stamper("you@there")), RunStarted(meta=ME(), task="a", run=1)]
)
def test_only_the_demos_own_script_is_watched(stranger: Event) -> None:
    watch = Watch("me@here")
    assert not watch.apply(stranger)
    assert watch.seen == {}
    assert not watch.all_ended()


def test_a_life_is_seen_from_its_events() -> None:
    watch = Watch("me@here")
    assert watch.apply(created())
    assert not watch.apply(created("b"))
    assert watch.apply(RunStarted(meta=ME(), task="a", run=1))
    assert watch.seen["a"].status == "in_progress"
    assert watch.apply(scalars())
    assert (watch.seen["a"].iteration, watch.seen["a"].accuracy) == (5, 0.8)
    assert not watch.all_ended()
    assert watch.apply(RunCompleted(meta=ME(), task="a", run=1))
    assert watch.all_ended()


def test_scalars_of_another_kind_change_nothing_that_is_seen() -> None:
    watch = Watch("me@here")
    watch.apply(created())
    watch.apply(scalars(series=(("loss", "train"), ("loss", "validation"))))
    assert watch.seen["a"].accuracy is None


def test_a_variant_counts_from_the_moment_it_is_added() -> None:
    watch = Watch("me@here")
    watch.apply(created())
    watch.apply(RunCompleted(meta=ME(), task="a", run=1))
    watch.add("b", "digits, wider")
    assert not watch.all_ended()


@pytest.fixture
def commands(tmp_path: Path) -> Iterator[Commands]:
    with Commands(tmp_path) as commands:
        yield commands


def machine_event(said: type[Event], instance: str = "i", /, **fields: Any) -> Event:
    return said.model_validate({"meta": ME(), "scaler": "demo", "instance": instance, **fields})


def requested(instance: str) -> Event:
    about = {"provider": "local", "resource": "agent", "queues": ["scaled"], "placement": {}}
    return machine_event(InstanceRequested, instance, **about, reason="2 waiting in scaled")


def told(seen: Scaling, *happened: Event) -> list[str]:
    return [line for at, event in enumerate(happened) for line in seen.apply(event, float(at))]


def test_a_scaler_is_told_of_from_its_events() -> None:
    seen = Scaling("demo")
    assert told(
        seen,
        ScalerLeads(meta=ME(), scaler="another"),
        ScalerLeads(meta=ME(), scaler="demo"),
        requested("i"),
        requested("j"),
        machine_event(InstanceReady, "i", worker="w"),
        machine_event(InstanceFailed, "j", kind="provider", message="no more processes"),
        ScalerLeads(meta=ME(), scaler="demo"),
        machine_event(InstanceDraining, "i", reason="nothing to do"),
        machine_event(InstanceTerminated, "i"),
    ) == [
        "a scaler leads",
        "it asks for agent 1: 2 waiting in scaled",
        "it asks for agent 2: 2 waiting in scaled",
        "agent 1 serves",
        "agent 2: no more processes",
        "the next scaler leads, and goes on with the agents there are",
        "agent 1 is told to leave: nothing to do",
        "agent 1 is gone",
    ]
    assert (seen.most, seen.live(), seen.leads) == (2, [], 2)
    assert (seen.machines["i"].served, seen.machines["i"].gone) == (4.0, 8.0)


def test_tasks_count_in_whatever_order_their_topics_are_read() -> None:
    seen = Scaling("demo")
    told(seen, requested("i"))
    happened = [RunStarted(meta=ME(), task="a", run=1, worker="w"), RunCompleted(meta=ME(), task="a", run=1)]
    assert told(seen, *happened) == []
    assert seen.over() == 0, "it is not known to be a task of the demo"
    about = {"task": "a", "queue": "scaled", "run": 1, "spec": TaskSpec(project="p", name="n")}
    told(seen, EntryEnqueued(meta=ME(), entry="e", **about))
    assert (seen.over(), seen.starts["a"], seen.ran_on(seen.machines["i"])) == (1, 1, 0)
    told(seen, machine_event(InstanceReady, worker="w"))
    assert seen.ran_on(seen.machines["i"]) == 1


def waiting(log: Log) -> Wait:
    return Wait(open_reader(log), Codec(), Watch("me@here"), lambda: None)


@pytest.fixture
def log() -> Iterator[Log]:
    with open_log(f"memory://{new_task_id()}") as log:
        log.create_topics(TOPICS)
        yield log


def test_a_program_that_fails_ends_the_wait_with_its_last_words(log: Log, commands: Commands) -> None:
    failing = commands.start("script", ["-c", "print('last words'); raise SystemExit(3)"])
    with pytest.raises(DemoError, match=r"(?s)script ended with exit code 3.*last words"):
        waiting(log).until(lambda: False, failing)


def test_patience_ends(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "PATIENCE", 0.0)
    with pytest.raises(DemoError, match="tasktape doctor"):
        waiting(log).until(lambda: False)


def test_programs_end_with_the_demo(tmp_path: Path) -> None:
    with Commands(tmp_path) as commands:
        sleeper = commands.start("agent", ["-c", "import time; time.sleep(600)"])
        assert not sleeper.ended()
    assert sleeper.process.returncode is not None
