"""The scaler's policy, a rule at a time: what is launched, where, what goes, and what is in the way."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from tasktape.events.hardware import Hardware
from tasktape.events.instance_events import FailureKind, Placement
from tasktape.scaler.policy import NO_PLACEMENT, decide
from tasktape.scaler.settings import Resource
from tasktape.scaler.situation import Demand, Failed, Machine, Offer, Situation
from tasktape.tests.support.scaling import (
    MINUTE,
    ends,
    launched,
    launches,
    machine,
    machines,
    placements,
    scaler_of,
    situation,
    why,
)

ZONES = ["a", "b", "c"]


def in_zone(zone: str, **fields: Any) -> Placement:
    return Placement(zone=zone, **fields)


def failed(placement: Placement, kind: FailureKind = "capacity", *, count: int = 1, ago: float = 1) -> Failed:
    return Failed("m", placement, count, ago, kind)


# What waits.


def test_each_waiting_entry_gets_a_machine() -> None:
    assert launched(scaler_of(), situation(3)) == {"m": 3}


def test_nothing_waits_nothing_comes() -> None:
    assert decide(situation(0), scaler_of()).actions == ()


@pytest.mark.parametrize(
    "there",
    [
        machines(3),
        machines(3, status="booting"),
        [machine("one", slots=3)],
        [machine("one", slots=4, busy=1)],
        [machine("a"), machine("b", status="booting", slots=2)],
    ],
)
def test_free_slots_and_those_that_boot_take_entries_first(there: list[Machine]) -> None:
    assert launched(scaler_of(), situation(3, there)) == {}
    assert launched(scaler_of(), situation(4, there)) == {"m": 1}


@pytest.mark.parametrize(
    "there",
    [
        {"busy": 1},
        {"status": "draining"},
        {"status": "terminating"},
        {"silence": 1.0},
        {"interrupted": True},
        {"left": True},
    ],
)
def test_a_machine_that_takes_nothing_new_serves_no_entry(there: dict[str, Any]) -> None:
    assert launched(scaler_of(), situation(1, [machine(**there)])) == {"m": 1}


def test_agents_on_other_machines_take_entries_each_of_one_queue_alone() -> None:
    settings = scaler_of({"a": [("m", 9)], "b": [("m", 9)]})
    seen = situation({"a": 1, "b": 1}, others={Offer(("a", "b"), 1): 1})
    assert launched(settings, seen) == {"m": 1}


def test_a_machine_that_serves_one_queue_alone_goes_to_it_before_one_that_others_need() -> None:
    settings = scaler_of({"a": [("m", 9), ("n", 9)], "b": [("m", 9)]})
    there = [machine("both", queues=["a", "b"]), machine("a alone", "n", queues=["a"])]
    assert launched(settings, situation({"a": 1, "b": 1}, there)) == {}


def test_what_is_launched_for_one_queue_has_slots_for_the_next() -> None:
    settings = scaler_of({"a": [("m", 9)], "b": [("m", 9)]}, {"m": {"slots": 4}})
    assert launched(settings, situation({"a": 3, "b": 2})) == {"m": 2}


def test_stuck_entries_call_for_nothing() -> None:
    plan = decide(Situation({"q": Demand(5, stuck=4)}), scaler_of())
    assert (launches(plan), plan.needs[0].stuck) == ({"m": 1}, 4)


# Hardware.

GPU, BIG = Hardware(gpus=1), Hardware(memory_gb=48.0)
KINDS: dict[str, Any] = {"cpu": {"memory_gb": 64.0, "slots": 4}, "gpu": {"gpus": 4, "slots": 4}}


def in_need(**counts: int) -> Situation:
    """Entries wait in `q`: `plain` ones, for a `gpu`, or for `big` memory."""
    needing = {needed: counts[name] for name, needed in (("gpu", GPU), ("big", BIG)) if name in counts}
    return Situation({"q": Demand(sum(counts.values()), needing=needing)})


def test_a_machine_that_has_what_an_entry_needs_is_launched_whatever_is_preferred() -> None:
    settings = scaler_of({"q": [("cpu", 9), ("gpu", 9)]}, KINDS)
    assert launched(settings, in_need(plain=4)) == {"cpu": 1}
    assert launched(settings, in_need(gpu=4)) == {"gpu": 1}
    assert launched(settings, in_need(gpu=5, plain=3)) == {"gpu": 2}
    assert launched(settings, in_need(big=2)) == {"cpu": 2}
    assert launched(settings, in_need(big=2, plain=6)) == {"cpu": 2}
    assert launched(settings, in_need(big=2, plain=7)) == {"cpu": 3}


def test_what_no_machine_is_known_to_have_is_said_and_holds_up_nothing_else() -> None:
    settings = scaler_of({"q": [("cpu", 9)]}, KINDS)
    seen = in_need(gpu=2, plain=1)
    assert launched(settings, seen) == {"cpu": 1}
    (need,) = decide(seen, settings).needs
    assert (need.launched, need.missing, need.held_back_by) == (1, 2, "no resource is known to have 1 GPU")


def test_agents_that_have_not_got_what_an_entry_needs_are_not_counted_on() -> None:
    settings = scaler_of({"q": [("gpu", 9)]}, KINDS)
    for status, busy in (("ready", 0), ("booting", 0), ("ready", 1)):
        there = machine("i", "gpu", status, slots=4, busy=busy, spare=BIG)
        assert launched(settings, replace(in_need(gpu=1), machines=[there])) == {"gpu": 1}
        assert launched(settings, replace(in_need(gpu=1), machines=[replace(there, spare=GPU)])) == {}
    others = {Offer(("q",), 4, Hardware(gpus=2)): 2}
    assert launched(settings, replace(in_need(gpu=4), others=others)) == {}
    assert launched(settings, replace(in_need(gpu=5), others=others)) == {"gpu": 1}


def test_what_entries_take_of_an_agent_others_can_not_have() -> None:
    settings = scaler_of({"q": [("gpu", 9)]}, KINDS)
    others = {Offer(("q",), 4, Hardware(gpus=3)): 1}
    assert launched(settings, replace(in_need(gpu=2, plain=2), others=others)) == {}
    assert launched(settings, replace(in_need(gpu=2, plain=3), others=others)) == {"gpu": 1}
    assert launched(settings, replace(in_need(gpu=4), others=others)) == {"gpu": 1}


def test_agents_that_have_most_are_left_to_those_who_need_it() -> None:
    settings = scaler_of({"a": [("gpu", 9)], "b": [("gpu", 9)]}, KINDS)
    others = {Offer(("a", "b"), 1, GPU): 1, Offer(("a", "b"), 1): 1}
    demands = {"a": Demand(1), "b": Demand(1, needing={GPU: 1})}
    assert launched(settings, Situation(demands, others=others)) == {}


def test_who_needs_most_comes_first_and_others_take_what_is_left_of_its_machine() -> None:
    settings = scaler_of(
        {"q": [("small", 9), ("big", 9)]}, {"small": {"memory_gb": 8}, "big": {"memory_gb": 64, "slots": 2}}
    )
    seen = Situation({"q": Demand(2, needing={Hardware(memory_gb=8.0): 1, BIG: 1})})
    assert launched(settings, seen) == {"big": 1}


def test_an_entry_keeps_no_machine_that_has_not_got_what_it_needs() -> None:
    idle = [machine("i", "cpu", idle=99 * MINUTE, spare=BIG), machine("j", "gpu", idle=99 * MINUTE, spare=GPU)]
    settings = scaler_of({"q": [("cpu", 9), ("gpu", 9)]}, KINDS)
    assert ends(settings, replace(in_need(gpu=1), machines=idle)) == {"i": "Drain"}
    assert ends(settings, replace(in_need(big=1), machines=idle)) == {"j": "Drain"}


# Resources in order of preference, maxima, minima.


def test_resources_are_used_in_the_order_of_preference_each_up_to_its_maximum() -> None:
    settings = scaler_of({"q": [("a", 2), ("b", 3)]})
    assert launched(settings, situation(1)) == {"a": 1}
    assert launched(settings, situation(4)) == {"a": 2, "b": 2}
    assert launched(settings, situation(9)) == {"a": 2, "b": 3}


def test_machines_on_their_way_out_count_in_the_maximum_until_they_are_gone() -> None:
    there = [*machines(4, status="draining", busy=1), machine("t", status="terminating")]
    assert launched(scaler_of(), situation(3, there)) == {}
    assert why(scaler_of(), situation(3, there)) == "m: its maximum of 5"


def test_a_minimum_is_there_without_any_entry_and_stays_when_idle() -> None:
    settings = scaler_of(resources={"m": {"minimum": 2}})
    assert launched(settings, situation(0)) == {"m": 2}
    assert ends(settings, situation(0, machines(3, idle=99 * MINUTE))) == {"i0": "Drain"}


def test_a_warm_machine_that_is_taken_away_is_replaced_at_once() -> None:
    settings = scaler_of(resources={"m": {"minimum": 1}})
    plan = decide(situation(0, [machine(interrupted=True)]), settings)
    assert launches(plan) == {"m": 1}
    assert launched(settings, situation(0, [machine(status="draining", busy=1)])) == {"m": 1}


def test_a_minimum_does_not_exceed_a_maximum_or_a_budget() -> None:
    warm = {"m": {"minimum": 9}}
    assert launched(scaler_of(resources=warm), situation(0)) == {"m": 5}
    frugal = scaler_of(resources=warm, budget={"instances": 2})
    assert launched(frugal, situation(0)) == {"m": 2}
    assert decide(situation(0), frugal).lacking == {"m": "the budget of 2 machines"}
    assert decide(situation(0, machines(9)), scaler_of({"q": [("m", 9)]}, warm)).lacking == {}


# Budgets and cool-downs.


def test_a_budget_of_machines_holds_over_all_resources() -> None:
    settings = scaler_of({"q": [("a", 9)], "r": [("b", 9)]}, budget={"instances": 3})
    seen = situation({"q": 2, "r": 5})
    assert launched(settings, seen) == {"a": 2, "b": 1}
    assert decide(seen, settings).needs[1].held_back_by == "the budget of 3 machines"


def test_a_budget_of_cost_holds_and_what_is_cheaper_fits_where_the_dearer_does_not() -> None:
    dear = {"instance_type": ["big", "small"], "hourly_cost": {"big": 4.0, "small": 1.0}}
    settings = scaler_of({"q": [("m", 99)]}, {"m": dear}, budget={"hourly_cost": 10.5})
    chosen = Counter(place.instance_type for place in placements(settings, situation(9)))
    assert chosen == {"big": 2, "small": 2}
    assert why(settings, situation(9)) == "the budget of $10.50 an hour"


def test_what_the_next_resource_costs_may_fit_too() -> None:
    settings = scaler_of(
        {"q": [("a", 9), ("b", 9)]},
        {"a": {"hourly_cost": 3.0}, "b": {"hourly_cost": 1.0}},
        budget={"hourly_cost": 5.0},
    )
    assert launched(settings, situation(9)) == {"a": 1, "b": 2}


def test_the_hours_that_machines_are_about_to_use_count_before_they_are_used() -> None:
    settings = scaler_of({"q": [("m", 99)]}, budget={"instance_hours": 10})
    assert launched(settings, situation(50)) == {"m": 10}
    assert launched(settings, situation(50, spent_hours=7.5)) == {"m": 2}
    young = [machine("young", age=30 * MINUTE, busy=1)]
    assert launched(settings, situation(50, young, spent_hours=7.5)) == {"m": 2}
    assert why(settings, situation(50, spent_hours=9.5)) == "the budget of 10 hours of machines in 24 h"


def test_once_the_hours_are_used_up_machines_take_nothing_new() -> None:
    settings = scaler_of(resources={"m": {"minimum": 2}}, budget={"instance_hours": 10})
    seen = situation(9, [machine("busy", busy=1), machine("idle")], spent_hours=10.0)
    assert ends(settings, seen) == {"busy": "Drain", "idle": "Drain"}
    assert launched(settings, seen) == {}


def test_a_resource_cools_down_after_a_launch_and_others_do_not() -> None:
    settings = scaler_of({"q": [("a", 9)], "r": [("b", 9)]}, cooldown_s=60)
    seen = situation({"q": 1, "r": 1}, since_launch={"a": 59.0, "b": 60.0})
    assert launched(settings, seen) == {"b": 1}
    assert why(settings, seen) == "a: its cool-down of 60 s"


@pytest.mark.parametrize(
    ("limits", "there"),
    [
        ({}, machines(7, busy=1)),
        ({"budget": {"instances": 5}}, machines(7, busy=1)),
        ({"budget": {"hourly_cost": 5}}, machines(7, busy=1, placement=Placement(hourly_cost=1.0))),
    ],
)
def test_limits_that_were_lowered_are_met_again_by_draining(limits: dict[str, Any], there: list[Machine]) -> None:
    there[3] = machine("idle", placement=there[0].placement)
    found = ends(scaler_of(**limits), situation(9, there))
    assert Counter(found.values()) == {"Drain": 2}
    assert "idle" in found


# Where.


def test_machines_spread_over_zones_those_that_run_in_mind() -> None:
    settings = scaler_of({"q": [("m", 9)]}, {"m": {"availability_zone": ZONES}})
    there = [machine("i", placement=in_zone("a"), busy=1)]
    assert Counter(place.zone for place in placements(settings, situation(5, there))) == {"a": 1, "b": 2, "c": 2}


def test_machines_spread_over_subnets_wherever_these_lie() -> None:
    settings = scaler_of({"q": [("m", 9)]}, {"m": {"subnet_id": ["s1", "s2"]}})
    there = [machine("i", placement=in_zone("a", subnet="s1"), busy=1)]
    assert Counter(place.subnet for place in placements(settings, situation(3, there))) == {"s1": 1, "s2": 2}


def test_a_zone_that_lacks_capacity_is_left_out_for_a_while() -> None:
    settings = scaler_of(resources={"m": {"availability_zone": ZONES}})
    lacking = [failed(in_zone("a")), failed(in_zone("c"), ago=31)]
    assert {place.zone for place in placements(settings, situation(4, failures=lacking))} == {"b", "c"}


def test_short_capacity_falls_back_zone_by_zone_then_type_then_on_demand() -> None:
    kind = {"instance_type": ["big", "small"], "availability_zone": ["a", "b"], "is_spot": True}
    settings, tried = scaler_of(resources={"m": kind}), []
    lacking: list[Failed] = []
    while found := placements(settings, situation(1, failures=lacking)):
        tried.append((found[0].instance_type, found[0].zone, found[0].spot))
        lacking.append(failed(found[0]))
    spot, on_demand = tried[:4], tried[4:]
    assert spot == [("big", "a", True), ("big", "b", True), ("small", "a", True), ("small", "b", True)]
    assert on_demand == [(kind, zone, False) for kind, zone, _ in spot]
    assert why(settings, situation(1, failures=lacking)) == f"m: {NO_PLACEMENT}"


def test_spot_alone_stays_spot_where_on_demand_is_not_wanted() -> None:
    resource = Resource(is_spot=True, fall_back_to_on_demand=False)
    assert [place.spot for tier in resource.tiers() for place in tier] == [True]


def test_the_next_resource_is_tried_where_the_first_has_no_capacity() -> None:
    settings = scaler_of({"q": [("m", 9), ("n", 9)]})
    assert launched(settings, situation(2, failures=[failed(Placement())])) == {"n": 2}


@pytest.mark.parametrize(("kind", "expected"), [("throttled", {}), ("provider", {}), ("settings", {"n": 1})])
def test_a_failure_that_says_nothing_of_the_place_holds_back_more_than_it(
    kind: FailureKind, expected: dict[str, int]
) -> None:
    zones = {"m": {"availability_zone": ZONES}}
    settings = scaler_of({"q": [("m", 9), ("n", 9)]}, zones)
    assert launched(settings, situation(1, failures=[failed(in_zone("a"), kind)])) == expected


@pytest.mark.parametrize(("count", "pause"), [(1, 30), (2, 60), (3, 120), (9, 900), (99, 900)])
def test_each_failure_in_a_row_doubles_the_pause(count: int, pause: float) -> None:
    for ago, expected in ((pause - 1, {}), (pause, {"m": 1})):
        seen = situation(1, failures=[failed(Placement(), count=count, ago=ago)])
        assert launched(scaler_of(), seen) == expected


# What goes.


def test_an_idle_machine_is_drained_after_its_time() -> None:
    settings = scaler_of(max_idle_time_min=15)
    assert ends(settings, situation(0, [machine(idle=15 * MINUTE - 1)])) == {}
    assert ends(settings, situation(0, [machine(idle=15 * MINUTE)])) == {"i": "Drain"}


def test_a_resource_may_have_an_idle_time_of_its_own() -> None:
    settings = scaler_of(resources={"m": {"max_idle_time_min": 2}})
    assert ends(settings, situation(0, [machine(idle=2 * MINUTE)])) == {"i": "Drain"}


@pytest.mark.parametrize("silence", [0.0, 1.0, 3 * MINUTE])
def test_a_busy_machine_stays_however_long(silence: float) -> None:
    busy = machine(busy=1, age=1e9, silence=silence)
    assert ends(scaler_of(), situation(0, [busy])) == {}


def test_an_entry_that_has_just_come_keeps_one_idle_machine_and_no_more() -> None:
    there = [machine("short", idle=20 * MINUTE), machine("long", idle=99 * MINUTE)]
    assert ends(scaler_of(), situation(1, there)) == {"long": "Drain"}


def test_a_machine_whose_agent_does_not_come_is_ended_after_the_spin_up_time() -> None:
    settings = scaler_of(max_spin_up_time_min=30)
    there = [machine("late", status="booting", age=30 * MINUTE + 1), machine("boots", status="booting")]
    plan = decide(situation(2, there), settings)
    assert ends(settings, situation(2, there)) == {"late": "Terminate"}
    assert launches(plan) == {"m": 1}


def test_a_machine_without_a_sign_of_its_agent_is_ended_after_a_while() -> None:
    settings = scaler_of(max_silence_min=3)
    there = [machine("silent", silence=3 * MINUTE + 1), machine("soon", silence=3 * MINUTE), machine("t", left=True)]
    assert ends(settings, situation(0, there)) == {"silent": "Terminate", "t": "Terminate"}


def test_an_interrupted_machine_is_drained_and_replaced_for_what_waits() -> None:
    plan = decide(situation(1, [machine(interrupted=True)]), scaler_of())
    assert [type(action).__name__ for action in plan.actions] == ["Drain", "Launch"]
    assert plan.actions[0].interrupted  # type: ignore[union-attr]


def test_an_interrupted_machine_that_still_boots_is_no_longer_waited_for() -> None:
    plan = decide(situation(1, [machine(status="booting", interrupted=True)]), scaler_of())
    assert [type(action).__name__ for action in plan.actions] == ["Terminate", "Launch"]


def test_a_draining_machine_is_ended_when_its_agent_has_left_or_does_not_leave() -> None:
    there = [
        machine("works", status="draining", busy=1, idle=0),
        machine("leaves", status="draining", idle=16 * MINUTE),
        machine("stays", status="draining", idle=18 * MINUTE + 1),
        machine("left", status="draining", left=True),
    ]
    assert ends(scaler_of(), situation(0, there)) == {"stays": "Terminate", "left": "Terminate"}


def test_machines_of_a_resource_that_the_settings_no_longer_know_are_drained() -> None:
    there = [machine("old", "former", busy=1), machine("boots", "former", status="booting")]
    assert ends(scaler_of(), situation(0, there)) == {"old": "Drain"}


def test_what_is_being_ended_is_left_alone() -> None:
    there = [machine(status="terminating", left=True, silence=1e6, idle=1e6, age=1e6, interrupted=True)]
    assert decide(situation(0, there), scaler_of()).actions == ()


# Why.


def test_each_queue_says_what_was_seen_and_done() -> None:
    settings = scaler_of({"a": [("m", 3)], "b": [("m", 3)]}, {"m": {"slots": 2}})
    there = [machine("f", queues=["a", "b"], slots=2, busy=1), machine("b", queues=["a", "b"], status="booting")]
    needs = decide(situation({"a": 3, "b": 4}, there), settings).needs
    told = [(n.queue, n.waiting, n.free, n.booting, n.launched, n.missing, n.held_back_by) for n in needs]
    assert told == [("a", 3, 1, 1, 1, 0, ""), ("b", 4, 0, 1, 0, 3, "m: its maximum of 3")]


def test_a_queue_says_what_is_in_the_way_of_each_of_its_resources() -> None:
    settings = scaler_of(
        {"q": [("m", 1), ("a", 9), ("b", 9)]},
        {"a": {"hourly_cost": 3}, "b": {"hourly_cost": 4}},
        budget={"hourly_cost": 2},
    )
    assert why(settings, situation(2)) == "m: its maximum of 1; the budget of $2.00 an hour"
    assert why(settings, situation(2, failures=[failed(Placement())])).startswith(f"m: {NO_PLACEMENT}; ")


def test_a_queue_without_a_resource_says_so() -> None:
    seen = situation({"q": 0, "r": 2})
    needs = decide(seen, scaler_of({"q": [("m", 1)], "r": []})).needs
    assert (needs[1].missing, needs[1].held_back_by) == (2, "the settings name no resource for it")
