"""Rebuilding from zero gives the rows that following live gave, whatever was cut, interleaved, repeated or damaged."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasktape.events import (
    instance_events,
    limit_events,
    pipeline_events,
    queue_events,
    report_events,
    search_events,
    task_events,
    worker_events,
)
from tasktape.events.base import EPOCH, Event, Meta
from tasktape.events.codec import Codec
from tasktape.events.log.memory import MemoryLog
from tasktape.events.log.port import LogRecord, Positions, Reader, TopicPartition
from tasktape.events.parts import Artifact, BlobRef, Model, Parameter, TaskSpec
from tasktape.events.scalars import ScalarColumns, event_of
from tasktape.events.topics import TopicSpec, queue_spec
from tasktape.projections.database import Database
from tasktape.projections.projector import Projector

CODEC = Codec()
NAMES = ("", "a", "quote \"' <b>&amp;</b>", "new\nline", "☃ 🎉", "x" * 300, "a/b; DROP TABLE events; --")
TASKS = ("t1", "t2", "t3")
QUEUES = ("q 1", "q/2")
WORKERS = ("w1", "w2")
SCOPES = ("queue:q 1", "user:a", "tag:x")
MODELS = ("m1", "m2")
SCALERS = ("s/1", "s 2")
MACHINES = ("i1", "i2", "i3")
DAMAGED = (b"", b"\xc3\x01", b"\xc3\x01" + bytes(8) + b"x", b"garbage", None)
BLOB = BlobRef(uri="file:///b", size=3, sha256="s")
TOPICS = (
    *(TopicSpec(name, partitions=2) for name in ("tasktape.tasks", "tasktape.metrics", "tasktape.reports")),
    *(TopicSpec(name, partitions=2) for name in ("tasktape.console", "tasktape.control", "tasktape.workers")),
    TopicSpec("tasktape.queues", partitions=1),
    TopicSpec("tasktape.instances", partitions=1),
    *(queue_spec(queue)._replace(partitions=2) for queue in QUEUES),
)
SPEC = TaskSpec(project="p", name="n", parameters=[Parameter(name="General/lr", value="0.1")])

VALUES = (0.0, -0.0, 1.5, -2.25, 1e300, 0.1, 0.2, float("nan"), float("inf"), float("-inf"))
STEPS = (0, 1, 1, 2, 3, -1, 2**62, -(2**62))
Appended = tuple[str, str | None, bytes | None, int]
"""Topic, key, value, and seconds since the record before."""
Fields = dict[str, Any]


class Story:
    """Things that happen to three tasks, two queues and two workers; most make sense, some do not."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.one_of = chance.choice
        self.runs = dict.fromkeys(TASKS, 0)
        self.entries: list[Fields] = []
        self.claims: list[Fields] = []
        self.permits: list[Fields] = []
        self.said = 0

    def happens(self) -> tuple[str, str, bytes]:
        """Topic, key and value of the next event."""
        kind, fields = (PLOTS[0] if self.said < 2 * len(TASKS) else self.one_of(PLOTS))(self)
        event_id = fields.pop("event_id", "")
        self.said += 1
        event = kind.model_validate({"meta": meta(self.one_of("xyz"), self.said, event_id), **fields})
        return event.topic_name, event.key, CODEC.encode(event)

    def name(self) -> str:
        return self.one_of(NAMES)

    def task(self) -> Fields:
        return {"task": self.one_of(TASKS)}

    def run(self) -> Fields:
        task = self.one_of(TASKS)
        return {"task": task, "run": max(0, self.runs[task] + self.one_of((0, 0, 0, 0, 1, -1)))}

    def report(self) -> Fields:
        return {**self.run(), "title": self.name(), "series": self.name(), "iteration": self.one_of(STEPS)}

    def next_run(self) -> Fields:
        task = self.one_of(TASKS)
        self.runs[task] += 1
        return {"task": task, "run": self.runs[task]}

    def entry(self) -> Fields:
        if not self.entries:
            return self.new_entry()
        return {**self.one_of(self.entries[-6:]), "event_id": f"e{self.chance.randint(0, 10 ** self.one_of((1, 9)))}"}

    def new_entry(self) -> Fields:
        about = {"queue": self.one_of(QUEUES), **self.next_run()}
        about["entry"] = queue_events.entry_id(about["queue"], about["task"], about["run"])
        self.entries.append(about)
        return dict(about)

    def hop(self) -> Fields:
        origin = self.entry()
        moved = queue_events.entry_id(origin["queue"], origin["task"], origin["run"], 1)
        self.entries.append({**origin, "queue": self.one_of(QUEUES), "entry": moved})
        return {**self.entries[-1], "event_id": "", "hop": 1, "origin": origin["entry"]}

    def claim(self) -> Fields:
        self.claims.append({**self.entry(), "worker": self.one_of(WORKERS)})
        return dict(self.claims[-1])

    def take(self) -> Fields:
        claimed = self.one_of(self.claims[-4:] or [self.claim()])
        return {**claimed, "claim": claimed.get("event_id", ""), "event_id": ""}

    def start(self) -> Fields:
        taken = self.one_of(self.claims[-4:] or [self.claim()])
        return {name: taken[name] for name in ("task", "run", "entry", "worker")}

    def defined(self) -> Fields:
        limit = self.one_of((0.0, 2.5, float("inf")))
        steps = [{"name": name, "time_limit": limit} for name in self.chance.sample(NAMES, self.chance.randint(0, 4))]
        for place, step in enumerate(steps):
            step |= {"parents": [before["name"] for before in steps[:place]], "callbacks": ["status", "post"]}
        return {**self.run(), "name": self.name(), "steps": steps, "time_limit": limit, "horizon": [1, 2]}

    def step(self, *, child: bool = True) -> Fields:
        ran = {"child": self.one_of(TASKS), "child_run": self.chance.randint(0, 3)} if child else {}
        return {**self.run(), "step": self.name(), **ran}

    def searched(self) -> Fields:
        objectives = [{"title": self.name(), "series": self.name(), "sign": self.one_of(("min", "max_global"))}]
        limits = {"time": self.one_of((0.0, float("inf")))}
        about = {"base_task": "t", "strategy": "s", "objectives": objectives, "limits": limits, "horizon": [1]}
        return {**self.run(), **about, "space": self.name()}

    def trial(self) -> Fields:
        return {**self.run(), "trial": self.chance.randint(0, 3)}

    def finished(self) -> Fields:
        status = self.one_of(("completed", "failed", "aborted", "pruned"))
        return {**self.trial(), "status": status, "values": [self.one_of(VALUES)][: self.chance.randint(0, 1)]}

    def permit(self) -> Fields:
        entry = self.entry()
        scopes = self.chance.sample(SCOPES, self.chance.randint(0, len(SCOPES)))
        about = {**{name: entry[name] for name in ("task", "run", "entry")}, "worker": self.one_of(WORKERS)}
        self.permits.append({**about, "event_id": f"p{self.said}"})
        return {**self.permits[-1], "scopes": scopes}

    def release(self) -> Fields:
        held = self.one_of(self.permits[-6:] or [self.permit()])
        return {**{name: held[name] for name in ("task", "run", "worker")}, "permit": held["event_id"]}

    def scaler(self) -> Fields:
        return {"scaler": self.one_of(SCALERS)}

    def machine(self) -> Fields:
        return {**self.scaler(), "instance": self.one_of(MACHINES)}

    def new_machine(self) -> Fields:
        placement = {"zone": self.name(), "spot": True, "hourly_cost": self.one_of((0.0, 0.1, 2.5))}
        kind = {"provider": "local", "resource": self.name(), "queues": list(QUEUES), "placement": placement}
        return {**self.machine(), **kind, "slots": 2}

    def decided(self) -> Fields:
        needs = [{"queue": queue, "waiting": 3, "held_back_by": self.name()} for queue in QUEUES]
        return {**self.scaler(), "needs": needs, "instances": {"ready": 1}, "hourly_cost": 0.1, "stuck": [self.name()]}

    def scalars(self) -> Fields:
        about, size = self.run(), self.chance.randint(0, 8)
        titles, names = ("loss", "loss", ":monitor:cpu", self.name()), ("a", "a", "a", self.name())
        series = [(self.one_of(titles), self.one_of(names)) for _ in range(self.one_of((1, 3)))]
        times = [self.one_of((0, 10**15, 2**63 - 1, -(2**63))) for _ in range(size)]
        columns = ScalarColumns(
            meta=meta("", 0),
            task=about["task"],
            run=about["run"],
            series=tuple(series),
            index=np.array([self.chance.randrange(len(series)) for _ in range(size)], np.int64),
            steps=np.array([self.one_of(STEPS) for _ in range(size)], np.int64),
            times=np.array(times, np.int64),
            values=np.array([self.one_of(VALUES) for _ in range(size)], np.float64),
        )
        return event_of(columns).model_dump(exclude={"meta"})

    def lines(self) -> list[Fields]:
        return [{"at": self.one_of(STEPS), "stream": "stdout", "text": self.name()} for _ in range(3)]

    def edit(self) -> Fields:
        field, new = self.one_of((("tags", '["a", "b"]'), ("name", '"m"'), ("nothing", "1"), ("script.commit", '"c"')))
        return {"field": field, "old": "null", "new": new}

    def artifact(self) -> Artifact:
        return Artifact(name=self.name(), type="file", uri=self.name(), size=1, sha256="")

    def model(self) -> Model:
        return Model(id=self.one_of(MODELS), name=self.name(), published=self.one_of((True, False)))

    def parameters(self) -> list[Parameter]:
        return [Parameter(name=self.name(), value=self.name()) for _ in range(2)]


