"""What a controller concludes from what its children say, each event in its place."""

from __future__ import annotations

from typing import Any

import pytest

from tasktape.events import task_events as said
from tasktape.events.base import Stamper
from tasktape.events.parts import Artifact, Model, TaskSpec
from tasktape.events.task_events import TasksEvent
from tasktape.producers.controllers.children import Child, Children

SPEC = TaskSpec(project="p", name="t")
STAMP = Stamper("ada@lab")


def heard(*events: TasksEvent, retries: int | None = 0, run: int = 1, spec: TaskSpec | None = None) -> Child:
    children = Children()
    children.watch("t", run, retries, spec)
    for event in events:
        children.apply(event)
    return children["t"]


def say(kind: type[TasksEvent], run: int = 1, **fields: Any) -> TasksEvent:
    return kind.model_validate({"meta": STAMP(), "task": "t", "run": run, **fields})


def created() -> TasksEvent:
    return said.TaskCreated(meta=STAMP(), task="t", spec=SPEC)


def started(run: int = 1, *, continues: bool = False) -> TasksEvent:
    return say(said.RunStarted, run, worker="w", continues=continues)


def failed(run: int = 1, cause: str = "task") -> TasksEvent:
    return say(said.RunFailed, run, reason="exception", message="no", cause=cause)


def lost(run: int = 1, worker: str = "w") -> TasksEvent:
    return say(said.RunLost, run, worker=worker)


def uploaded(run: int, name: str = "out") -> TasksEvent:
    return say(said.ArtifactUploaded, run, artifact=Artifact(name=name, type="dict", uri=f"{run}", size=1, sha256="a"))


def test_a_child_waits_runs_and_ends() -> None:
    life = [created(), started(), say(said.RunCompleted)]
    assert [heard(*life[:count]).status for count in range(4)] == ["waiting", "waiting", "running", "completed"]
    assert heard(created(), started(), failed()).status == "failed"
    assert heard(created(), started(), failed()).message == "exception: no"
    assert heard(created(), started(), say(said.RunStopped)).status == "aborted"


@pytest.mark.parametrize("events", [[created()], []], ids=["made here", "made long ago"])
def test_what_happens_to_a_child_before_it_starts_is_heard_whoever_made_it(events: list[TasksEvent]) -> None:
    left = say(said.EntryLeft, entry="e", reason="dequeued")
    assert heard(*events, left).status == "aborted"
    assert heard(*events, failed(cause="infrastructure"), retries=None).status == "failed"
    assert heard(*events, lost(), retries=None).status == "failed"
    assert heard(*events, say(said.TaskReset)).status == "aborted"
    assert heard(*events, say(said.EntryLeft, entry="e", reason="moved")).status == "waiting"


def test_a_child_that_is_deleted_is_aborted() -> None:
    assert heard(created(), said.TaskDeleted(meta=STAMP(), task="t")).status == "aborted"


def test_what_agents_run_again_is_under_way_until_they_give_up() -> None:
    once = heard(created(), started(), failed(), retries=1)
    assert (once.status, once.run, once.is_over) == ("waiting", 2, False)
    assert heard(created(), started(), failed(), started(2), failed(2), retries=1).status == "failed"
    assert heard(created(), started(), failed(), retries=None).status == "failed"
    losses = [event for run in range(1, 5) for event in (started(run), lost(run))]
    assert heard(created(), *losses[:6]).status == "waiting"
    assert heard(created(), *losses).status == "failed"
    assert heard(created(), started(), say(said.RunPreempted, worker="w")).run == 2


def test_events_that_do_not_count_change_nothing() -> None:
    assert heard(created(), started(), lost(worker="other")).status == "running"
    assert heard(created(), started(), say(said.RunCompleted), failed()).status == "completed"
    assert heard(created(), started(), lost(), started(2), failed(1)).status == "running"


def test_another_run_that_is_awaited_makes_what_ended_before_irrelevant() -> None:
    children = Children()
    children.watch("t", 1, 0)
    for event in (created(), started(), failed()):
        children.apply(event)
    children.await_run("t", 2)
    assert children["t"].status == "waiting"
    for event in (say(said.TaskReset), started(2)):
        children.apply(event)
    assert (children["t"].status, children["t"].retries) == ("running", 0)


def test_outputs_are_those_of_the_draft_and_of_runs_that_were_not_done_again() -> None:
    drafted = uploaded(0, "given")
    assert set(heard(created(), drafted, started(), uploaded(1)).artifacts) == {"given", "out"}
    again = [created(), drafted, started(), uploaded(1), lost(), started(2)]
    assert set(heard(*again).artifacts) == {"given"}
    assert set(heard(*again, uploaded(1)).artifacts) == {"given"}
    assert heard(*again, uploaded(2)).artifacts["out"].uri == "2"
    assert set(heard(*again[:-1], started(2, continues=True)).artifacts) == {"given", "out"}
    assert heard(*again[:-1], say(said.TaskReset)).artifacts == {}
    assert heard(created(), started(), uploaded(1), say(said.ArtifactDeleted, name="out")).artifacts == {}


def test_models_are_told_in_the_order_in_which_they_came() -> None:
    def saved(key: str, run: int = 1) -> TasksEvent:
        model = Model(id=key, name=key, framework="torch", uri="u", size=1, sha256="a")
        return say(said.ModelSaved, run, model=model)

    child = heard(created(), started(), saved("a"), saved("b"), saved("c"), say(said.ModelDeleted, model_id="b"))
    assert [model.id for model in child.models] == ["a", "c"]
    assert heard(created(), started(), saved("a"), lost(), started(2)).models == []


def test_a_child_stays_news_until_nothing_follows_from_it() -> None:
    children = Children()
    children.watch("t", 1, 0)
    children.watch("u", 1, 0)
    assert list(children.news(lambda child: [child.task] if child.task == "t" else [])) == ["t"]
    assert list(children.news(lambda child: [child.task])) == ["t"]
    assert list(children.news(lambda _: [])) == []
    assert list(children.news(lambda child: [child.task])) == []
    children.look_again("u")
    assert list(children.news(lambda child: [child.task])) == ["u"]
