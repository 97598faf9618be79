"""A scaler's mind over a log in memory: who may decide, what is done once, and what a successor goes on with."""

from __future__ import annotations

from dataclasses import replace

from tasktape.events.hardware import Hardware
from tasktape.events.instance_events import (
    SIGN_OF_LIFE,
    InstanceAdopted,
    InstanceDraining,
    InstanceFailed,
    InstanceLaunched,
    InstanceReady,
    InstanceRequested,
    InstanceTerminated,
    InstanceTerminating,
    Placement,
    ScalerLeads,
    ScalingDecided,
)
from tasktape.scaler.core import EXPLAIN
from tasktape.scaler.provider import Order
from tasktape.scaler.settings import Resource
from tasktape.tests.support.scaler_world import NEVER, World, instances_of
from tasktape.tests.support.scaling import scaler_of

IDLE = 15 * 60.0


def world_of(**settings: object) -> World:
    return World(scaler_of(**settings))  # type: ignore[arg-type]


def order(instance: str) -> Order:
    return Order(instance, "m", Resource(), Placement(), ["q"])


# The life of a machine.


def test_a_machine_comes_for_an_entry_works_and_goes() -> None:
    world = world_of()
    world.enqueue()
    world.until(lambda: world.statuses() == {"ready": 1})
    world.run(60.0 + IDLE + 60.0)
    told = (InstanceRequested, InstanceLaunched, InstanceReady, InstanceDraining, InstanceTerminating)
    assert [len(world.said(kind)) for kind in (*told, InstanceTerminated)] == [1] * 6
    assert (world.provider.up(), world.waiting(), world.provider.ended_busy) == ([], 0, [])
    assert [state.reason for state in world.states()] == ["its agent has left"], "it says why to the end"


def test_an_entry_is_answered_within_a_second() -> None:
    world = world_of()
    world.run(30)
    asked_at = world.now
    world.enqueue()
    world.until(lambda: bool(world.provider.machines))
    assert world.now - asked_at <= 1.5


def test_all_machines_that_are_needed_are_launched_with_one_call() -> None:
    world = world_of(queues={"q": [("m", 50)]})
    world.enqueue(40)
    world.until(lambda: len(world.provider.machines) == 40)
    assert world.provider.calls["launch"] == 1


def test_a_refused_machine_is_over_and_another_place_is_tried_at_once() -> None:
    world = world_of(resources={"m": {"availability_zone": ["a", "b"]}})
    world.provider.refuse = lambda order: "capacity" if order.placement.zone == "a" else None
    world.enqueue()
    world.run(5)
    assert [state.placement.zone for state in world.states() if state.status == "booting"] == ["b"]
    assert [event.kind for event in world.said(InstanceFailed)] == ["capacity"]


def test_a_throttled_provider_is_not_asked_again_at_once() -> None:
    world = world_of(queues={"q": [("m", 5), ("n", 5)]})
    world.provider.refuse = lambda _order: "throttled"
    world.enqueue()
    world.run(25)
    assert world.provider.calls["launch"] == 1


# Leading.


def test_nothing_is_decided_before_the_provider_has_listed_its_machines() -> None:
    world = world_of()
    world.provider.is_down = True
    world.enqueue()
    world.run(60)
    assert (world.said(InstanceRequested), world.provider.machines) == ([], {})
    world.provider.is_down = False
    world.until(lambda: bool(world.provider.machines), 30)


def test_nothing_is_decided_while_a_decision_has_not_been_read_back() -> None:
    world = world_of(queues={"q": [("m", 50)]})
    world.run(5)
    world.enqueue(3)
    world.until(lambda: len(world.scaler.core.appends) > 0)
    world.enqueue(3)
    owed = len(world.scaler.core.appends)
    for _ in range(20):
        world.scaler.core.step(world.now)
    assert (len(world.scaler.core.appends), world.provider.machines) == (owed, {})