PLOTS: tuple[Callable[[Story], tuple[type[Event], Fields]], ...] = (
    *[lambda s: (task_events.TaskCreated, {**s.task(), "spec": SPEC})] * 3,
    lambda s: (task_events.RunStarted, {**s.next_run(), "continues": s.one_of((True, False))}),
    *[lambda s: (task_events.RunStarted, s.start())] * 2,
    lambda s: (task_events.RunProgressed, {**s.run(), "progress": s.chance.randint(0, 100)}),
    lambda s: (task_events.RunCompleted, {**s.run(), "force": s.one_of((True, False))}),
    lambda s: (task_events.RunFailed, {**s.run(), "reason": s.name(), "traceback": s.name()}),
    lambda s: (task_events.RunStopped, s.run()),
    lambda s: (task_events.RunLost, {**s.run(), "worker": s.one_of(WORKERS)}),
    lambda s: (task_events.EntryLeft, {name: s.entry()[name] for name in ("task", "run", "entry")}),
    lambda s: (task_events.TaskReset, s.run()),
    lambda s: (task_events.TaskPublished if s.chance.random() < 0.2 else task_events.TaskArchived, s.task()),
    lambda s: (task_events.TaskDeleted if s.chance.random() < 0.2 else task_events.TaskUnarchived, s.task()),
    lambda s: (task_events.TaskEdited, {**s.task(), **s.edit()}),
    lambda s: (task_events.ParametersSet, {**s.task(), "parameters": s.parameters()}),
    lambda s: (task_events.ConfigurationSet, {**s.task(), "configuration": {"name": s.name(), "text": s.name()}}),
    *[lambda s: (task_events.ArtifactUploaded, {**s.run(), "artifact": s.artifact()})] * 2,
    lambda s: (task_events.ArtifactDeleted, {**s.run(), "name": s.name()}),
    *[lambda s: (task_events.ModelSaved, {**s.run(), "model": s.model()})] * 2,
    lambda s: (task_events.ModelAttached, {**s.run(), "model_id": s.one_of(MODELS), "name": s.name()}),
    lambda s: (task_events.ModelDeleted, {**s.run(), "model_id": s.one_of(MODELS)}),
    *[lambda s: (pipeline_events.PipelineDefined, s.defined())] * 4,
    lambda s: (pipeline_events.PipelineContinued, {**s.run(), "steps": [s.name(), s.name()]}),
    lambda s: (pipeline_events.PipelineStopping, {**s.run(), "reason": s.name()}),
    lambda s: (pipeline_events.StepAdded, {**s.run(), "step": {"name": s.name(), "parents": [s.name()]}}),
    *[lambda s: (pipeline_events.StepQueued, {**s.step(), "queue": "q 1", "cache_key": s.name()})] * 3,
    *[lambda s: (pipeline_events.StepStarted, s.step())] * 2,
    lambda s: (pipeline_events.StepRetried, s.step()),
    *[lambda s: (pipeline_events.StepFinished, {**s.step(), "status": s.one_of(("completed", "failed", "aborted"))})]
    * 2,
    lambda s: (pipeline_events.StepCached, {**s.step(child=False), "child": s.one_of(TASKS), "cache_key": ""}),
    lambda s: (pipeline_events.StepSkipped, {**s.step(child=False), "reason": s.name()}),
    lambda s: (pipeline_events.CallbackReturned, {**s.step(child=False), "callback": "status", "occasion": 1}),
    *[lambda s: (search_events.SearchDefined, s.searched())] * 3,
    lambda s: (search_events.SearchContinued, s.run()),
    lambda s: (search_events.SearchStopping, {**s.run(), "reason": s.name()}),
    *[lambda s: (search_events.TrialQueued, {**s.trial(), "child": s.name(), "parameters": s.parameters()})] * 5,
    *[lambda s: (search_events.TrialStarted, s.trial())] * 2,
    lambda s: (search_events.TrialStopping, {**s.trial(), "status": "pruned", "reason": s.name()}),
    *[lambda s: (search_events.TrialFinished, s.finished())] * 3,
    lambda s: (search_events.TrialTold, s.trial()),
    *[lambda s: (report_events.ScalarsReported, s.scalars())] * 6,
    lambda s: (report_events.SingleValueReported, {**s.run(), "name": s.name(), "value": s.one_of(VALUES)}),
    lambda s: (report_events.PlotReported, {**s.report(), "figure": s.name()}),
    lambda s: (report_events.TextReported, {**s.report(), "text": s.name()}),
    lambda s: (report_events.MediaReported, {**s.report(), "kind": "image", "content_type": "", "blob": BLOB}),
    lambda s: (report_events.ConsoleWritten, {**s.run(), "lines": s.lines()}),
    lambda s: (queue_events.AbortRequested, {**s.run(), "reason": s.name()}),
    *[lambda s: (queue_events.EntryEnqueued, {**s.new_entry(), "spec": SPEC})] * 2,
    lambda s: (queue_events.EntryEnqueued, {**s.hop(), "spec": SPEC}),
    *[lambda s: (queue_events.EntryClaimed, s.claim())] * 4,
    *[lambda s: (queue_events.EntryTaken, s.take())] * 3,
    lambda s: (queue_events.EntryDequeued, s.entry()),
    lambda s: (queue_events.EntryMoved, {**s.entry(), "to_queue": s.one_of(("", *QUEUES))}),
    lambda s: (queue_events.QueueCreated, {"queue": s.one_of(QUEUES)}),
    lambda s: (queue_events.QueuePaused, {"queue": s.one_of(QUEUES)}),
    lambda s: (queue_events.QueueDeleted, {"queue": s.one_of(QUEUES)}),
    lambda s: (limit_events.LimitSet, {"scope": s.one_of(SCOPES), "running": s.one_of((None, 1, 2))}),
    *[lambda s: (limit_events.PermitClaimed, s.permit())] * 3,
    lambda s: (limit_events.PermitReleased, s.release()),
    lambda s: (worker_events.WorkerStarted, {"worker": s.one_of(WORKERS), "host": s.name(), "pid": 1, "queues": []}),
    lambda s: (worker_events.WorkerHeartbeat, {"worker": s.one_of(WORKERS), "queues": [s.one_of(QUEUES)]}),
    lambda s: (worker_events.WorkerStopped, {"worker": s.one_of(WORKERS)}),
    *[lambda s: (instance_events.ScalerLeads, s.scaler())] * 2,
    *[lambda s: (instance_events.InstanceRequested, {**s.new_machine(), "reason": s.name()})] * 3,
    lambda s: (instance_events.InstanceAdopted, {**s.new_machine(), "machine": s.name()}),
    *[lambda s: (instance_events.InstanceLaunched, {**s.machine(), "machine": s.name(), "zone": s.name()})] * 3,
    *[lambda s: (instance_events.InstanceReady, {**s.machine(), "worker": s.one_of(WORKERS)})] * 2,
    lambda s: (instance_events.InstanceDraining, {**s.machine(), "reason": s.name()}),
    lambda s: (instance_events.InstanceTerminating, {**s.machine(), "reason": s.name()}),
    lambda s: (instance_events.InstanceTerminated, {**s.machine(), "reason": s.name()}),
    lambda s: (instance_events.InstanceFailed, {**s.machine(), "kind": "capacity", "message": s.name()}),
    *[lambda s: (instance_events.ScalingDecided, s.decided())] * 3,
)


