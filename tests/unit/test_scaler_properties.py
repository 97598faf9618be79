"""What the scaler's policy promises in any situation at all: each property holds for whatever Hypothesis thinks up."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

import tasktape.scaler.policy
from tasktape.events.hardware import NOTHING, Hardware
from tasktape.events.instance_events import Placement
from tasktape.scaler.ending import Drain, Terminate
from tasktape.scaler.policy import Launch, Plan, decide
from tasktape.scaler.settings import Resource, ScalerSettings
from tasktape.scaler.situation import Demand, Failed, Machine, Offer, Situation
from tasktape.tests.support.scaling import machine, scaler_of, situation

QUEUES, RESOURCES = ("q", "r"), ("m", "n", "o")
POLICY = ("policy", "ending", "surplus", "supply", "room", "placing", "situation")
PURE = {"__future__", "collections", "collections.abc", "dataclasses", "functools", "typing"}
PURE |= {"operator", "events.hardware", "events.instance_events"}
NEEDS = (Hardware(gpus=1), Hardware(gpus=2), Hardware(gpus=1, memory_gb=6.0), Hardware(cpus=1.0))
OFFERS = [Offer(queues, 1, spare) for queues in (("q",), ("r",), ("q", "r")) for spare in (NOTHING, Hardware(gpus=1))]
TINY = 1e-6
SOME = settings(max_examples=50)
times = st.sampled_from([0.0, 0.5, 59.0, 60.0, 179.0, 181.0, 899.0, 900.0, 1081.0, 1800.0, 1801.0, 1e5])


@st.composite
def kinds(draw: st.DrawFn) -> dict[str, Any]:
    """A resource, as its settings say."""
    return {
        "instance_type": draw(st.sampled_from([["big"], ["big", "small"]])),
        "availability_zone": draw(st.sampled_from([[], ["a", "b"]])),
        "is_spot": draw(st.booleans()),
        "hourly_cost": draw(st.sampled_from([0.0, 1.0, {"big": 2.5, "small": 0.7}])),
        "minimum": draw(st.integers(0, 3)),
        "slots": draw(st.integers(1, 3)),
        **draw(st.sampled_from([{}, {"gpus": 2}, {"gpus": 1, "memory_gb": 8.0}])),
        "max_idle_time_min": draw(st.sampled_from([None, 1.0])),
    }


@st.composite
def scalers(draw: st.DrawFn) -> ScalerSettings:
    """Settings: one or two queues, each with some of the resources."""
    shares = st.lists(st.tuples(st.sampled_from(RESOURCES), st.integers(0, 5)), min_size=1, unique_by=lambda s: s[0])
    queues = draw(st.dictionaries(st.sampled_from(QUEUES), shares, min_size=1))
    budget = {
        "instances": draw(st.none() | st.integers(0, 9)),
        "hourly_cost": draw(st.none() | st.sampled_from([0.0, 2.0, 5.3])),
        "instance_hours": draw(st.none() | st.sampled_from([0.0, 0.5, 4.0])),
    }
    resources = {name: draw(kinds()) for name in RESOURCES}
    return scaler_of(queues, resources, budget=budget, cooldown_s=draw(st.sampled_from([0.0, 60.0])))


@st.composite
def fleets(draw: st.DrawFn, scaler: ScalerSettings) -> list[Machine]:
    """Machines in any state, whatever there was said of them before; some are of resources that are no more."""
    return [_machine(draw, f"i{place}", scaler) for place in range(draw(st.integers(0, 7)))]


def _machine(draw: st.DrawFn, name: str, scaler: ScalerSettings) -> Machine:
    resource = draw(st.sampled_from([*scaler.resources, *scaler.resources, "former"]))
    kind = scaler.resources.get(resource, Resource())
    busy = draw(st.integers(0, kind.slots))
    return machine(
        name,
        resource,
        draw(st.sampled_from(["booting", "ready", "ready", "draining", "terminating"])),
        queues=scaler.queues_of(resource) or ["q"],
        placement=draw(st.sampled_from([place for tier in kind.tiers() for place in tier])),
        age=draw(times),
        slots=kind.slots,
        busy=busy,
        idle=0.0 if busy else draw(times),
        silence=draw(st.sampled_from([0.0, 0.0, 0.0, 179.0, 181.0])),
        left=draw(st.sampled_from([*[False] * 6, True])),
        interrupted=draw(st.sampled_from([*[False] * 5, True])),
        spare=draw(st.sampled_from([kind.hardware, NOTHING])) if busy else kind.hardware,
    )


@st.composite
def demands(draw: st.DrawFn) -> Demand:
    """What waits in a queue: some of it stuck, some of it in need of hardware."""
    needing = draw(st.dictionaries(st.sampled_from(NEEDS), st.integers(1, 3)))
    stuck = draw(st.integers(0, 3))
    return Demand(sum(needing.values()) + stuck + draw(st.integers(0, 9)), stuck, needing)


@st.composite
def cases(draw: st.DrawFn) -> tuple[ScalerSettings, Situation]:
    """Settings and a situation."""
    scaler = draw(scalers())
    places = [(name, place) for name, kind in scaler.resources.items() for tier in kind.tiers() for place in tier]
    failing = draw(st.lists(st.sampled_from(places), max_size=3, unique_by=str))
    failures = [Failed(name, place, draw(st.integers(1, 3)), draw(times), "capacity") for name, place in failing]
    return scaler, Situation(
        {queue: draw(demands()) for queue in scaler.queues},
        draw(fleets(scaler)),
        others=draw(st.dictionaries(st.sampled_from(OFFERS), st.integers(0, 3))),
        failures=failures,
        spent_hours=draw(st.sampled_from([0.0, 0.4, 3.2, 9.0])),
        since_launch=draw(st.dictionaries(st.sampled_from(RESOURCES), times)),
    )


def launches(plan: Plan) -> list[Launch]:
    return [action for action in plan.actions if isinstance(action, Launch)]


def ends(plan: Plan) -> dict[str, Drain | Terminate]:
    return {action.instance: action for action in plan.actions if isinstance(action, Drain | Terminate)}


def speaks(one: Machine) -> bool:
    """Whether there is an agent on a machine, as far as anybody knows."""
    return not one.left and one.silence <= 180.0


# A pure function.


def test_the_policy_imports_nothing_that_could_tell_it_more_than_its_arguments() -> None:
    folder = Path(tasktape.scaler.policy.__file__).parent
    imported = {name for module in POLICY for name in _imports(folder / f"{module}.py")}
    assert imported - PURE - {*POLICY, "settings"} == set()


def _imports(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom):
            yield node.module or ""
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names)


@SOME
@given(cases())
def test_the_same_situation_has_the_same_answer_and_is_not_changed(case: tuple[ScalerSettings, Situation]) -> None:
    scaler, seen = case
    before = deepcopy(seen)
    assert decide(seen, scaler) == decide(seen, scaler)
    assert seen == before


# Never above a maximum or a budget.


@SOME
@given(cases())
def test_no_maximum_is_exceeded(case: tuple[ScalerSettings, Situation]) -> None:
    scaler, seen = case
    there = Counter(one.resource for one in seen.machines)
    for launch in launches(decide(seen, scaler)):
        there[launch.resource] += 1
        assert there[launch.resource] <= scaler.maximum(launch.resource)


@SOME
@given(cases())
def test_no_queue_has_more_launched_for_it_than_its_own_maximum(case: tuple[ScalerSettings, Situation]) -> None:
    scaler, seen = case
    cold = {name: kind.model_copy(update={"minimum": 0}) for name, kind in scaler.resources.items()}
    most = {(queue, s.resource): s.maximum for queue, shares in scaler.queues.items() for s in shares}
    for queue in scaler.queues:
        alone = replace(seen, demands={queue: seen.demands[queue]})
        there = Counter(one.resource for one in seen.machines)
        came = Counter(
            launch.resource for launch in launches(decide(alone, scaler.model_copy(update={"resources": cold})))
        )
        assert all(there[name] + count <= most[queue, name] for name, count in came.items())


@SOME
@given(cases())
@example((scaler_of(resources={"m": {"hourly_cost": 1.0}}, budget={"hourly_cost": 2.0}), situation(5)))
@example((scaler_of(budget={"instance_hours": 2.5}), situation(5)))
@example((scaler_of(budget={"instances": 2}), situation(5)))
def test_no_budget_is_exceeded(case: tuple[ScalerSettings, Situation]) -> None:
    scaler, seen = case
    came, budget = launches(decide(seen, scaler)), scaler.budget
    if not came:
        return
    places = [*(one.placement for one in seen.machines), *(launch.placement for launch in came)]
    cost = sum(place.hourly_cost for place in places)
    hours = seen.spent_hours + min(1.0, budget.instance_hours or 1.0) * len(came)
    assert budget.instances is None or len(seen.machines) + len(came) <= budget.instances
    assert budget.hourly_cost is None or cost <= budget.hourly_cost + TINY
    assert budget.instance_hours is None or hours <= budget.instance_hours + TINY


@SOME
@given(cases())
def test_what_there_is_beyond_a_limit_goes_until_the_limit_is_met(case: tuple[ScalerSettings, Situation]) -> None:
    scaler, seen = case
    gone = ends(decide(seen, scaler)).keys()
    stay = [one for one in seen.machines if one.status == "ready" and one.instance not in gone]
    counts, cost = Counter(one.resource for one in stay), sum(one.placement.hourly_cost for one in stay)
    booting = [one for one in seen.machines if one.status == "booting"]
    assert all(count <= scaler.maximum(name) for name, count in counts.items())
    assert scaler.budget.instances is None or len(stay) <= scaler.budget.instances
    assert scaler.budget.hourly_cost is None or cost <= scaler.budget.hourly_cost + TINY
    assert (
        booting or scaler.budget.instance_hours is None or seen.spent_hours < scaler.budget.instance_hours or not stay
    )


# Who goes.


@SOME
@given(cases())
def test_no_busy_machine_is_ever_ended(case: tuple[ScalerSettings, Situation]) -> None:
    scaler, seen = case
    gone = ends(decide(seen, scaler))
    for one in seen.machines:
        assert not (one.busy and speaks(one) and isinstance(gone.get(one.instance), Terminate))


@SOME
@given(cases())
def test_machines_without_an_agent_are_always_ended_whatever_waits(case: tuple[ScalerSettings, Situation]) -> None:
    scaler, seen = case
    gone = ends(decide(seen, scaler))
    for one in seen.machines:
        late = one.status == "booting" and not one.busy and one.age > scaler.spin_up_seconds(one.resource)
        if one.status != "terminating" and (late or one.left or (one.status != "booting" and not speaks(one))):
            assert isinstance(gone.get(one.instance), Terminate)


@SOME
@given(cases())
@example((scaler_of(), situation(1, [machine("a", idle=900.0), machine("b", idle=900.0), machine("c", idle=900.0)])))
@example((scaler_of(), Situation({"q": Demand(3, stuck=3)}, [machine(idle=1e5)])))
def test_idle_machines_always_go_in_time_but_those_that_are_kept_warm_or_may_take_what_has_come(
    case: tuple[ScalerSettings, Situation],
) -> None:
    scaler, seen = case
    gone = ends(decide(seen, scaler))
    serving = [one for one in seen.machines if one.status in ("booting", "ready") and one.instance not in gone]
    counts = Counter(one.resource for one in serving)
    overdue = [
        one
        for one in serving
        if one.status == "ready" and not one.busy and not one.silence and one.idle >= scaler.idle_seconds(one.resource)
    ]
    unneeded = [one for one in overdue if counts[one.resource] > scaler.resources[one.resource].minimum]
    assert len(unneeded) <= sum(demand.waiting - demand.stuck for demand in seen.demands.values())


@SOME
@given(cases())
def test_each_machine_is_told_one_thing_and_none_that_is_being_ended(case: tuple[ScalerSettings, Situation]) -> None:
    scaler, seen = case
    told = Counter(a.instance for a in decide(seen, scaler).actions if isinstance(a, Drain | Terminate))
    status = {one.instance: one.status for one in seen.machines}
    assert set(told.values()) <= {1}
    assert "terminating" not in {status[name] for name in told}


# Who comes.


@SOME
@given(cases())
def test_a_queue_misses_nothing_or_says_what_is_in_the_way(case: tuple[ScalerSettings, Situation]) -> None:
    scaler, seen = case
    plan = decide(seen, scaler)
    for need in plan.needs:
        assert bool(need.held_back_by) == (need.missing > 0)
        assert need.free + need.booting + need.missing <= need.waiting - need.stuck
    assert {need.queue for need in plan.needs} == set(scaler.queues)


@SOME
@given(cases())
def test_what_comes_for_an_entry_has_what_it_needs(case: tuple[ScalerSettings, Situation]) -> None:
    scaler, seen = case
    for queue in scaler.queues:
        for needed in seen.demands[queue].needing:
            alone = replace(seen, machines=(), others={}, demands={queue: Demand(3, needing={needed: 3})})
            plan = decide(alone, scaler)
            came = [one.resource for one in launches(plan) if not one.reason.startswith("at least")]
            room = [min(scaler.resources[n].slots, needed.times_in(scaler.resources[n].hardware)) for n in came]
            assert all(room)
            assert plan.needs[0].missing == 0 or sum(room) < 3


@given(st.integers(0, 30), st.lists(st.tuples(st.integers(1, 4), st.integers(0, 4)), min_size=1, max_size=3), st.data())
def test_exactly_as_many_machines_come_as_entries_need(
    waiting: int, described: Sequence[tuple[int, int]], data: st.DataObject
) -> None:
    """None too many, however the resources differ, and none too few within their maxima."""
    named = dict(zip(RESOURCES, described, strict=False))
    resources = {name: {"slots": slots} for name, (slots, _) in named.items()}
    scaler = scaler_of({"q": [(name, most) for name, (_, most) in named.items()]}, resources)
    there = [
        machine(f"i{place}", name, status, slots=named[name][0])
        for place, (name, status) in enumerate(
            data.draw(
                st.lists(st.tuples(st.sampled_from(list(named)), st.sampled_from(["booting", "ready"])), max_size=4)
            )
        )
    ]
    plan = decide(situation(waiting, there), scaler)
    came = [launch.resource for launch in launches(plan)]
    missing = waiting - sum(one.slots for one in there if one.instance not in ends(plan))
    assert not came or sum(named[name][0] for name in came[:-1]) < missing
    counts = Counter([*came, *(one.resource for one in there)])
    exhausted = all(counts[name] >= most for name, (_, most) in named.items())
    assert exhausted or sum(named[name][0] for name in came) >= missing


# No oscillation.


def after(seen: Situation, plan: Plan, scaler: ScalerSettings) -> Situation:
    """The same moment with a plan carried out, but for what takes its time."""
    gone = ends(plan)
    there = [_told(one, gone.get(one.instance)) for one in seen.machines]
    new = [_new(launch, f"new-{len(there) + place}", scaler) for place, launch in enumerate(launches(plan))]
    since = {**seen.since_launch, **{one.resource: 0.0 for one in launches(plan)}}
    return replace(seen, machines=[*there, *new], since_launch=since)


def _new(launch: Launch, name: str, scaler: ScalerSettings) -> Machine:
    resource, kind = launch.resource, scaler.resources[launch.resource]
    about = {"queues": scaler.queues_of(resource), "placement": launch.placement, "slots": kind.slots, "age": 0.0}
    return machine(name, resource, "booting", spare=kind.hardware, **about)


def _told(one: Machine, end: Drain | Terminate | None) -> Machine:
    if end is None:
        return one
    return replace(one, status="draining" if isinstance(end, Drain) else "terminating")


@SOME
@given(cases())
@example((scaler_of(resources={"m": {"minimum": 1}}), situation(1, [machine(idle=1e5)])))
def test_once_a_plan_is_carried_out_there_is_nothing_more_to_do(case: tuple[ScalerSettings, Situation]) -> None:
    """A machine that came for one queue may be counted on by a better one a moment later: a round for each queue."""
    scaler, seen = case
    leaving: set[str] = set()
    for _ in scaler.queues:
        plan = decide(seen, scaler)
        leaving |= {name for name, end in ends(plan).items() if isinstance(end, Drain)}
        seen = after(seen, plan, scaler)
    following = decide(seen, scaler)
    assert launches(following) == []
    assert set(ends(following)) <= leaving  # such as an agent that has been idle for long and is told to leave only now
    assert {type(end) for end in ends(following).values()} <= {Terminate}


@SOME
@given(cases())
@example((scaler_of(resources={"m": {"minimum": 1}}), situation(0, [machine(idle=1e5)])))
@example((scaler_of(), situation(1, [machine(idle=1e5)])))
def test_no_machine_goes_for_want_of_work_while_another_one_of_its_kind_comes(
    case: tuple[ScalerSettings, Situation],
) -> None:
    scaler, seen = case
    plan = decide(seen, scaler)
    resource = {one.instance: one.resource for one in seen.machines}
    idle = {resource[name] for name, end in ends(plan).items() if end.reason.startswith("nothing to do")}
    assert not idle & {launch.resource for launch in launches(plan)}


def test_placements_are_told_apart_whatever_they_cost() -> None:
    """Prices in the settings may change while machines are there."""
    kind = {"availability_zone": ["a", "b"], "hourly_cost": 2.0}
    there = [machine(placement=Placement(zone="a", hourly_cost=1.0), busy=1)]
    (came,) = launches(decide(situation(1, there), scaler_of(resources={"m": kind})))
    assert came.placement.zone == "b"