def test_however_long_the_log_is_away_nothing_is_decided_twice() -> None:
    world = world_of(queues={"q": [("m", 50)]})
    world.run(5)
    world.enqueue(3)
    world.until(lambda: len(world.scaler.core.appends) > 0)
    world.scaler.is_cut_off = True
    world.run(60)
    assert world.provider.machines == {}
    world.scaler.is_cut_off = False
    world.run(30)
    assert (len(world.said(InstanceRequested)), len(world.provider.machines)) == (3, 3)


def test_what_a_deposed_leader_decides_is_void() -> None:
    world = world_of()
    world.run(5)
    first = world.scaler
    first.is_cut_off = True
    second = world.start()
    world.until(lambda: second.core.leads)
    world.enqueue()
    world.run(5)
    stale = InstanceRequested(
        meta=world.log[0].event.meta.model_copy(update={"event_id": "stale"}),  # type: ignore[union-attr]
        scaler="default",
        instance="void",
        provider="local",
        resource="m",
        queues=["q"],
        placement=Placement(),
    )
    world.put(stale)
    first.chosen, first.is_cut_off = False, False
    world.run(30)
    assert len(world.provider.machines) == 1
    assert "void" not in {state.instance for state in world.states()}


def test_of_two_scalers_that_both_think_themselves_chosen_one_decides() -> None:
    world = world_of()
    world.start()
    world.run(5)
    assert [scaler.core.leads for scaler in world.scalers] in ([True, False], [False, True])
    world.enqueue(3)
    world.run(8)
    assert len(world.provider.machines) == 3


def test_a_late_copy_of_an_old_claim_to_lead_takes_leadership_for_a_moment_only() -> None:
    world = world_of()
    world.run(5)
    world.scaler.chosen = False
    world.run(5)
    world.scaler.chosen = True
    world.run(5)
    world.put(ScalerLeads(meta=world.user(), scaler="default"))
    world.run(2)
    assert not world.scaler.core.leads
    world.run(15)
    assert world.scaler.core.leads
    world.enqueue()
    world.until(lambda: bool(world.provider.machines), 10)


def test_who_is_no_longer_chosen_owes_nothing() -> None:
    world = world_of()
    world.run(5)
    world.scaler.is_cut_off = True
    world.run(30)
    world.enqueue(2)
    assert len(world.scaler.core.appends) >= 0
    world.scaler.chosen = False
    world.run(1)
    assert len(world.scaler.core.appends) == 0


# Taking over.


def test_a_successor_goes_on_with_the_machines_that_boot() -> None:
    world = world_of(queues={"q": [("m", 1)]})
    world.enqueue()
    world.until(lambda: world.statuses() == {"booting": 1})
    world.restart()
    world.run(120)
    assert (len(world.provider.machines), world.statuses()) == (1, {"ready": 1})


def test_what_was_asked_for_and_not_launched_is_ordered_again_with_the_same_id() -> None:
    world = world_of()
    world.enqueue()
    world.until(lambda: bool(world.said(InstanceRequested)))
    assert world.provider.machines == {}
    world.restart()
    world.now += 300
    world.until(lambda: bool(world.provider.machines))
    world.run(30)
    asked = instances_of(world.said(InstanceRequested))
    assert [machine.described.instance for machine in world.provider.machines.values()] == asked
    assert len(asked) == 1


def test_a_machine_whose_launch_nobody_heard_of_is_found_and_never_launched_twice() -> None:
    world = world_of()
    world.scaler.mute = True
    world.enqueue()
    world.until(lambda: bool(world.provider.machines))
    world.restart()
    world.run(120)
    assert (len(world.provider.machines), world.statuses()) == (1, {"ready": 1})


def test_a_slow_launch_is_waited_for() -> None:
    world = world_of()
    world.scaler.mute = True
    world.provider.refuse = lambda _order: "throttled"
    world.enqueue()
    world.run(10 * 60)
    assert (world.statuses(), world.provider.calls["launch"]) == ({"requested": 1}, 1)


def test_a_drain_that_was_decided_is_told_by_the_next_leader_too() -> None:
    world = world_of(resources={"m": {"max_idle_time_min": 1}})
    world.enqueue(seconds=1)
    world.until(lambda: world.statuses() == {"draining": 1})
    world.restart()
    world.until(lambda: world.provider.up() == [])


