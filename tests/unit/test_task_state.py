"""The task state machine: the rules one by one, then all of them against a model in plain Python."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasktape.events.base import Meta
from tasktape.events.parts import Artifact, Configuration, Model, Parameter, TaskSpec
from tasktape.events.task_events import (
    ArtifactDeleted,
    ArtifactUploaded,
    ConfigurationSet,
    EntryLeft,
    ModelSaved,
    ParametersSet,
    RunCompleted,
    RunEvent,
    RunFailed,
    RunLost,
    RunPreempted,
    RunProgressed,
    RunStarted,
    RunStopped,
    TaskArchived,
    TaskCreated,
    TaskDeleted,
    TaskEdited,
    TaskPublished,
    TaskReset,
    TasksEvent,
    TaskUnarchived,
)
from tasktape.projections.task_state import Rejection, TaskState, apply

START = datetime(2026, 1, 1, tzinfo=UTC)
SPEC = TaskSpec(project="p", name="n", parameters=[Parameter(name="General/lr", value="0.1")])


def meta(second: int = 0) -> Meta:
    return Meta(event_id="e", occurred_at=START + timedelta(seconds=second), actor="a", session="s", seq=second)


def event(kind: type[TasksEvent], second: int = 0, /, **fields: object) -> TasksEvent:
    return kind.model_validate({"meta": meta(second), "task": "t", **fields})


class Life:
    """A task to which things happen."""

    def __init__(self) -> None:
        self.state = TaskState()
        self.refusal = ""
        self.second = 0

    def then(self, kind: type[TasksEvent], **fields: object) -> Life:
        self.second += 1
        outcome = apply(self.state, event(kind, self.second, **fields))
        self.refusal = outcome.reason if isinstance(outcome, Rejection) else ""
        if isinstance(outcome, TaskState):
            self.state = outcome
        return self

    @property
    def status(self) -> str:
        return self.state.status

    @property
    def spec(self) -> TaskSpec:
        assert self.state.spec is not None
        return self.state.spec


def draft() -> Life:
    return Life().then(TaskCreated, spec=SPEC)


def running(worker: str = "", entry: str = "") -> Life:
    return draft().then(RunStarted, run=1, worker=worker, entry=entry)


def test_a_preempted_run_is_neither_completed_nor_failed() -> None:
    task = running("w", "q/t/1/0").then(RunPreempted, run=1, worker="w", reason="SIGTERM")
    run = task.state.run
    assert (task.status, run.ended, run.reason, run.message) == ("stopped", True, "preempted", "SIGTERM")
    assert task.then(RunStarted, run=2, worker="x", entry="q/t/2/0").status == "in_progress"


@pytest.mark.parametrize(
    ("task", "worker", "refusal"),
    [
        (running("w"), "x", "another worker started the run"),
        (draft(), "w", "the run has not been started"),
        (running("w").then(RunCompleted, run=1), "w", "the run has ended: completed"),
    ],
    ids=["another's", "not started", "over"],
)
def test_only_the_worker_that_runs_it_preempts_a_run(task: Life, worker: str, refusal: str) -> None:
    status = task.status
    assert task.then(RunPreempted, run=1, worker=worker).refusal == refusal
    assert task.status == status


def test_a_script_runs_from_draft_to_completed() -> None:
    task = running()
    assert task.status == "in_progress"
    task.then(RunProgressed, run=1, progress=40).then(RunCompleted, run=1, message="done")
    assert (task.status, task.state.run.progress, task.state.run.message) == ("completed", 40, "done")
    assert task.state.run.started_at == START + timedelta(seconds=2)
    assert task.state.run.ended_at == START + timedelta(seconds=4)
    assert task.state.changed_at == START + timedelta(seconds=4)


def test_nothing_happens_to_a_task_that_is_not_there() -> None:
    assert Life().then(RunStarted, run=1).refusal == "there is no such task"


def test_a_task_is_created_once() -> None:
    assert draft().then(TaskCreated, spec=SPEC).refusal == "the task exists"


def test_outputs_may_arrive_before_their_task() -> None:
    artifact = Artifact(name="a", type="file", uri="file:///a", size=1, sha256="")
    assert not Life().then(ArtifactUploaded, run=1, artifact=artifact).refusal


@pytest.mark.parametrize("second", [RunCompleted, RunFailed, RunStopped])
def test_the_first_final_event_of_a_run_wins(second: type[TasksEvent]) -> None:
    fields = {"reason": "x"} if second is not RunCompleted else {}
    task = running().then(RunStopped, run=1).then(second, run=1, **fields)
    assert (task.status, task.refusal) == ("stopped", "the run has ended: stopped")


def test_force_changes_how_a_run_ended() -> None:
    assert running().then(RunStopped, run=1).then(RunCompleted, run=1, force=True).status == "completed"


def test_a_draft_is_completed_by_force_alone() -> None:
    assert draft().then(RunCompleted, run=0).refusal == "the run has not been started"
    assert draft().then(RunCompleted, run=0, force=True).status == "completed"


def test_a_run_that_waits_can_be_stopped_or_fail_and_then_never_starts() -> None:
    task = draft().then(RunStopped, run=1)
    assert task.status == "stopped"
    assert task.then(RunStarted, run=1, worker="w", entry="e").refusal == "the run has ended"
    assert draft().then(RunFailed, run=1, reason="no environment").status == "failed"


def test_a_run_that_waits_is_completed_by_force_alone() -> None:
    assert draft().then(RunCompleted, run=1).refusal == "the run has not been started"


def test_the_first_start_of_a_run_wins() -> None:
    task = running("w1", "q1/t/1/0").then(RunStarted, run=1, worker="w2", entry="q2/t/1/0")
    assert (task.state.run.worker, task.refusal) == ("w1", "the run has been started")


def test_what_an_earlier_run_says_of_its_end_is_void_once_a_later_one_began() -> None:
    task = running().then(RunStarted, run=2, worker="w", entry="q/t/2/0").then(RunCompleted, run=1)
    assert (task.status, task.state.run.number, task.refusal) == ("in_progress", 2, "run 2 has begun since")


def test_a_second_local_start_needs_force_while_a_run_is_under_way() -> None:
    assert running().then(RunStarted, run=2).refusal == "another run is under way"
    assert running().then(RunStarted, run=2, force=True).state.run.number == 2
    assert running().then(RunFailed, run=1, reason="x").then(RunStarted, run=2).status == "in_progress"


def test_runs_are_numbered_from_one() -> None:
    assert draft().then(RunStarted, run=0).refusal == draft().then(RunLost, run=0, worker="w").refusal != ""


def test_a_lost_run_has_failed() -> None:
    task = running("w").then(RunLost, run=1, worker="w", reason="no heartbeat for 15 s")
    assert (task.status, task.state.run.reason, task.state.run.message) == ("failed", "lost", "no heartbeat for 15 s")


def test_a_run_that_nobody_started_can_be_lost() -> None:
    task = draft().then(RunLost, run=1, worker="w", entry="e")
    assert (task.status, task.state.run.worker) == ("failed", "w")
    assert task.then(RunStarted, run=1, worker="w", entry="e").refusal == "the run has ended"


def test_a_run_that_another_worker_started_is_not_lost() -> None:
    assert running("w2").then(RunLost, run=1, worker="w1").refusal == "another worker started the run"


def test_nothing_starts_or_is_lost_from_an_entry_that_left_its_queue() -> None:
    task = draft().then(EntryLeft, run=1, entry="e")
    assert task.then(RunStarted, run=1, worker="w", entry="e").refusal == "its entry has left the queue"
    assert task.then(RunLost, run=1, worker="w", entry="e").refusal == "its entry has left the queue"
    assert task.then(RunStarted, run=1, worker="w", entry="other").status == "in_progress"


def test_an_entry_of_a_later_run_stays_void_when_an_earlier_run_begins() -> None:
    task = draft().then(EntryLeft, run=2, entry="e").then(RunStarted, run=1).then(RunCompleted, run=1)
    assert task.then(RunStarted, run=2, worker="w", entry="e").refusal == "its entry has left the queue"


def test_an_entry_that_a_run_started_from_has_not_left() -> None:
    task = running("w", "e").then(EntryLeft, run=1, entry="e")
    assert task.refusal == "a run started from that entry"
    assert task.then(RunLost, run=1, worker="w", entry="e").status == "failed"


def test_a_reset_makes_a_draft_and_hides_what_was() -> None:
    task = running().then(RunCompleted, run=1).then(TaskReset, run=1)
    assert (task.status, task.state.visible_from, task.state.resets) == ("created", 2, 1)
    assert task.then(RunProgressed, run=1, progress=1).refusal == "the run is not under way"
    assert task.then(RunStarted, run=1).refusal == "the run has ended"
    assert task.then(RunStarted, run=2).status == "in_progress"


def test_a_run_under_way_can_be_reset_and_its_end_is_void() -> None:
    task = running("w").then(TaskReset, run=1).then(RunCompleted, run=1)
    assert (task.status, task.refusal) == ("created", "the run was reset")


def test_a_reset_that_does_not_know_of_a_later_run_is_void() -> None:
    assert running("w").then(TaskReset, run=0).refusal == "run 1 has begun since"


def test_a_new_run_hides_the_outputs_of_earlier_ones_unless_it_continues_them() -> None:
    ended = running().then(RunCompleted, run=1)
    assert ended.state.visible_from == 1
    assert Life.then(ended, RunStarted, run=2, continues=True).state.visible_from == 1
    assert running().then(RunCompleted, run=1).then(RunStarted, run=2).state.visible_from == 2


@pytest.mark.parametrize("final", [RunCompleted, RunFailed, RunStopped])
def test_what_has_ended_can_be_published(final: type[TasksEvent]) -> None:
    fields = {"reason": "x"} if final is RunFailed else {}
    assert running().then(final, run=1, **fields).then(TaskPublished, message="v1").status == "published"


def test_what_has_not_ended_can_not_be_published() -> None:
    assert draft().then(TaskPublished).refusal == "a task that is created can't be published"
    assert running().then(TaskPublished).refusal == "a task that is in_progress can't be published"


def published() -> Life:
    return running().then(RunCompleted, run=1).then(TaskPublished)


@pytest.mark.parametrize("field", ["tags", "system_tags", "comment"])
def test_of_a_published_task_tags_and_comment_may_change(field: str) -> None:
    new = '"c"' if field == "comment" else '["c"]'
    task = published().then(TaskEdited, field=field, old="null", new=new)
    assert not task.refusal
    assert not task.then(TaskArchived).refusal
    assert not task.then(TaskUnarchived).refusal


def test_nothing_else_of_a_published_task_may_change() -> None:
    task = published()
    artifact = Artifact(name="a", type="file", uri="file:///a", size=1, sha256="")
    for kind, fields in (
        (TaskEdited, {"field": "name", "old": '"n"', "new": '"m"'}),
        (ParametersSet, {"parameters": []}),
        (RunStarted, {"run": 2, "force": True}),
        (RunStopped, {"run": 1, "force": True}),
        (TaskReset, {"run": 1}),
        (ArtifactUploaded, {"run": 1, "artifact": artifact}),
        (TaskPublished, {}),
    ):
        assert task.then(kind, **fields).refusal == "the task is published"


def test_a_published_task_is_reset_by_force() -> None:
    assert published().then(TaskReset, run=1, force=True).status == "created"


def test_models_live_on_after_their_task() -> None:
    model = Model(id="m", name="m")
    assert not published().then(ModelSaved, run=1, model=model).refusal
    assert not draft().then(TaskDeleted).then(ModelSaved, run=1, model=model).refusal


def test_a_deleted_task_is_gone_for_good() -> None:
    task = draft().then(TaskDeleted)
    for kind, fields in (
        (TaskCreated, {"spec": SPEC}),
        (RunStarted, {"run": 1}),
        (ArtifactDeleted, {"run": 1, "name": "a"}),
    ):
        assert task.then(kind, **fields).refusal == "the task is deleted"


def test_an_edit_changes_one_field_however_deep() -> None:
    task = draft().then(TaskEdited, field="script.commit", old='""', new='"abc"')
    assert (task.spec.script.commit, task.spec.name) == ("abc", "n")


@pytest.mark.parametrize(
    ("field", "new"),
    [
        ("nothing", "1"),
        ("script.nothing", "1"),
        ("name.first", "1"),
        ("tags", '"a"'),
        ("retries", '"x"'),
        ("hardware.gpus", "-1"),
        ("name", "{"),
    ],
)
def test_an_edit_that_does_not_fit_changes_nothing(field: str, new: str) -> None:
    task = draft().then(TaskEdited, field=field, old="null", new=new)
    assert task.refusal.startswith("the edit does not fit")
    assert task.spec == SPEC


def test_parameters_keep_their_places_when_set_again() -> None:
    task = draft().then(ParametersSet, parameters=[Parameter(name="Args/a", value="1")])
    task.then(ParametersSet, parameters=[Parameter(name="General/lr", value="1"), Parameter(name="Args/b", value="2")])
    assert [(p.name, p.value) for p in task.spec.parameters] == [("General/lr", "1"), ("Args/a", "1"), ("Args/b", "2")]


def test_parameters_can_be_removed_and_whole_sections_replaced() -> None:
    task = draft().then(ParametersSet, parameters=[Parameter(name=f"Args/{k}", value="1") for k in "abc"])
    task.then(ParametersSet, parameters=[], removed=["General/lr"])
    task.then(ParametersSet, parameters=[Parameter(name="Args/b", value="2")], replace=True)
    assert [(p.name, p.value) for p in task.spec.parameters] == [("Args/b", "2")]


def test_a_configuration_is_set_whole() -> None:
    task = draft().then(ConfigurationSet, configuration=Configuration(name="c", text="1"))
    task.then(ConfigurationSet, configuration=Configuration(name="c", text="2"))
    assert [(c.name, c.text) for c in task.spec.configurations] == [("c", "2")]


# The model: facts are kept as they come, and each rule is a sentence about them.


class Model_:  # noqa: N801  a model of the machine, not tasktape's Model
    """What the machine must say, in plain Python."""

    def __init__(self) -> None:
        self.created = self.published = self.deleted = self.archived = False
        self.runs: dict[int, dict[str, str]] = {}
        self.current = 0
        self.left: set[tuple[int, str]] = set()
        self.reset_runs: set[int] = set()

    def run(self, number: int) -> dict[str, str]:
        return self.runs.setdefault(number, {"start": "", "end": "", "worker": "", "entry": ""})

    @property
    def status(self) -> str:
        run = self.run(self.current)
        if self.published:
            return "published"
        if self.current in self.reset_runs:
            return "created"
        return run["end"] or ("in_progress" if run["start"] else "created")

    def legal(self, e: TasksEvent) -> bool:
        if self.deleted:
            return False
        if isinstance(e, TaskCreated):
            return not self.created
        if not self.created:
            return False
        if self.published:
            return isinstance(e, TaskArchived | TaskDeleted) or (
                isinstance(e, TaskReset) and e.force and e.run >= self.current
            )
        if isinstance(e, TaskPublished):
            return self.status in {"completed", "failed", "stopped"}
        return isinstance(e, TaskArchived | TaskDeleted) or (isinstance(e, RunEvent) and self.legal_of_run(e))

    def legal_of_run(self, e: RunEvent) -> bool:
        number, run, ended = e.run, self.run(e.run), self.over(e.run)
        if number < self.current:
            return False
        if isinstance(e, RunStarted):
            under_way = bool(self.run(self.current)["start"]) and not self.over(self.current)
            void = e.entry and (number, e.entry) in self.left
            free = not under_way or bool(e.entry) or e.force
            return number > self.current and not void and free
        if isinstance(e, RunLost):
            void = e.entry and (number, e.entry) in self.left
            mine = not run["start"] or run["worker"] == e.worker
            return number > 0 and not ended and not void and mine
        if isinstance(e, EntryLeft):
            return self.run(self.current)["entry"] != e.entry
        if isinstance(e, RunCompleted | RunFailed | RunStopped):
            waits = number > self.current and not isinstance(e, RunCompleted)
            return e.force or (not ended and (bool(run["start"]) or waits))
        return True

    def over(self, number: int) -> bool:
        return bool(self.run(number)["end"]) or number in self.reset_runs

    def apply(self, e: TasksEvent) -> bool:
        if not self.legal(e):
            return False
        if isinstance(e, TaskCreated):
            self.created = True
        elif isinstance(e, TaskPublished):
            self.published = True
        elif isinstance(e, TaskArchived):
            self.archived = True
        elif isinstance(e, TaskDeleted):
            self.deleted = True
        elif isinstance(e, EntryLeft):
            self.left.add((e.run, e.entry))
        elif isinstance(e, RunEvent):
            self.apply_to_run(e)
        return True

    def apply_to_run(self, e: RunEvent) -> None:
        self.current = e.run
        run = self.run(self.current)
        if isinstance(e, RunStarted):
            run.update(start="yes", worker=e.worker, entry=e.entry)
        elif isinstance(e, TaskReset):
            self.reset_runs.add(self.current)
            self.published = False
        else:
            self.reset_runs.discard(self.current)
            ends: dict[type[TasksEvent], str] = {RunCompleted: "completed", RunStopped: "stopped"}
            run["end"] = ends.get(type(e), "failed")
            if isinstance(e, RunLost):
                run.update(worker=e.worker, entry=e.entry or run["entry"])


runs = st.integers(0, 3)
entries = st.sampled_from(("", "e1", "e2"))
names = st.sampled_from(("w1", "w2"))


def lives(kind: type[TasksEvent], **fields: st.SearchStrategy[object]) -> st.SearchStrategy[TasksEvent]:
    return st.fixed_dictionaries(fields).map(lambda values: event(kind, **values))


things = st.one_of(
    lives(TaskCreated, spec=st.just(SPEC)),
    lives(RunStarted, run=runs, worker=names, entry=entries, force=st.booleans()),
    lives(RunStarted, run=runs),
    lives(RunCompleted, run=runs, force=st.booleans()),
    lives(RunFailed, run=runs, reason=st.just("x")),
    lives(RunStopped, run=runs, force=st.booleans()),
    lives(RunLost, run=runs, worker=names, entry=entries),
    lives(EntryLeft, run=runs, entry=st.sampled_from(("e1", "e2"))),
    lives(TaskReset, run=runs, force=st.booleans()),
    lives(TaskPublished),
    lives(TaskArchived),
    lives(TaskDeleted) | lives(RunStarted, run=runs),
)


def folded(events: Iterable[TasksEvent]) -> TaskState:
    state = TaskState()
    for one in events:
        outcome = apply(state, one)
        state = outcome if isinstance(outcome, TaskState) else state
    return state


@given(st.lists(things, max_size=25))
def test_the_machine_judges_every_history_as_the_model_does(history: list[TasksEvent]) -> None:
    state, model = TaskState(), Model_()
    for one in [event(TaskCreated, spec=SPEC), *history]:
        outcome = apply(state, one)
        assert isinstance(outcome, TaskState) == model.apply(one), one
        state = outcome if isinstance(outcome, TaskState) else state
        assert (state.status, state.run.number) == (model.status, model.current)
        assert (state.archived, state.deleted) == (model.archived, model.deleted)


@given(st.lists(things, max_size=25))
def test_a_state_survives_being_written_down(history: list[TasksEvent]) -> None:
    state = folded(history)
    assert TaskState.model_validate_json(state.model_dump_json()) == state
