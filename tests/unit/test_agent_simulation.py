"""What agents, watchers and a user come to on one log, story by story: see `tests/support/simulation.py`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from math import inf

import pytest
from hypothesis import Phase, given, note, settings
from hypothesis import strategies as st

from tasktape.agent.appends import Message, Tombstone
from tasktape.events.base import Event
from tasktape.events.hardware import Hardware
from tasktape.events.limit_events import PermitReleased
from tasktape.events.queue_events import EntryClaimed, EntryEnqueued, EntryTaken, QueueCreated, entry_id, queue_topic
from tasktape.events.task_events import EntryLeft, RunEvent, RunLost, RunStarted
from tasktape.events.worker_events import WorkerHeartbeat
from tasktape.tests.support.simulate import STORIES, story_of
from tasktape.tests.support.simulated_agent import INTERVAL, LEASE, Agent, Program, Shape
from tasktape.tests.support.simulation import QUEUES, World, all_ended, started_runs


@pytest.mark.parametrize("number", range(len(STORIES)), ids=[story.__name__ for story in STORIES])
def test_a_story_ends_well_whatever_fails(number: int) -> None:
    """`make simulate SEED=…` tells a story again."""

    @given(st.integers(0, 10**8))
    @settings(max_examples=60, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
    def tell(place: int) -> None:
        seed = place * len(STORIES) + number
        note(f"seed {seed}")
        story_of(seed)(seed)

    tell()


def test_a_seed_tells_the_same_story_again() -> None:
    first, second = [[(world.now, world.launched) for world in map(STORIES[0], range(3))] for _ in range(2)]
    assert first == second


def test_a_dead_worker_s_permit_goes_after_its_run_and_makes_room() -> None:
    world = World(11, agents=0, faults=False)
    world.limit("queue:first", 1)
    victim = world.add_agent()
    for task in ("a", "b"):
        world.create(task)
        world.enqueue(task, "first")
    assert world.run_until(lambda: bool(world.launched), seconds=60)
    for _ in range(2):
        world.add_agent()
    victim.kill()
    assert world.run_until(lambda: all_ended(world, ["a", "b"]), seconds=200)
    lost_task, _, _ = world.launched[0]
    assert started_runs(world) == Counter(
        {(lost_task, 1): 1, (lost_task, 2): 1, ("b" if lost_task == "a" else "a", 1): 1}
    )
    releases = [event for event in world.events("tasktape.queues") if isinstance(event, PermitReleased)]
    assert [event.worker for event in releases if event.meta.actor != f"agent/{event.worker}"] == [victim.name]
    watcher = world.agents[-1].core.view
    assert world.run_until(lambda: not watcher.limits.permits, seconds=60)


@pytest.mark.parametrize("seed", range(6))
def test_an_agent_that_froze_with_a_permit_begins_nothing_with_it_when_it_wakes(seed: int) -> None:
    world = World(seed, agents=0, faults=False)
    world.limit("tag:t", 1)
    frozen = world.add_agent("first")
    for task, queue in (("a", "first"), ("b", "second")):
        world.create(task, "t")
        world.enqueue(task, queue, tags=["t"])
    send = frozen.send

    def claiming() -> bool:
        return any(isinstance(message, EntryClaimed) for message in frozen.wire)

    frozen.send = lambda: not claiming() and send()  # type: ignore[method-assign]
    assert world.run_until(claiming, seconds=60)
    frozen.stalled_until, frozen.send = inf, send  # type: ignore[method-assign]
    other = world.add_agent("second")
    assert world.run_until(lambda: bool(world.launched), seconds=200)
    (program,) = other.running()
    program.ends_at, frozen.stalled_until = inf, 0.0
    world.run_until(lambda: False, seconds=60)
    assert world.launched == [("b", 1, other.name)]
    program.ends_at = world.now
    assert world.run_until(lambda: all_ended(world, ["a", "b"]), seconds=60)
    assert world.launched == [("b", 1, other.name), ("a", 1, frozen.name)]


def test_an_agent_with_two_slots_runs_two_tasks_at_once_on_devices_of_their_own() -> None:
    world = World(12, agents=1, faults=False, shape=Shape(slots=2, gpus=("0", "1")))
    (agent,) = world.agents
    for task in ("a", "b", "c"):
        world.create(task)
        world.enqueue(task, "first")
    seen: set[tuple[tuple[str, ...] | None, ...]] = set()

    def done() -> bool:
        seen.add(tuple(sorted(program.pursuit.gpus or () for program in agent.running())))
        return all_ended(world, ["a", "b", "c"])

    assert world.run_until(done, seconds=100)
    assert (("0",), ("1",)) in seen
    assert seen <= {(), (("0",),), (("1",),), (("0",), ("1",))}


def test_heartbeats_say_what_is_left_beside_what_runs() -> None:
    has = Hardware(gpus=2, memory_gb=8.0)
    world = World(3, agents=1, faults=False, shape=Shape(hardware=has))
    world.create("task")
    world.enqueue("task", "first", needs=Hardware(gpus=1, memory_gb=6.0))
    assert world.run_until(lambda: all_ended(world, ["task"]), seconds=100)
    beats = [event for event in world.events("tasktape.workers") if isinstance(event, WorkerHeartbeat)]
    assert {(bool(beat.runs), beat.spare) for beat in beats} >= {(False, has), (True, Hardware(gpus=1, memory_gb=2.0))}


def test_a_move_to_a_queue_nobody_serves_is_completed_by_those_who_serve_the_first() -> None:
    world = World(1, agents=2, faults=False)
    world.create("task")
    for agent in world.agents:
        agent.kill()
    world.enqueue("task", "first")
    world.move("task", "first", "elsewhere")
    world.add_agent()
    assert world.run_until(lambda: bool(notes(world)), seconds=60)
    arrived = [event for event in world.events(queue_topic("elsewhere")) if isinstance(event, EntryEnqueued)]
    assert [event.origin for event in arrived] == [entry_id("first", "task", 1)]


def test_a_queue_nobody_serves_is_looked_after_by_the_watchers() -> None:
    world = World(2, agents=2, faults=False)
    world.append(QueueCreated(meta=world.stamp(), queue="elsewhere"))
    world.create("task")
    world.enqueue("task", "elsewhere")
    world.move("task", "elsewhere", "first")
    assert world.run_until(lambda: bool(started_runs(world)), seconds=60)
    assert notes(world) == [entry_id("elsewhere", "task", 1)]


def notes(world: World) -> list[str]:
    return [event.entry for event in world.events("tasktape.tasks") if isinstance(event, EntryLeft)]


def test_a_dead_worker_s_run_is_lost_and_runs_again_and_its_record_goes() -> None:
    world = World(3, agents=2, faults=False)
    world.create("task")
    world.enqueue("task", "first")
    assert world.run_until(lambda: bool(world.launched), seconds=60)
    victim = next(agent for agent in world.agents if agent.name == world.launched[0][2])
    victim.kill()
    assert world.run_until(lambda: all_ended(world, ["task"]), seconds=200)
    assert [(run, worker == victim.name) for _, run, worker in world.launched] == [(1, True), (2, False)]
    assert losses(world)[0].worker == victim.name
    assert world.run_until(lambda: victim.name in world.known.buried, seconds=60)


def test_a_dead_worker_s_run_is_lost_although_the_one_whose_turn_it_is_has_frozen() -> None:
    world = World(4, agents=3, faults=False)
    world.create("task")
    world.enqueue("task", "first")
    assert world.run_until(lambda: bool(world.launched), seconds=60)
    victim, *others = sorted(world.agents, key=lambda agent: agent.name != world.launched[0][2])
    now = victim.monotonic()
    frozen = next(agent for agent in others if not agent.core.turns.of(victim.name, now, QUEUES))
    victim.kill()
    frozen.stalled_until = inf
    assert world.run_until(lambda: bool(losses(world)), seconds=5 * INTERVAL)
    assert [event.worker for event in losses(world)] == [victim.name]


def losses(world: World) -> list[RunLost]:
    return [event for event in world.events("tasktape.tasks") if isinstance(event, RunLost)]


@pytest.mark.parametrize("seed", range(6))
def test_a_dead_worker_whose_heartbeat_comes_after_its_tombstone_is_buried_again(seed: int) -> None:
    world = World(seed, agents=2, faults=False)
    victim, watcher = world.agents
    assert world.run_until(lambda: len(heartbeats(world, victim)) == 2, seconds=60)
    victim.kill()
    write, late = world.write, heartbeats(world, victim)[-1:]

    def write_in_disorder(message: Message) -> None:
        write(message)
        if isinstance(message, Tombstone) and late:
            write(late.pop())

    world.write = write_in_disorder  # type: ignore[method-assign]
    world.run_until(lambda: False, seconds=300)
    assert not late
    assert watcher.core.view.peers.get(victim.name) is None


def heartbeats(world: World, agent: Agent) -> list[WorkerHeartbeat]:
    told = world.events("tasktape.workers")
    return [event for event in told if isinstance(event, WorkerHeartbeat) and event.worker == agent.name]


def test_a_run_whose_taking_arrives_long_after_its_worker_died_is_lost_then_and_runs_again() -> None:
    world = World(7, agents=0, faults=False)
    claimer, watcher = world.add_agent("first"), world.add_agent("second")
    world.create("task")
    world.enqueue("task", "first")

    def taking() -> list[EntryTaken]:
        return [message for message in claimer.wire if isinstance(message, EntryTaken)]

    send = claimer.send
    claimer.send = lambda: not taking() and send()  # type: ignore[method-assign]
    assert world.run_until(lambda: bool(taking()), seconds=60)
    claimer.kill()
    world.run_until(lambda: False, seconds=60)
    assert not world.events("tasktape.tasks")[1:], "a claim alone makes nothing lost"
    assert claimer.name not in world.known.buried
    world.write(taking()[0])
    assert world.run_until(lambda: claimer.name in world.known.buried, seconds=60)
    assert [(event.run, event.worker) for event in losses(world)] == [(1, claimer.name)]
    enqueued = [event for event in world.events(queue_topic("first")) if isinstance(event, EntryEnqueued)]
    assert [event.run for event in enqueued] == [1, 2]
    assert world.run_until(lambda: not watcher.core.watcher.cases, seconds=60)


@pytest.mark.parametrize("beats_first", [True, False])
def test_an_agent_that_froze_before_it_started_user_code_starts_nothing_when_it_wakes(beats_first: bool) -> None:
    world = World(10, agents=1, faults=False)
    (frozen,) = world.agents
    frozen.prepare = lambda pursuit: frozen.programs.update({pursuit.attempt: Program(pursuit)})  # type: ignore[method-assign]
    world.create("task")
    world.enqueue("task", "first")
    begun = lambda: any(control.begun for control in frozen.core.runs.controls.values())  # noqa: E731
    assert world.run_until(begun, seconds=60)
    (attempt,) = frozen.programs
    frozen.stalled_until = float("inf")
    other = world.add_agent()
    assert world.run_until(lambda: bool(world.launched), seconds=60)
    frozen.stalled_until = 0.0
    if beats_first:
        frozen.core.step()
        frozen.send()
        frozen.acknowledge()
    frozen.core.on_prepared(attempt, None)
    frozen.core.step()
    assert world.launched == [("task", 2, other.name)]
    world.run_until(lambda: False, seconds=20)
    assert world.launched == [("task", 2, other.name)]


def test_an_agent_told_to_go_leaves_although_the_log_does_not_answer() -> None:
    world = World(8, agents=1, faults=False)
    (agent,) = world.agents
    world.create("task")
    world.enqueue("task", "first")
    assert world.run_until(lambda: bool(world.launched), seconds=60)
    agent.send = lambda: False  # type: ignore[method-assign]
    agent.core.leave("SIGTERM")
    assert not world.run_until(lambda: agent.core.gone, seconds=0.05)
    agent.core.leave_now("SIGTERM")
    assert world.run_until(lambda: agent.core.gone, seconds=20)


def test_an_agent_told_to_go_finishes_what_runs_and_its_record_goes() -> None:
    world = World(9, agents=1, faults=False)
    (agent,) = world.agents
    world.create("task")
    world.enqueue("task", "first")
    assert world.run_until(lambda: bool(world.launched), seconds=60)
    agent.core.leave("SIGTERM")
    world.create("other")
    world.enqueue("other", "first")
    assert world.run_until(lambda: agent.core.gone, seconds=60)
    assert all_ended(world, ["task"])
    assert started_runs(world) == Counter({("task", 1): 1})
    assert agent.name in world.known.buried


@pytest.mark.parametrize("asleep", [True, False])
def test_a_watcher_that_slept_or_was_frozen_makes_nobody_lost(asleep: bool) -> None:
    for seed in range(5):
        world = World(seed, agents=2, faults=False)
        world.create("task")
        world.enqueue("task", "first")
        assert world.run_until(lambda world=world: bool(world.launched), seconds=60)  # type: ignore[misc]
        runner = next(agent for agent in world.agents if agent.name == world.launched[0][2])
        for program in runner.programs.values():
            program.ends_at = float("inf")
        (watcher,) = [agent for agent in world.agents if agent is not runner]
        watcher.stalled_until = world.now + 60.0
        watcher.asleep = 60.0 if asleep else 0.0
        world.run_until(lambda: False, seconds=100)
        assert world.launched == [("task", 1, runner.name)]
        assert not [event for event in world.events("tasktape.tasks") if isinstance(event, RunLost)]
        assert runner.name not in world.known.buried


def test_a_run_is_retried_only_so_often_when_it_kills_its_workers() -> None:
    world = World(5, agents=1, faults=False)
    world.create("task")
    world.enqueue("task", "first")
    for run in range(1, 5):
        assert world.run_until(lambda run=run: started_runs(world)["task", run] == 1, seconds=200)  # type: ignore[misc]
        for agent in world.agents:
            agent.kill()
        world.add_agent()
    world.run_until(lambda: False, seconds=60)
    assert max(event.run for event in world.events("tasktape.tasks") if isinstance(event, RunEvent)) == 4


@pytest.mark.parametrize("noted", [True, False])
def test_committed_positions_wait_for_the_note_of_what_was_dequeued(noted: bool) -> None:
    world = World(6, agents=1, faults=False)
    world.create("task")
    world.agents[0].kill()
    world.enqueue("task", "first")
    world.dequeue("task", "first", note=noted)
    agent = world.add_agent()
    (place,) = [source for source, end in world.log.end_positions([queue_topic("first")]).items() if end]
    before_note = []

    def committed() -> bool:
        before_note.append(not notes(world) and agent.committed.get(place, 0) > 0)
        return agent.committed.get(place) == 2

    assert world.run_until(committed, seconds=60)
    assert notes(world) == [entry_id("first", "task", 1)]
    assert not any(before_note)


def hold_back(agent: Agent, kind: type[Event]) -> Callable[[], bool]:
    """Let nothing of this kind reach the log, nor what follows it; returns whether that is so at the moment."""
    send = agent.send

    def is_held() -> bool:
        return bool(agent.wire) and isinstance(agent.wire[0], kind)

    def send_others() -> bool:
        return not is_held() and send()

    agent.send = send_others  # type: ignore[method-assign]
    return is_held


def test_a_run_lost_before_it_began_is_followed_by_the_next_although_its_watcher_died() -> None:
    world = World(11, agents=0, faults=False)
    frozen, watcher = world.add_agent("first"), world.add_agent("second")
    world.create("task")
    world.enqueue("task", "first")
    assert world.run_until(hold_back(frozen, RunStarted), seconds=60)
    frozen.stalled_until = float("inf")
    assert world.run_until(hold_back(watcher, RunLost), seconds=60)
    watcher.kill()
    world.write(watcher.wire[0])
    frozen.stalled_until = 0.0
    del frozen.send
    assert world.run_until(lambda: all_ended(world, ["task"]), seconds=60)
    assert world.launched == [("task", 2, frozen.name)]


def test_a_heartbeat_for_an_earlier_claim_does_not_stand_for_the_present_one() -> None:
    world = World(12, agents=0, faults=False)
    agent = world.add_agent("first")
    world.create("task")
    world.enqueue("task", "first")
    is_taking = hold_back(agent, EntryTaken)
    assert world.run_until(is_taking, seconds=60)
    too_late = agent.wire.popleft()
    world.run_until(lambda: False, seconds=LEASE + 1.0)
    world.rerank("task", "first")
    world.write(too_late)
    agent.acknowledge = lambda: False  # type: ignore[method-assign]
    assert not world.run_until(is_taking, seconds=5.0), "no heartbeat that names the second claim is acknowledged"
    del agent.acknowledge
    assert world.run_until(is_taking, seconds=60)
    beats = [event for event in world.events("tasktape.workers") if isinstance(event, WorkerHeartbeat)]
    claims = [event for event in world.events(queue_topic("first")) if isinstance(event, EntryClaimed)]
    assert len(claims) == 2
    assert len({run.claim_offset for beat in beats for run in beat.runs}) == 2
