"""How a worker comes by a run: the decisions of claiming, from the choice of an entry to the read-back of its start.

Whose turn an entry is decides how soon this worker goes for it, never who gets it: that does the log.

No I/O, clock or randomness of its own: it looks at folds through `Sight`, is told the time, and answers with commands,
so that a simulation runs the very code that agents run.

One pursuit goes through these stages, each entered when the log (or an acknowledgement) says so:

    chosen --wait over--> permitting --permit valid--> claiming --claim valid--> claimed
      --heartbeat that names it acknowledged--> taking --taken valid--> starting --start valid--> started

and is dropped as soon as the log says that somebody else was first. Only where a limit concerns the run is there a
permit to ask for; it is given back when the pursuit is dropped. A run that was declared lost on the way is not begun,
but seen to its end, so that the next one follows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from math import inf
from random import Random
from typing import Any, Final

from ..events.base import Meta
from ..events.hardware import Hardware
from ..events.limit_events import PermitClaimed
from ..events.queue_events import EntryClaimed, EntryEnqueued, EntryEvent, EntryTaken
from ..events.task_events import RunStarted
from ..events.worker_events import HeldRun
from ..projections.queue_fold import Entry
from .choice import Candidate, Choice, Sight
from .inventory import Inventory

SHORTEST_WAIT: Final = 0.012
LONGEST_WAIT: Final = 0.040


class Stage(Enum):
    """How far a pursuit is."""

    CHOSEN = auto()
    PERMITTING = auto()
    CLAIMING = auto()
    CLAIMED = auto()
    TAKING = auto()
    STARTING = auto()
    STARTED = auto()


@dataclass(slots=True)
class Pursuit:
    """This worker's way to one entry. `pending` is the id of the event whose read-back is awaited.

    `stamp` stamps all that is said about the run: each event only after the one before is on the log, so that repeats
    of events in doubt never look like something older that was seen before.
    `fenced` says that the worker's lease ran out on the way: the run may have been declared lost and must not begin.
    `scopes` are all it belongs to where it needs a permit, and `permit` is the id of that one once it is asked for.
    `gpus` are the devices the run has to itself once its preparation begins; None where the worker shares out none.
    """

    queue: str
    entry: Entry
    request: EntryEnqueued
    stamp: Callable[[], Meta]
    due: float
    stage: Stage = Stage.CHOSEN
    pending: str = ""
    fenced: bool = False
    gpus: tuple[str, ...] | None = None
    scopes: tuple[str, ...] = ()
    permit: str = ""

    @property
    def id(self) -> str:
        """The entry's id."""
        return self.entry.id

    @property
    def attempt(self) -> str:
        """Id of the valid claim: another attempt at the same entry has another one."""
        return self.entry.claim

    @property
    def hardware(self) -> Hardware:
        """What the run asked for."""
        return self.entry.hardware

    @property
    def held(self) -> bool:
        """Whether heartbeats have to name the run."""
        return self.stage not in {Stage.CHOSEN, Stage.PERMITTING, Stage.CLAIMING}

    def as_held_run(self) -> HeldRun:
        """Return what heartbeats say of it."""
        return HeldRun(
            task=self.entry.task,
            run=self.entry.run,
            queue=self.queue,
            entry=self.entry.id,
            partition=self.entry.partition,
            enqueued_offset=self.entry.offset,
            claim_offset=self.entry.claim_offset,
        )


@dataclass(frozen=True, slots=True)
class Say:
    """Append this event until it is read back."""

    event: EntryEvent | RunStarted | PermitClaimed


@dataclass(frozen=True, slots=True)
class GiveBack:
    """The pursuit needs its permit no more."""

    pursuit: Pursuit
    reason: str


@dataclass(frozen=True, slots=True)
class Prepare:
    """The claim is valid: build the environment meanwhile."""

    pursuit: Pursuit


@dataclass(frozen=True, slots=True)
class Begin:
    """The start is valid: once the environment is ready, user code may start after one more check.

    Or the run was declared lost before: it never starts, but its next one is this worker's to see to.
    """

    pursuit: Pursuit


@dataclass(frozen=True, slots=True)
class Drop:
    """Somebody else was first, or the run is over: forget it."""

    pursuit: Pursuit
    reason: str


Command = Say | GiveBack | Prepare | Begin | Drop


