"""What a scaler knows of queues and agents, in whatever order their topics tell it."""

from __future__ import annotations

from typing import Any

import pytest

from tasktape.agent.appends import Appends
from tasktape.agent.follow import Reading
from tasktape.events import queue_events, worker_events
from tasktape.events.base import Event, Stamper
from tasktape.events.hardware import Hardware
from tasktape.events.instance_events import InstanceRequested, InstanceTerminated, Placement, ScalerLeads
from tasktape.events.log.port import LogRecord
from tasktape.events.parts import TaskSpec
from tasktape.events.worker_events import WorkerHeartbeat
from tasktape.scaler.seen import Seen

ENTRY = queue_events.entry_id("q", "t", 1)


class World:
    """A scaler of the queue `q` reads events, a second between them."""

    def __init__(self, lease: float = 10.0) -> None:
        self.seen = Seen("s", ["q"], Appends(), lease)
        self.stamp = Stamper("a")
        self.seconds = 0.0

    def read(self, *events: Event) -> None:
        for event in events:
            self.seconds += 1.0
            record = LogRecord(event.topic_name, 0, round(self.seconds), round(self.seconds * 1e6), event.key, b"", ())
            self.seen.apply(Reading(record, event), self.seconds)

    def entry(self, kind: type[Event], **fields: Any) -> Event:
        about = {"task": "t", "queue": "q", "run": 1, "entry": ENTRY}
        return kind.model_validate({"meta": self.stamp(), **about, **fields})

    def started(self, **fields: Any) -> Event:
        about = {"worker": "w", "host": "h", "pid": 1, "queues": ["q"], **fields}
        return worker_events.WorkerStarted.model_validate({"meta": self.stamp(), **about})

    def heartbeat(self, worker: str = "w") -> Event:
        return worker_events.WorkerHeartbeat(meta=self.stamp(), worker=worker, queues=["q"])


def test_a_queue_that_nobody_has_created_is_missing_and_so_is_a_deleted_one() -> None:
    world = World()
    for said, missing in ((None, {"q"}), (queue_events.QueueCreated, set()), (queue_events.QueueDeleted, {"q"})):
        if said is not None:
            world.read(said(meta=world.stamp(), queue="other"), said(meta=world.stamp(), queue="q"))
        assert world.seen.missing == missing


@pytest.mark.parametrize("late", [False, True])
def test_an_agent_is_on_its_machine_also_where_its_heartbeat_overtook_its_start(late: bool) -> None:
    world = World()
    said = [world.started(instance="i", slots=3), world.heartbeat()]
    world.read(*(reversed(said) if late else said))
    agent = world.seen.agents.get("w")
    assert agent is not None
    assert (agent.instance, agent.slots, world.seen.agents.on("i")) == ("i", 3, "w")
    assert [(one.worker, queues) for one, queues in world.seen.agents.living(world.seconds)] == [("w", ("q",))]


def test_an_agent_has_left_what_its_heartbeat_says_and_before_that_all_that_it_has() -> None:
    has, spare = Hardware(gpus=2), Hardware(gpus=1)
    beat = WorkerHeartbeat(meta=Stamper("a")(), worker="w", queues=["q"], spare=spare)
    for said, left in (([], has), ([beat], spare)):
        world = World()
        world.read(world.started(hardware=has), *said)
        agent = world.seen.agents.get("w")
        assert agent is not None
        assert agent.left_over() == left
    world = World()
    world.read(beat, world.started(hardware=has))
    agent = world.seen.agents.get("w")
    assert agent is not None
    assert agent.left_over() == spare, "a start that is read late tells no news"


@pytest.mark.parametrize(("lease", "open_entries"), [(1.5, 0), (10.0, 1)])
def test_claims_are_judged_by_the_lease_that_agents_have(lease: float, open_entries: int) -> None:
    world = World(lease)
    first, second = (world.entry(queue_events.EntryClaimed, worker=worker) for worker in ("dead", "w"))
    enqueued = world.entry(queue_events.EntryEnqueued, spec=TaskSpec(project="p", name="n"))
    taken = world.entry(queue_events.EntryTaken, worker="w", claim=second.meta.event_id)
    world.read(enqueued, first, world.heartbeat("other"), second, taken)
    fold = world.seen.queues["q"].fold
    assert len([*fold.waiting(), *fold.claimed()]) == open_entries


def test_machines_that_are_long_over_and_those_of_other_scalers_take_no_memory() -> None:
    world = World()
    world.read(ScalerLeads(meta=world.stamp(), scaler="s"), ScalerLeads(meta=world.stamp(), scaler="other"))
    for hours in range(40):
        world.seconds = 3600.0 * hours
        for scaler in ("s", "other"):
            about = {"scaler": scaler, "instance": f"i{hours}"}
            asked = {"provider": "local", "resource": "m", "queues": ["q"], "placement": Placement()}
            world.read(InstanceRequested.model_validate({"meta": world.stamp(), **about, **asked}))
            if hours:
                world.read(InstanceTerminated.model_validate({"meta": world.stamp(), **about}))
    assert list(world.seen.scaler.instances) == ["i0", *(f"i{hours}" for hours in range(15, 40))]
    assert list(world.seen.scaler.live) == ["i0"]
    assert list(world.seen.instances.scalers) == ["s"]