def meta(session: str, seq: int, event_id: str = "") -> Meta:
    moment = EPOCH + timedelta(seconds=1_000_000_000 + seq)
    return Meta(event_id=event_id or f"{session}-{seq}", occurred_at=moment, actor="a", session=session, seq=seq)


def history_of(chance: random.Random, size: int, *, copies: bool = True) -> list[Appended]:
    """Records of a story; some damaged, cut off, on a topic they don't belong on, or copies of earlier ones."""
    story = Story(chance)
    found: list[Appended] = []
    for _ in range(size):
        topic, key, value = story.happens()
        pause = chance.choice((0, 0, 1, 6))
        fate = chance.randint(0, 40)
        if fate == 0:
            found.append((chance.choice(TOPICS).name, chance.choice((None, *TASKS)), chance.choice(DAMAGED), pause))
        elif fate == 1:
            found.append((topic, key, value[: chance.randrange(len(value))], pause))
        elif fate == 2:
            found.append(("tasktape.reports", chance.choice(TASKS), value, pause))
        elif fate == 3:
            found.append(("tasktape.workers", chance.choice(WORKERS), None, pause))
        elif fate in {4, 5} and copies and found:
            found.append((*chance.choice(found)[:3], pause))
        found.append((topic, key, value, pause))
    return found