@dataclass(slots=True)
class Claiming:
    """All pursuits of one worker. `slots` is how many runs it holds at once, `lease` the claim lease in seconds.

    `stamper` makes a stamp with a session of its own for each pursuit. `fair` takes from each queue in turn. Runs that
    ask for hardware get it out of the `inventory`.
    """

    worker: str
    stamper: Callable[[], Callable[[], Meta]]
    random: Random
    sight: Sight
    lease: float
    slots: int = 1
    machine: Mapping[str, str] = field(default_factory=dict)
    fair: bool = False
    inventory: Inventory = field(default_factory=Inventory)
    stopping: bool = False
    pursuits: dict[str, Pursuit] = field(default_factory=dict)
    _choice: Choice = field(init=False)
    _now: float = -inf

    def __post_init__(self) -> None:
        self._choice = Choice(self.worker, self.sight, self.lease, self.fair, self.inventory)

    def step(self, now: float) -> list[Command]:
        """Do all that can be done now. To be called whenever anything `Sight` shows may have changed."""
        self._now = now
        commands = [command for pursuit in list(self.pursuits.values()) for command in self._advance(pursuit)]
        self._choose(now)
        chosen = [pursuit for pursuit in self.pursuits.values() if pursuit.stage is Stage.CHOSEN and pursuit.due <= now]
        return commands + [self._ask(pursuit) if pursuit.scopes else self._claim(pursuit) for pursuit in chosen]

    def next_due(self) -> float:
        """Moment at which to call `step` even if nothing changes."""
        waits = (pursuit.due for pursuit in self.pursuits.values() if pursuit.stage is Stage.CHOSEN)
        return min((*waits, self._choice.next_stale))

    def release(self, entry: str) -> None:
        """Forget a run that is over, or that is somebody else's: its slot is free."""
        self.pursuits.pop(entry, None)

    def spare(self) -> Hardware:
        """What is left of this worker's hardware beside the runs it holds, or is about to."""
        return self.inventory.spare(p.hardware for p in self.pursuits.values() if p.stage is not Stage.CHOSEN)

    def fence(self) -> None:
        """The worker's lease ran out: nothing it holds now may begin any more, nor what it has a permit for."""
        for pursuit in self.pursuits.values():
            pursuit.fenced = pursuit.fenced or pursuit.held or bool(pursuit.permit)

    def _choose(self, now: float) -> None:
        """Make the best free entries the chosen ones; those chosen before keep their wait."""
        busy = [entry for entry, pursuit in self.pursuits.items() if pursuit.stage is not Stage.CHOSEN]
        room = 0 if self.stopping else max(0, self.slots - len(busy))
        asking = [s for p in self.pursuits.values() if p.stage is Stage.PERMITTING for s in p.scopes]
        best = {pick.found.entry.id: pick for pick in self._choice.picks(now, set(busy), asking, room, self.spare())}
        for entry in self.pursuits.keys() - set(busy) - best.keys():
            self.release(entry)
        for entry, (found, ahead) in best.items():
            if entry not in self.pursuits:
                self.pursuits[entry] = self._pursuit(found, ahead, now)
            pursuit = self.pursuits[entry]
            pursuit.scopes = found.scopes
            pursuit.due = min(pursuit.due, now + ahead * LONGEST_WAIT)
            if ahead and pursuit.due <= now:
                self._choice.waited_in_vain(pursuit.queue, now)

    def _pursuit(self, found: Candidate, ahead: int, now: float) -> Pursuit:
        """An entry to go for when those ahead have let it lie, each for a moment of random length."""
        due = now + ahead * self.random.uniform(SHORTEST_WAIT, LONGEST_WAIT)
        return Pursuit(found.queue, found.entry, found.request, self.stamper(), due, scopes=found.scopes)

    def _ask(self, pursuit: Pursuit) -> Say:
        """Ask for a permit, for all scopes at once: no two runs wait for each other's."""
        entry = pursuit.entry
        event = PermitClaimed(
            meta=pursuit.stamp(),
            task=entry.task,
            run=entry.run,
            worker=self.worker,
            entry=entry.id,
            scopes=list(pursuit.scopes),
        )
        pursuit.permit = event.meta.event_id
        return self._say(event, pursuit, Stage.PERMITTING)

    def _claim(self, pursuit: Pursuit) -> Say:
        self._choice.claimed(pursuit.queue)
        return self._say(EntryClaimed(**self._about(pursuit), worker=self.worker), pursuit, Stage.CLAIMING)

    def _advance(self, pursuit: Pursuit) -> Iterator[Command]:
        """Go on with one pursuit for as long as each step makes the next one possible."""
        stage = None
        while stage is not pursuit.stage and pursuit.id in self.pursuits:
            stage = pursuit.stage
            yield from self._step_of(pursuit)

    def _step_of(self, pursuit: Pursuit) -> Iterator[Command]:
        match pursuit.stage:
            case Stage.PERMITTING:
                return self._when_permitting(pursuit)
            case Stage.CLAIMING:
                return self._when_claiming(pursuit)
            case Stage.CLAIMED:
                return self._when_claimed(pursuit)
            case Stage.TAKING:
                return self._when_taking(pursuit)
            case Stage.STARTING:
                return self._when_starting(pursuit)
            case Stage.CHOSEN | Stage.STARTED:
                return iter(())

    def _when_permitting(self, pursuit: Pursuit) -> Iterator[Command]:
        verdict = self.sight.take_verdict(pursuit.pending)
        if verdict is None:
            return
        if not verdict.accepted:
            self.release(pursuit.id)
        elif self.stopping or pursuit.fenced:
            self.release(pursuit.id)
            yield GiveBack(pursuit, "this worker takes nothing new")
        else:
            yield self._claim(pursuit)

    def _when_claiming(self, pursuit: Pursuit) -> Iterator[Command]:
        verdict = self.sight.take_verdict(pursuit.pending)
        if verdict is None:
            return
        entry = self.sight.entry(pursuit.queue, pursuit.id)
        if entry is None or not verdict.accepted or entry.claim != pursuit.pending:
            self._lose(pursuit, entry)
            if pursuit.permit:
                yield GiveBack(pursuit, "the claim was lost")
            return
        pursuit.entry, pursuit.stage = entry, Stage.CLAIMED
        yield Prepare(pursuit)

    def _lose(self, pursuit: Pursuit, entry: Entry | None) -> None:
        self.release(pursuit.id)
        if entry is not None and entry.changed_by == pursuit.entry.changed_by:
            self._choice.too_early(entry, self._now + self.lease / 4)

    def _when_claimed(self, pursuit: Pursuit) -> Iterator[Command]:
        entry = self.sight.entry(pursuit.queue, pursuit.id)
        if entry is None or entry.state != "claimed" or entry.claim != pursuit.entry.claim:
            yield self._drop(pursuit, "the claim grew old and another event overtook it")
        elif self.stopping or pursuit.fenced:
            yield self._drop(pursuit, "this worker takes nothing new")
        elif not pursuit.permit and self._choice.scopes(pursuit.queue, pursuit.request):
            yield self._drop(pursuit, "a limit was set meanwhile")
        elif self.sight.acknowledged(pursuit.attempt):
            taken = EntryTaken(**self._about(pursuit), worker=self.worker, claim=entry.claim)
            yield self._say(taken, pursuit, Stage.TAKING)

    def _when_taking(self, pursuit: Pursuit) -> Iterator[Command]:
        verdict = self.sight.take_verdict(pursuit.pending)
        if verdict is None:
            return
        if verdict.accepted:
            yield self._say(self._start(pursuit), pursuit, Stage.STARTING)
        else:
            yield self._drop(pursuit, verdict.reason)

    def _when_starting(self, pursuit: Pursuit) -> Iterator[Command]:
        verdict = self.sight.take_verdict(pursuit.pending)
        if verdict is None:
            return
        if not verdict.accepted and not self.sight.is_lost(pursuit.entry.task, pursuit.entry.run):
            yield self._drop(pursuit, verdict.reason)
            return
        pursuit.stage = Stage.STARTED
        yield Begin(pursuit)

    def _start(self, pursuit: Pursuit) -> RunStarted:
        entry = pursuit.entry
        return RunStarted(
            meta=pursuit.stamp(),
            task=entry.task,
            run=entry.run,
            worker=self.worker,
            entry=entry.id,
            machine=self._machine_of(pursuit),
        )

    def _machine_of(self, pursuit: Pursuit) -> dict[str, str]:
        gpus = {} if pursuit.gpus is None else {"gpus": ",".join(pursuit.gpus)}
        return {**self.machine, **gpus}

    def _about(self, pursuit: Pursuit) -> dict[str, Any]:
        entry = pursuit.entry
        return {
            "meta": pursuit.stamp(),
            "task": entry.task,
            "queue": pursuit.queue,
            "entry": entry.id,
            "run": entry.run,
        }

    def _say(self, event: EntryEvent | RunStarted | PermitClaimed, pursuit: Pursuit, stage: Stage) -> Say:
        pursuit.pending, pursuit.stage = event.meta.event_id, stage
        return Say(event)

    def _drop(self, pursuit: Pursuit, reason: str) -> Drop:
        self.release(pursuit.id)
        return Drop(pursuit, reason)
