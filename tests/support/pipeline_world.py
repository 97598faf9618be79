"""A world for pipelines: the controller's own code on a log in memory, agents that do what a plan says, and death.

Nothing here waits, and nothing is left to chance but what the plan draws: each poll that finds nothing lets the agents'
runs go on by one event (`pace`: by several), and the controller can be killed before and after each event it writes.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, Final

from tasktape.events import task_events
from tasktape.events.base import Event, Meta, TaskEvent
from tasktape.events.codec import Codec
from tasktape.events.log.memory import MemoryLog
from tasktape.events.parts import Artifact, Script, TaskSpec
from tasktape.events.pipeline_events import CallbackReturned, PipelineStopping
from tasktape.events.queue_events import EntryEnqueued, entry_id
from tasktape.events.task_events import TasksEvent
from tasktape.events.topics import TOPICS, queue_spec
from tasktape.events.wire import append_event
from tasktape.producers.controllers import runners
from tasktape.producers.controllers.channel import Channel
from tasktape.producers.controllers.children import Children
from tasktape.producers.controllers.engine import Engine
from tasktape.producers.pipelines import conductor
from tasktape.producers.pipelines.cache_key import cache_key
from tasktape.producers.pipelines.conductor import Conductor
from tasktape.producers.pipelines.node import Node
from tasktape.producers.pipelines.preparing import Surroundings
from tasktape.projections.task_state import TaskState, apply

from .pipeline_plans import INFRASTRUCTURE_TRIES, LOSSES, Plan, StepPlan

CONTROLLER: Final = "controller"
QUEUE: Final = "cpu"
WORKER: Final = "agent/1"
MARK: Final = "General/mark"
TAKEN: Final = "General/taken"
_START: Final = datetime(2026, 1, 1, tzinfo=UTC)
_PATIENCE: Final = 20
_LONG: Final = 300

Life = Iterator[object]
Call = tuple[int, str, str, Any]


class KilledError(BaseException):
    """The controller is dead: nothing of it may see this."""


class LeftError(BaseException):
    """The controller's process has ended before its pipeline."""


class StuckError(AssertionError):
    """The controller waits for something that nobody will say."""


class Session:
    """What the controller takes from a process's session."""

    actor = "ada@lab"
    settings = SimpleNamespace(close_timeout=1.0, blobs="")
    outbox = SimpleNamespace(synced=lambda _timeout: True)

    def __init__(self, world: World) -> None:
        self._world = world
        self.codec = world.codec
        self._said = 0

    def stamp(self) -> Meta:
        self._said += 1
        moment = _START + timedelta(microseconds=self._said)
        return Meta(event_id=f"e{self._said}", occurred_at=moment, actor=self.actor, session="s", seq=self._said)

    def open_log(self) -> MemoryLog:
        return MemoryLog.named(self._world.name)

    @contextmanager
    def queries(self) -> Iterator[World]:
        yield self._world


class MortalChannel(Channel):
    """A channel on which the world goes on, and by which the controller dies."""

    def __init__(self, session: Any, children: Children, world: World) -> None:
        self._world = world
        super().__init__(session, CONTROLLER, children)

    def append(self, events: Sequence[Event]) -> None:
        for event in events:
            self._world.live()
            if self._world.straight:
                append_event(self.log, event, codec=self._world.codec)
            else:
                super().append([event])
            self._world.note(event)
            self._world.live()

    def poll(self, timeout: float) -> list[TaskEvent]:
        del timeout
        found = super().poll(0.0)
        self._world.polls += 1
        if not found:
            self._world.go_on()
        return found


class WorldRunner(runners.QueueRunner):
    """Puts runs into queues; to stop one, it tells its agent."""

    world: World

    def stop(self, child: str, run: int, *, has_started: bool = False) -> None:
        del has_started
        self.world.live()
        self.world.stop(child, run)


