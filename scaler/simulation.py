"""A scaler's policy against a trace, in simulated time: the real `decide`, with machines, agents and tasks made up.

Arrivals come from arrays and all else from a heap. The policy is asked where its answer may have changed: when tasks
wait that no machine is on its way for, machines come or go, or a time has passed that it knows of; and then once a
second at most, as a scaler does, or more seldom where nothing waits and machines do but go.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count
from math import inf, nan
from typing import Final, TypeAlias

import numpy as np

from ..events.instance_events import Placement, QueueNeed
from .ending import Drain, Terminate
from .outcome import History, Outcome, Stay, outcome_of
from .policy import Launch, decide
from .settings import ScalerSettings
from .situation import Demand, Machine, Situation
from .spending import Spending
from .traces import Trace, TraceError

REACTION: Final = 0.5
"""Seconds from what happens to what is decided."""
PACE: Final = 1.0
QUIET_PACE: Final = 5.0
"""Seconds between decisions at least while nothing waits: machines go one by one, each in three steps."""
LAUNCH_CALL: Final = 2.0
SHUTDOWN: Final = 30.0
NOTICE: Final = 120.0
"""Seconds between a spot machine's notice and its end."""
LOOK_AGAIN: Final = 30.0
_PATIENCE: Final = 48 * 3600.0
"""How long after the last arrival tasks are waited for that no machine may come for."""


@dataclass(frozen=True, slots=True)
class Hardware:
    """Machines: seconds they boot, from and to, and how often an hour a spot machine is taken away."""

    boot: tuple[float, float] = (60.0, 120.0)
    interruptions: float = 0.0
    seed: int = 0


class _Box:
    """A machine with its agent. `runs` are tasks; `is_listed` says that it is among those with room."""

    __slots__ = ("free_since", "is_gone", "is_listed", "machine", "places", "runs", "since")

    def __init__(self, machine: Machine, places: list[int], since: float) -> None:
        self.machine = machine
        self.places = places
        self.since = since
        self.free_since = since
        self.runs: set[int] = set()
        self.is_listed = False
        self.is_gone = False

    @property
    def has_room(self) -> bool:
        machine = self.machine
        return machine.status == "ready" and machine.busy < machine.slots


Happening: TypeAlias = tuple[float, int, Callable[[_Box, int], None], _Box, int]