class Clock:
    def __init__(self) -> None:
        self.us = 1_790_000_000_000_000

    def __call__(self) -> int:
        return self.us


def new_log() -> tuple[MemoryLog, Clock]:
    clock = Clock()
    log = MemoryLog(clock=clock)
    log.create_topics(TOPICS)
    return log, clock


def append(log: MemoryLog, clock: Clock, record: Appended) -> None:
    topic, key, value, pause = record
    clock.us += pause * 1_000_000
    log.append(topic, key, value)


class ShuffledReader(Reader):
    """Hands out records of partitions in a random interleaving, in batches of random sizes."""

    def __init__(self, log: MemoryLog, positions: Mapping[TopicPartition, int], chance: random.Random) -> None:
        self._log = log
        self._chance = chance
        self._readers: dict[TopicPartition, Reader] = {}
        self._tired = False
        self.add(positions)

    def poll(self, timeout: float = 0.0, limit: int = 1000) -> Sequence[LogRecord]:
        del timeout, limit
        self._tired = not self._tired and self._chance.random() < 0.5
        for reader in self._chance.sample(list(self._readers.values()), len(self._readers)):
            if not self._tired and (records := reader.poll(0, self._chance.randint(1, 4))):
                return records
        return []

    def wake(self) -> None:
        """Never waits."""

    def positions(self) -> Positions:
        return {source: reader.positions()[source] for source, reader in self._readers.items()}

    def is_at_end(self) -> bool:
        return all(reader.is_at_end() for reader in self._readers.values())

    def add(self, positions: Mapping[TopicPartition, int]) -> None:
        self._readers |= {source: self._log.read({source: at}) for source, at in positions.items()}

    def close(self) -> None:
        for reader in self._readers.values():
            reader.close()