@dataclass
class World:
    """Agents, the log, and what can be asked of it. `told` is all that was said, in order.

    `straight` spares the controller's appends their delivery reports, which cost a thread's turn each.
    """

    plan: Plan
    name: str
    codec: Codec = field(default_factory=Codec)
    told: list[Event] = field(default_factory=list)
    calls: Counter[Call] = field(default_factory=Counter)
    interrupted: Counter[Call] = field(default_factory=Counter)
    marks: dict[tuple[int, str], str] = field(default_factory=dict)
    entries: dict[str, EntryEnqueued] = field(default_factory=dict)
    made: dict[str, str] = field(default_factory=dict)
    pace: int = 1
    straight: bool = False
    left: bool = False
    time_limit: float = 0.0
    generation: int = 0
    run: int = 0
    polls: int = 0
    deaths: int = 0

    def __post_init__(self) -> None:
        self.chance = random.Random(self.plan.chance)
        self.session: Any = Session(self)  # all that a controller asks a session for
        self.log = MemoryLog.named(self.name)
        self.log.create_topics([*TOPICS, queue_spec(QUEUE)])
        self.states: defaultdict[str, TaskState] = defaultdict(TaskState)
        self.step_of: dict[str, tuple[int, int]] = {}
        self.runs: Counter[str] = Counter()
        self._lives: dict[tuple[str, int], Life] = {}
        self._aborts: set[tuple[str, int]] = set()
        self._in_flight: Call | None = None
        self._breaths = 0
        self._idle = 0
        self.node_names = {f"s{number}": number for number in range(len(self.plan.steps))}
        self.keys = {cache_key(base(step, number), str): number for number, step in enumerate(self.plan.steps)}
        self.say(task_events.TaskCreated, CONTROLLER, spec=TaskSpec(project="p", name="nightly"))

    # what controllers ask

    def task(self, task: str) -> Any:
        return SimpleNamespace(last_run=self.states[task].run.number) if self.states[task].spec else None

    def spec(self, task: str) -> TaskSpec | None:
        if task.startswith("cached-"):
            return TaskSpec(project="p", name=task)
        return self.states[task].spec

    def artifacts(self, task: str) -> list[Artifact]:
        return [artifact(f"mem://{task}")]

    def models(self, _: Any) -> list[Any]:
        return []

    def cached_step(self, key: str) -> str | None:
        number = self.keys.get(key)
        return None if number is None else f"cached-s{number}"

    # life and death of the controller

    def live(self) -> None:
        """The controller has done something more; its hour may have come."""
        self._breaths -= 1
        if self._breaths == 0:
            self.interrupted[self._in_flight or (0, "", "", 0)] += 1
            self._in_flight = None
            raise KilledError

    def conduct(self, **options: Any) -> Conductor:
        """Run the controller until the pipeline ends, through as many deaths as the plan has."""
        while True:
            self.run, self._idle = self.run + 1, 0
            self.say(task_events.RunStarted, CONTROLLER, run=self.run, worker=WORKER)
            self._say_what_does_not_count()
            kills = self.plan.kills[self.generation] if self.generation < len(self.plan.kills) else ()
            self._breaths = kills[self.deaths] + 1 if self.deaths < len(kills) else 0
            found, error = self._run_once(**options)
            self.left |= isinstance(error, LeftError)
            if error is None or isinstance(error, LeftError):
                return found
            if not isinstance(error, KilledError):
                raise error
            self.deaths += 1
            for _ in range(self.chance.randint(0, 5)):
                self._advance()
            self.say(task_events.RunLost, CONTROLLER, run=self.run, worker=WORKER)

    def _run_once(self, **options: Any) -> tuple[Conductor, BaseException | None]:
        children = Children()
        channel = MortalChannel(self.session, children, self)
        runner = WorldRunner(self.session, channel.append)
        runner.world = self
        surroundings = Surroundings(self.session, CONTROLLER, project="p", queue=QUEUE)
        plan = conductor.Plan("nightly", queue=QUEUE, stops_on_fail=self.plan.stops_on_fail, time_limit=self.time_limit)
        made = Conductor(plan, surroundings, self.run, self.nodes(), children, self, runner, channel, **options)
        engine = Engine(channel, self.run, made, children)
        made.readying.catch_up = engine.catch_up
        self.conductor = made
        engine.run()
        return made, engine.error

    def end(self, status: str) -> None:
        """The controller's task says how the pipeline ended."""
        kinds: dict[str, type[Event]] = {"completed": task_events.RunCompleted, "failed": task_events.RunFailed}
        fields = {"reason": "pipeline failed"} if status == "failed" else {}
        self.say(kinds.get(status, task_events.RunStopped), CONTROLLER, run=self.run, **fields)
        self.say(task_events.RunLost, CONTROLLER, run=self.run, worker=WORKER)
        self.generation, self.deaths = self.generation + 1, 0

    def _say_what_does_not_count(self) -> None:
        """What a stalled controller says too late, and a watcher of another worker."""
        self.say(PipelineStopping, CONTROLLER, run=self.run - 1, reason="late")
        self.say(task_events.RunStopped, CONTROLLER, run=self.run - 1)
        self.say(task_events.RunLost, CONTROLLER, run=self.run, worker="agent/2")

    # what the user has written

    def nodes(self) -> dict[str, Node]:
        return {name: self._node(name, self.plan.steps[number]) for name, number in self.node_names.items()}

    def _node(self, name: str, step: StepPlan) -> Node:
        number = self.node_names[name]
        taken = {TAKEN: f"${{s{step.parents[0]}.artifacts.out.url}}"} if step.parents and not step.cached else {}
        return Node(
            name,
            queue=QUEUE,
            parents=[f"s{parent}" for parent in step.parents],
            parameters=taken,
            base_spec=base(step, number),
            cache_executed_step=step.cached,
            retries=0 if step.asks else step.retries,
            callbacks={callback: self._callback(callback, step) for callback in step.all_callbacks},
            continue_on_fail=step.goes_on_on_fail,
            continue_on_abort=step.goes_on_on_abort,
            skip_children_on_fail=step.skips_on_fail,
            skip_children_on_abort=step.skips_on_abort,
        )

    def _callback(self, callback: str, step: StepPlan) -> Any:
        def call(world: World, node: Node, *about: Any) -> Any:
            detail = (*about, node.status) if callback == "status" else about if callback == "retry" else ()
            key = self._in_flight = (self.generation, node.name, callback, detail)
            self.live()
            assert world is self
            self.calls[key] += 1
            if callback in step.answers and not step.cached:
                mark = f"{callback} {self.calls[key]}"
                self.marks[self.generation, node.name] = about[0][MARK] = about[0].get(MARK, "") + mark
            self.live()
            return about[0] < step.retries if callback == "retry" else step.answers.get(callback)

        return call

    # agents

    def say(self, kind: type[Event], task: str, /, **fields: Any) -> None:
        event = kind.model_validate({"meta": self.session.stamp(), "task": task, **fields})
        self.log.append(event.topic_name, event.key, self.codec.encode(event))
        self.note(event)

    def note(self, event: Event) -> None:
        """An event is on the log."""
        self.told.append(event)
        if isinstance(event, CallbackReturned):
            self._in_flight = None
        if isinstance(event, EntryEnqueued) and event.entry not in self.entries:
            self.entries[event.entry] = event
            self.step_of.setdefault(event.task, (self.node_names[event.spec.name], self.generation))
            self._lives[event.task, event.run] = self._life(event)
        if isinstance(event, TasksEvent) and event.task != CONTROLLER:
            after = apply(self.states[event.task], event)
            self.states[event.task] = after if isinstance(after, TaskState) else self.states[event.task]

    def go_on(self) -> None:
        """Let one run go on; fail if nothing has happened for a while, and nothing can."""
        self._idle = 0 if sum(self._advance() for _ in range(self.pace)) else self._idle + 1
        if self._idle > _PATIENCE:
            raise StuckError

    def stop(self, child: str, run: int) -> None:
        """A run is to end: at once if it has not begun."""
        self._aborts.add((child, run))
        if (child, run) in self._lives:
            began = self.states[child].run.number == run and self.states[child].run.started
            self._lives[child, run] = self._aborted(child, run) if began else self._dequeued(child, run)

    def _advance(self) -> bool:
        if not self._lives:
            return False
        key = self.chance.choice(list(self._lives))
        if next(self._lives[key], None) is None:
            del self._lives[key]
        return True

    def _life(self, entry: EntryEnqueued) -> Life:
        """What comes of an entry: the run that the plan has for it, and the next where agents retry."""
        task, run = entry.task, entry.run
        number, generation = self.step_of[task]
        fates = self.plan.steps[number].fates
        mine = fates[generation] if generation < len(fates) else ()
        fate = mine[self.runs[task]] if self.runs[task] < len(mine) else "completed"
        fate = "dequeued" if (task, run) in self._aborts else fate
        self.runs[task] += 1
        if fate not in {"unstarted", "broken", "dequeued"}:
            self.say(task_events.RunStarted, task, run=run, worker=WORKER, entry=entry.entry)
            yield True
        for _ in range(_LONG) if fate == "endless" else ():
            yield True
        if fate in {"completed", "lost"}:
            uri = f"mem://s{number}/{generation}/{self.runs[task]}/{fate}"
            self.say(task_events.ArtifactUploaded, task, run=run, artifact=artifact(uri))
            self.made[task] = uri
            yield True
        self._end(entry, fate)
        yield True
        self._follow(entry, fate)

    def _end(self, entry: EntryEnqueued, fate: str) -> None:
        kinds: dict[str, tuple[type[Event], dict[str, Any]]] = {
            "completed": (task_events.RunCompleted, {}),
            "failed": (task_events.RunFailed, {"reason": "exception"}),
            "broken": (task_events.RunFailed, {"reason": "environment", "cause": "infrastructure"}),
            "lost": (task_events.RunLost, {"worker": WORKER}),
            "unstarted": (task_events.RunLost, {"worker": WORKER, "entry": entry.entry}),
            "preempted": (task_events.RunPreempted, {"worker": WORKER}),
            "aborted": (task_events.RunStopped, {"reason": "aborted"}),
            "endless": (task_events.RunFailed, {"reason": "nobody has stopped it"}),
            "dequeued": (task_events.EntryLeft, {"entry": entry.entry, "reason": "dequeued"}),
        }
        kind, fields = kinds[fate]
        self.say(kind, entry.task, run=entry.run, **fields)

    def _follow(self, entry: EntryEnqueued, fate: str) -> None:
        losses, failures = entry.losses + (fate in LOSSES), entry.failures + (fate == "failed")
        is_within = losses <= INFRASTRUCTURE_TRIES and failures <= entry.spec.retries
        if fate in {*LOSSES, "failed", "preempted"} and is_within:
            counts = {"failures": failures, "losses": losses}
            about = {"queue": QUEUE, "run": entry.run + 1, "entry": entry_id(QUEUE, entry.task, entry.run + 1)}
            self.say(EntryEnqueued, entry.task, **about, **counts, spec=entry.spec)

    def _aborted(self, child: str, run: int) -> Life:
        self.say(task_events.RunStopped, child, run=run, reason="aborted")
        yield self.told[-1]

    def _dequeued(self, child: str, run: int) -> Life:
        entry = entry_id(QUEUE, child, run)
        self.say(task_events.EntryLeft, child, run=run, entry=entry, reason="dequeued")
        yield self.told[-1]


def base(step: StepPlan, number: int) -> TaskSpec:
    """What a step copies."""
    script = Script(source=f"step {number}", entry_point="step.py")
    return TaskSpec(project="bases", name=f"base {number}", script=script, retries=step.agent_retries)


def artifact(uri: str) -> Artifact:
    return Artifact(name="out", type="dict", uri=uri, size=1, sha256="0" * 64)