# Machines that nobody knows, and agents that nobody hears.


def test_an_orphan_is_adopted_serves_and_goes_when_idle() -> None:
    world = world_of()
    world.provider.add(order("orphan"))
    world.run(120)
    assert [event.instance for event in world.said(InstanceAdopted)] == ["orphan"]
    assert world.statuses() == {"ready": 1}
    world.run(IDLE + 60)
    assert world.provider.up() == []


def test_a_machine_that_is_over_by_the_log_is_adopted_again_where_its_agent_works() -> None:
    world = world_of()
    world.enqueue(seconds=NEVER)
    world.until(lambda: bool(world.busy()))
    (name,) = world.provider.machines
    world.provider.hidden.add(name)
    world.until(lambda: world.statuses() == {"terminated": 1})
    world.provider.hidden.clear()
    world.run(120)
    assert (world.statuses(), world.provider.ended_busy) == ({"ready": 1}, [])


def test_a_zombie_is_ended() -> None:
    world = world_of(max_spin_up_time_min=1)
    world.boot = NEVER
    world.enqueue()
    world.until(lambda: bool(world.provider.machines))
    (name,) = world.provider.machines
    world.provider.hidden.add(name)
    world.until(lambda: world.states()[0].over)
    machine = world.provider.machines[name]
    machine.described = replace(machine.described, status="running")
    world.provider.hidden.clear()
    world.until(lambda: not machine.is_up, 130)


def test_a_machine_without_an_agent_is_ended_and_the_place_counts_as_failed() -> None:
    world = world_of(
        queues={"q": [("m", 1)]}, resources={"m": {"availability_zone": ["a", "b"]}}, max_spin_up_time_min=5
    )
    world.boot = NEVER
    world.enqueue()
    world.run(12 * 60)
    assert [event.placement.zone for event in world.said(InstanceRequested)][:2] == ["a", "b"]
    assert len(world.provider.up()) <= 1


def test_a_machine_whose_agent_died_is_replaced() -> None:
    world = world_of(queues={"q": [("m", 1)]})
    world.enqueue(seconds=NEVER)
    world.until(lambda: bool(world.busy()))
    world.agents[0].dead = True
    world.enqueue()
    world.run(6 * 60)
    assert [machine.is_up for machine in world.provider.machines.values()] == [False, True]


def test_who_is_declared_dead_loses_its_machine_at_once() -> None:
    world = world_of()
    world.enqueue(seconds=NEVER)
    world.until(lambda: bool(world.busy()))
    world.agents[0].dead = True
    world.bury(world.agents[0])
    world.run(5)
    assert world.provider.up() == []


def test_an_agent_that_does_not_hear_that_it_should_leave_is_ended_all_the_same() -> None:
    world = world_of()
    world.enqueue(seconds=1)
    world.until(lambda: bool(world.agents))
    world.agents[0].deaf = True
    world.run(IDLE + 5 * 60)
    assert world.provider.up() == []


def test_an_interrupted_machine_is_drained_while_it_works_and_replaced_for_what_waits() -> None:
    spot = {"is_spot": True, "availability_zone": ["a", "b"]}
    world = world_of(queues={"q": [("m", 2)]}, resources={"m": spot})
    world.enqueue(seconds=NEVER)
    world.until(lambda: bool(world.busy()))
    world.provider.interrupt(*world.provider.machines)
    world.until(lambda: bool(world.said(InstanceDraining)), 90)
    world.enqueue()
    world.until(lambda: len(world.provider.machines) == 2)
    assert world.provider.ended_busy == []
    assert [event.placement.zone for event in world.said(InstanceRequested)] == ["a", "b"]


# A scaler that hears nothing knows nothing.