class ShuffledLog(MemoryLog):
    """The records of another log, read in a random interleaving of its partitions."""

    def __init__(self, plain: MemoryLog, chance: random.Random) -> None:
        super().__init__()
        self._store = plain._store
        self._plain = plain
        self._chance = chance

    def read(self, positions: Mapping[TopicPartition, int]) -> Reader:
        return ShuffledReader(self._plain, positions, self._chance)


def project(log: MemoryLog, database: Database, until: Positions | None = None) -> None:
    projector = Projector(log, database, CODEC, until=until)
    projector.catch_up()
    projector.close()


def followed_live(history: Sequence[Appended], chance: random.Random) -> tuple[MemoryLog, Database]:
    """Append a history bit by bit, projecting in between, now and then with a projector that starts afresh."""
    log, clock = new_log()
    database = Database.in_memory("")
    projector = Projector(log, database, CODEC)
    projector.discover()
    for record in history:
        append(log, clock, record)
        if chance.random() < 0.1:
            projector.step()
        if chance.random() < 0.02:
            projector.close()
            projector = Projector(log, database, CODEC)
            projector.discover()
    projector.catch_up()
    projector.close()
    return log, database


def nothing(table: str, column: str) -> bool:  # noqa: ARG001  a predicate like the one below
    return False