class Simulation:
    """One run of one policy over one trace."""

    def __init__(self, settings: ScalerSettings, trace: Trace, hardware: Hardware) -> None:
        if unknown := [queue for queue in trace.queues if queue not in settings.queues]:
            raise TraceError(f"the scaler serves no queue {', '.join(unknown)}, into which tasks of the trace come.")
        self._settings = settings
        self._trace = trace
        self._hardware = hardware
        self._random = random.Random(hardware.seed)  # noqa: S311  chance, not secrets
        self._now = 0.0
        self._numbers = count()
        self._happenings: list[Happening] = []
        self._seconds: list[float] = trace.seconds.tolist()
        self._first_begun = [nan] * len(trace)
        self._begun: list[float] = []
        self._ended: list[float] = []
        self._stays: list[Stay] = []
        self._left = len(trace)
        self._interrupted = 0
        self._boxes: dict[str, _Box] = {}
        self._free: dict[str, deque[_Box]] = {name: deque() for name in settings.resources}
        self._free_of = [[self._free[r] for r in _resources(settings, queue)] for queue in trace.queues]
        self._waiting: list[deque[int]] = [deque() for _ in trace.queues]
        self._held = [False] * len(trace.queues)
        self._in_the_way: dict[str, str] = {}
        self._held_back: defaultdict[tuple[str, str], float] = defaultdict(float)
        self._told_at = 0.0
        self._islands = _islands(settings)
        self._island = [self._islands.get(next(iter(_resources(settings, queue)), ""), "") for queue in trace.queues]
        self._idle_limit = {name: settings.idle_seconds(name) for name in settings.resources}
        self._lacking = Counter[str]()
        self._booting = Counter[str]()
        self._spending = Spending(settings.budget.period_hours)
        self._last_launch: dict[str, float] = {}
        self._ask_at = inf
        self._asked_at = -inf
        self._decisions = 0
        self._nobody = _Box(Machine("", "", (), Placement(), "terminating", 0.0), [], 0.0)

    def run(self) -> Outcome:
        """Let it all happen."""
        arrivals, queues = self._trace.arrivals.tolist(), self._trace.queue.tolist()
        happenings, place, total = self._happenings, 0, len(arrivals)
        last = arrivals[-1] + _PATIENCE
        self._ask(0.0)
        while self._left and self._now <= last:
            if place < total and (not happenings or arrivals[place] < happenings[0][0]):
                self._now = arrivals[place]
                self._arrive(place, queues[place])
                place += 1
            else:
                self._now, _, happen, box, task = heappop(happenings)
                happen(box, task)
        return self._outcome()

    def _outcome(self) -> Outcome:
        for box in self._boxes.values():
            self._ended.extend([self._now] * len(box.runs))
            self._stay(box)
        first = np.array(self._first_begun)
        until = max(self._now, float(self._trace.arrivals[-1]))
        self._note_needs(())
        told = (self._begun, self._ended, self._stays, self._held_back, until, self._interrupted, self._decisions)
        return outcome_of(History(self._trace, first, *told))

    # Tasks.

    def _arrive(self, task: int, queue: int) -> None:
        free = self._first_free(queue)
        if free is not None:
            box = free[0]
            self._begin(box, task)
            if box.machine.busy == box.machine.slots:
                free.popleft()
                box.is_listed = False
            return
        self._waiting[queue].append(task)
        island = self._island[queue]
        self._lacking[island] += 1
        if self._lacking[island] > self._booting[island] and not self._held[queue]:
            self._ask(self._now + REACTION)

    def _first_free(self, queue: int) -> deque[_Box] | None:
        """Machines with room of the resource whose first has been free for longest: agents take turns like that."""
        best = None
        for free in self._free_of[queue]:
            while free and not free[0].has_room:
                free.popleft().is_listed = False
            if free and (best is None or free[0].free_since < best[0].free_since):
                best = free
        return best

    def _begin(self, box: _Box, task: int) -> None:
        now = self._now
        box.machine.busy += 1
        box.runs.add(task)
        self._begun.append(now)
        if self._first_begun[task] != self._first_begun[task]:
            self._first_begun[task] = now
        heappush(self._happenings, (now + self._seconds[task], next(self._numbers), self._end, box, task))

    def _end(self, box: _Box, task: int) -> None:
        if task not in box.runs:
            return
        self._ended.append(self._now)
        box.runs.remove(task)
        self._left -= 1
        box.machine.busy -= 1
        if not box.runs:
            box.free_since = self._now
        if box.machine.status == "ready":
            self._serve(box)
        elif not box.runs:
            self._leave(box)

    def _serve(self, box: _Box) -> None:
        """Have a machine take what waits, in the order of its queues."""
        for queue in box.places:
            waiting = self._waiting[queue]
            while waiting and box.machine.busy < box.machine.slots:
                self._lacking[self._island[queue]] -= 1
                self._begin(box, waiting.popleft())
        if not box.is_listed and box.machine.busy < box.machine.slots:
            box.is_listed = True
            self._free[box.machine.resource].append(box)
        if not box.runs:
            self._ask(self._now + self._idle_limit[box.machine.resource])

    # Machines.

    def _launch(self, launch: Launch) -> None:
        name, resource = launch.resource, self._settings.resources[launch.resource]
        queues = self._settings.queues_of(name)
        instance = str(next(self._numbers))
        machine = Machine(instance, name, queues, launch.placement, "booting", 0.0, resource.slots)
        places = [self._trace.queues.index(queue) for queue in queues if queue in self._trace.queues]
        box = self._boxes[instance] = _Box(machine, places, self._now)
        self._booting[self._islands[name]] += resource.slots
        self._spending.begin(self._now)
        self._last_launch[name] = self._now
        self._after(LAUNCH_CALL + self._random.uniform(*self._hardware.boot), self._boot, box)

    def _boot(self, box: _Box, _task: int) -> None:
        if box.machine.status == "booting":
            self._booting[self._islands[box.machine.resource]] -= box.machine.slots
            box.machine.status = "ready"
            box.free_since = self._now
            self._serve(box)
            if box.machine.placement.spot and self._hardware.interruptions:
                self._after(self._random.expovariate(self._hardware.interruptions / 3600.0), self._warn, box)

    def _warn(self, box: _Box, _task: int) -> None:
        if not box.is_gone:
            box.machine.interrupted = True
            self._ask(self._now + REACTION)
            self._after(NOTICE, self._take_away, box)

    def _take_away(self, box: _Box, _task: int) -> None:
        """End a machine whatever it runs; that waits again, before all else."""
        if not box.is_gone:
            self._interrupted += len(box.runs)
            for task in sorted(box.runs, reverse=True):
                queue = int(self._trace.queue[task])
                self._ended.append(self._now)
                self._waiting[queue].appendleft(task)
                self._lacking[self._island[queue]] += 1
            box.runs.clear()
            self._vanish(box, 0)

    def _leave(self, box: _Box) -> None:
        box.machine.left = True
        self._ask(self._now + REACTION)

    def _vanish(self, box: _Box, _task: int) -> None:
        """A machine is gone, and there may be room for another one."""
        if not box.is_gone:
            box.is_gone = True
            box.machine.status = "terminating"
            del self._boxes[box.machine.instance]
            self._stay(box)
            self._spending.end(self._now)
            self._held = [False] * len(self._held)
            if any(self._waiting) or self._settings.resources[box.machine.resource].minimum:
                self._ask(self._now + REACTION)

    def _stay(self, box: _Box) -> None:
        machine = box.machine
        self._stays.append(Stay(machine.resource, box.since, self._now, machine.slots, machine.placement.hourly_cost))

    # The policy.

    def _ask(self, at: float) -> None:
        """Ask the policy then, unless it is asked before that."""
        at = max(at, self._asked_at + (PACE if any(self._waiting) else QUIET_PACE))
        if at < self._ask_at:
            self._ask_at = at
            heappush(self._happenings, (at, next(self._numbers), self._answer, self._nobody, 0))

    def _answer(self, _box: _Box, _task: int) -> None:
        if self._now != self._ask_at:
            return
        self._ask_at, self._asked_at = inf, self._now
        self._decisions += 1
        plan = decide(self._situation(), self._settings)
        for action in plan.actions:
            match action:
                case Launch():
                    self._launch(action)
                case Drain(instance):
                    self._drain(self._boxes[instance])
                case Terminate(instance):
                    self._terminate(self._boxes[instance])
        self._note_needs(plan.needs)
        self._held = [queue in self._in_the_way for queue in self._trace.queues]
        self._ask(min(self._dues()))

    def _note_needs(self, needs: Sequence[QueueNeed]) -> None:
        """Add up for how long what was in the way, up to now, and learn what is."""
        for told in self._in_the_way.items():
            self._held_back[told] += (self._now - self._told_at) / 3600.0
        self._told_at = self._now
        self._in_the_way = {need.queue: need.held_back_by for need in needs if need.held_back_by}

    def _drain(self, box: _Box) -> None:
        box.machine.status = "draining"
        if not box.runs:
            self._leave(box)

    def _terminate(self, box: _Box) -> None:
        if box.machine.status == "booting":
            self._booting[self._islands[box.machine.resource]] -= box.machine.slots
        box.machine.status = "terminating"
        self._after(SHUTDOWN, self._vanish, box)

    def _situation(self) -> Situation:
        now = self._now
        for box in self._boxes.values():
            box.machine.age = now - box.since
            box.machine.idle = 0.0 if box.runs else now - box.free_since
        return Situation(
            {queue: Demand(len(self._waiting[place])) for place, queue in enumerate(self._trace.queues)},
            [box.machine for box in self._boxes.values()],
            spent_hours=self._spending.hours(now),
            since_launch={name: now - at for name, at in self._last_launch.items()},
        )

    def _dues(self) -> Iterator[float]:
        """Moments from which on the policy's answer may be another one though nothing happens."""
        now, budget = self._now, self._settings.budget
        yield now + LOOK_AGAIN if self._in_the_way else inf
        for box in self._boxes.values():
            if box.machine.status == "booting":
                yield box.since + self._settings.spin_up_seconds(box.machine.resource) + PACE
        for name, free in self._free.items():
            limit = self._idle_limit[name]
            yield min((box.free_since + limit for box in free if now < box.free_since + limit), default=inf)
        for at in self._last_launch.values():
            yield at + self._settings.cooldown_s if now < at + self._settings.cooldown_s else inf
        if budget.instance_hours is not None and self._boxes:
            left = budget.instance_hours - self._spending.hours(now)
            yield now + 3600.0 * left / len(self._boxes) + PACE if left > 0 else inf

    def _after(self, seconds: float, happen: Callable[[_Box, int], None], box: _Box) -> None:
        heappush(self._happenings, (self._now + seconds, next(self._numbers), happen, box, 0))


def _resources(settings: ScalerSettings, queue: str) -> list[str]:
    return list(dict.fromkeys(share.resource for share in settings.queues[queue]))


def _islands(settings: ScalerSettings) -> dict[str, str]:
    """Resources that serve queues in common, directly or through others, by the name of one of them."""
    island = {name: name for name in settings.resources}
    for shares in settings.queues.values():
        for share in shares:
            old, new = island[share.resource], island[shares[0].resource]
            island = {name: new if of == old else of for name, of in island.items()}
    return island