def test_a_scaler_that_was_cut_off_from_the_log_ends_nobody_when_it_is_back() -> None:
    world = world_of()
    world.enqueue(3, seconds=NEVER)
    world.until(lambda: len(world.busy()) == 3)
    world.scaler.is_cut_off = True
    world.run(20 * 60)
    world.scaler.is_cut_off = False
    world.run(5 * 60)
    assert (world.said(InstanceTerminating), world.provider.ended_busy, world.statuses()) == ([], [], {"ready": 3})


def test_a_scaler_that_was_stopped_ends_nobody_when_it_goes_on() -> None:
    world = world_of()
    world.enqueue(3, seconds=NEVER)
    world.until(lambda: len(world.provider.machines) == 3)
    world.scaler.is_stopped = True
    world.run(60 * 60)
    world.scaler.is_stopped = False
    world.scaler.core.step(world.now)
    world.run(60)
    assert (world.said(InstanceTerminating), world.provider.ended_busy, world.statuses()) == ([], [], {"ready": 3})


def test_where_all_agents_are_dead_time_goes_on_and_their_machines_are_ended() -> None:
    world = world_of()
    world.enqueue(2, seconds=NEVER)
    world.until(lambda: len(world.busy()) == 2)
    for agent in world.agents:
        agent.dead = True
    world.run(5 * 60)
    assert world.provider.up() == []


# What is said.


def test_what_was_seen_is_said_when_it_is_news_and_seldom_while_only_numbers_move() -> None:
    world = world_of(queues={"q": [("m", 2)]})
    world.enqueue(2, seconds=NEVER)
    world.until(lambda: len(world.busy()) == 2)
    world.run(20)
    before = len(world.said(ScalingDecided))
    for _ in range(120):
        world.enqueue()
        world.run(1)
    assert len(world.said(ScalingDecided)) - before <= 16


def test_a_scaler_with_nothing_to_look_after_says_that_it_lives_and_nothing_else() -> None:
    world = world_of()
    world.run(30)
    before = len(world.log)
    world.run(10 * SIGN_OF_LIFE)
    said = [event for _, event in world.log[before:]]
    assert 9 <= len(said) <= 10
    assert all(isinstance(event, ScalingDecided) for event in said)


def test_what_is_in_the_way_is_said_at_once() -> None:
    world = world_of(queues={"q": [("m", 1)]})
    world.enqueue(seconds=NEVER)
    world.until(lambda: bool(world.said(InstanceRequested)))
    world.enqueue()
    world.until(lambda: bool(world.said(ScalingDecided)[-1].needs[0].held_back_by), EXPLAIN / 2)


def test_a_machine_whose_memory_is_in_use_is_not_counted_on_though_it_has_a_slot() -> None:
    world = world_of(resources={"m": {"memory_gb": 64.0, "slots": 2}})
    world.enqueue(needs=Hardware(memory_gb=40.0), seconds=NEVER)
    world.until(lambda: len(world.busy()) == 1)
    world.enqueue(needs=Hardware(memory_gb=20.0), seconds=NEVER)
    world.until(lambda: world.waiting() == 0)
    assert len(world.said(InstanceRequested)) == 1
    world.enqueue(needs=Hardware(memory_gb=5.0), seconds=NEVER)
    world.until(lambda: len(world.busy()) == 2)
    assert len(world.said(InstanceRequested)) == 2


def test_a_machine_with_a_free_slot_but_too_little_memory_brings_another_one() -> None:
    world = world_of(resources={"m": {"memory_gb": 64.0, "slots": 2}})
    for machines in (1, 2):
        world.enqueue(needs=Hardware(memory_gb=40.0), seconds=NEVER)
        world.until(lambda machines=machines: len(world.busy()) == machines)  # type: ignore[misc]
        assert len(world.said(InstanceRequested)) == machines


def test_a_machine_that_is_to_be_there_always_is_asked_for_again_though_nobody_else_speaks() -> None:
    world = world_of(resources={"m": {"minimum": 1}})
    world.provider.refuse = lambda _order: "capacity"
    world.until(lambda: bool(world.said(InstanceFailed)))
    world.run(60)
    assert len(world.said(InstanceFailed)) == 2
    world.provider.refuse = lambda _order: None
    world.until(lambda: world.statuses()["ready"] == 1)