def contents(database: Database, without: Callable[[str, str], bool] = nothing) -> dict[str, list[str]]:
    """Every table and view, its rows as sorted text."""
    columns: dict[str, list[str]] = {}
    catalogue = (
        "SELECT table_name, column_name FROM duckdb_columns() WHERE NOT internal ORDER BY table_name, column_index"
    )
    for table, column in database.connection.execute(catalogue).fetchall():
        if not without(table, column):
            columns.setdefault(table, []).append(f'"{column}"')
    return {
        table: sorted(map(repr, database.connection.execute(f"SELECT {', '.join(found)} FROM {table}").fetchall()))
        for table, found in columns.items()
    }


LEAN = settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.too_slow])
chances = st.randoms(use_true_random=True)
sizes = st.integers(1, 250)


@LEAN
@given(chances, sizes)
def test_rebuilding_in_any_interleaving_gives_what_following_live_gave(chance: random.Random, size: int) -> None:
    history = history_of(chance, size)
    log, live = followed_live(history, chance)
    rebuilt = Database.in_memory("")
    project(ShuffledLog(log, chance), rebuilt)
    assert contents(rebuilt) == contents(live)
    live.close()
    rebuilt.close()


def about_places(table: str, column: str) -> bool:
    """What copies on the log do change: offsets, and the audit that shows them."""
    return table in {"events", "sessions", "positions", "dead_letters"} or column in {"offset", "claim_offset"}


@LEAN
@given(chances, sizes)
def test_copies_of_events_change_no_row(chance: random.Random, size: int) -> None:
    history = history_of(chance, size, copies=False)
    copied = list(history)
    for _ in range(chance.randint(1, 20)):
        source = chance.choice([place for place, record in enumerate(copied) if record[2] is not None])
        copied.insert(chance.randint(source + 1, len(copied)), (*copied[source][:3], 0))
    plain, repeated = (followed_live(records, chance)[1] for records in (history, copied))
    assert contents(repeated, about_places) == contents(plain, about_places)
    plain.close()
    repeated.close()


@LEAN
@given(chances, sizes)
def test_a_moment_of_history_is_what_was_there_at_that_moment(chance: random.Random, size: int) -> None:
    history = history_of(chance, size)
    log, clock = new_log()
    moment = chance.randint(0, len(history))
    for record in history[:moment]:
        append(log, clock, record)
    then = Database.in_memory("")
    project(log, then)
    positions = log.end_positions(log.topics())
    for record in history[moment:]:
        append(log, clock, record)
    now = Database.in_memory("")
    project(log, now, until=positions)
    assert contents(now) == contents(then)
    then.close()
    now.close()
