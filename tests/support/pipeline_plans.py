"""Made-up pipelines, and what must come of them: a plain recursion over the plan, which shares no code with ours."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from hypothesis import strategies as st

INFRASTRUCTURE_TRIES: Final = 3
DONE: Final = frozenset({"completed", "cached"})
OVER_BADLY: Final = frozenset({"failed", "aborted"})
LOSSES: Final = frozenset({"lost", "unstarted", "broken"})
FATES: Final = ("completed", "failed", "failed", "lost", "unstarted", "broken", "preempted", "aborted", "dequeued")


@dataclass(frozen=True)
class StepPlan:
    """A step, and what is to befall the runs of its task, one after the other, in each generation; then they complete.

    `retries` counts, or is what the user's own function allows where `asks` is set; `answers` is what the callbacks
    before a run say, by name.
    """

    parents: tuple[int, ...] = ()
    fates: tuple[tuple[str, ...], ...] = ()
    agent_retries: int = 0
    retries: int = 0
    asks: bool = False
    answers: dict[str, bool] = field(default_factory=dict)
    callbacks: frozenset[str] = frozenset()
    cached: bool = False
    skips_on_fail: bool = True
    skips_on_abort: bool = True
    goes_on_on_fail: bool = False
    goes_on_on_abort: bool = False

    @property
    def all_callbacks(self) -> set[str]:
        """Names of all the functions the user gives it."""
        return {*self.answers, *self.callbacks, *(["retry"] if self.asks else [])}


@dataclass(frozen=True)
class Plan:
    """Steps by number; `kills` are how many things the controller does before it is killed, again and again.

    They and the fates of runs are given for each generation: until a pipeline ends, and until it ends once more. It is
    stopped when it has looked `stop_after` times, if that is not 0, and its controller waits so long for that.
    """

    steps: tuple[StepPlan, ...]
    kills: tuple[tuple[int, ...], ...] = ()
    chance: int = 0
    stops_on_fail: bool = False
    stop_after: int = 0
    patience: int = 0


@dataclass(frozen=True)
class Expected:
    """What must have come of one step. `generation` is that of its last runs, `asked` the callbacks before them."""

    status: str
    generation: int = 0
    runs: int = 0
    retry_calls: int = 0
    asked: tuple[str, ...] = ()


def forecast(plan: Plan, generation: int) -> list[Expected]:
    """What must come of a plan that nobody stops, step by step, when its pipeline ends for the n-th time (from 0).

    To continue it is to do again what failed, and what depends on that.
    """
    before = forecast(plan, generation - 1) if generation else []
    found: list[Expected] = []
    redone: set[int] = set()
    for number, step in enumerate(plan.steps):
        if before and before[number].status not in OVER_BADLY and not redone.intersection(step.parents):
            found.append(before[number])
        else:
            redone.add(number)
            found.append(_afresh(plan, step, generation, found))
    return found


def fails(plan: Plan, found: Sequence[Expected]) -> bool:
    """Whether the pipeline fails by what came of its steps."""
    return any(
        (one.status == "failed" and not step.goes_on_on_fail) or (one.status == "aborted" and not step.goes_on_on_abort)
        for step, one in zip(plan.steps, found, strict=True)
    )


def _lets_on(step: StepPlan, status: str) -> bool:
    if status == "failed":
        return not step.skips_on_fail
    return not step.skips_on_abort if status == "aborted" else status in DONE


def _afresh(plan: Plan, step: StepPlan, generation: int, found: Sequence[Expected]) -> Expected:
    if not all(_lets_on(plan.steps[parent], found[parent].status) for parent in step.parents):
        return Expected("skipped", generation)
    asked: list[str] = []
    for callback in ("pre", "created"):
        if callback in step.answers:
            asked.append(callback)
            if not step.answers[callback]:
                return Expected("skipped", generation, asked=tuple(asked))
    if step.cached:
        return Expected("cached", generation, asked=tuple(asked))
    return _ran(step, generation, tuple(asked))


def _ran(step: StepPlan, generation: int, asked: tuple[str, ...]) -> Expected:
    """What comes of the runs: agents retry some of them by themselves, the pipeline others."""
    fates = [*step.fates[generation]] if generation < len(step.fates) else []
    runs = retries = calls = 0
    while True:
        status, fates, took = _tried(step, fates)
        runs += took
        if status == "failed":
            calls += step.asks
            if retries < step.retries:
                retries += 1
                continue
        return Expected(status, generation, runs, calls, asked)


def _tried(step: StepPlan, fates: list[str]) -> tuple[str, list[str], int]:
    """One run, and those by which agents follow it: status, fates left, how many."""
    failures = losses = runs = 0
    while True:
        fate, fates = (fates[0], fates[1:]) if fates else ("completed", [])
        runs += 1
        if fate == "preempted":
            continue
        if fate in LOSSES and losses < INFRASTRUCTURE_TRIES:
            losses += 1
            continue
        if fate == "failed" and failures < step.agent_retries:
            failures += 1
            continue
        status = {"aborted": "aborted", "dequeued": "aborted", "completed": "completed"}.get(fate, "failed")
        return status, fates, runs


@functools.cache
def _step(number: int, possible: tuple[str, ...]) -> st.SearchStrategy[StepPlan]:
    earlier = st.lists(st.integers(max(0, number - 6), number - 1), max_size=3, unique=True) if number else st.just([])
    first, second = (st.lists(st.sampled_from(some), max_size=3).map(tuple) for some in (possible, FATES))
    is_rare = st.sampled_from([False, False, False, True])
    return st.builds(
        StepPlan,
        parents=earlier.map(lambda found: tuple(sorted(found))),
        fates=st.tuples(first, second),
        agent_retries=st.sampled_from([0, 0, 1]),
        retries=st.integers(0, 2),
        asks=is_rare,
        answers=st.dictionaries(st.sampled_from(["pre", "created"]), st.sampled_from([True, True, True, False])),
        callbacks=st.frozensets(st.sampled_from(["status", "post", "completed"]), max_size=2),
        cached=is_rare,
        skips_on_fail=st.booleans(),
        skips_on_abort=st.booleans(),
        goes_on_on_fail=st.booleans(),
        goes_on_on_abort=st.booleans(),
    )


@st.composite
def plans(draw: st.DrawFn, *, may_stop: bool = False, most: int = 40) -> Plan:
    """Any pipeline of up to `most` steps, each behind its parents."""
    count = draw(st.integers(1, most))
    stop_after = draw(st.integers(0, 80)) if may_stop else 0
    possible = (*FATES, "endless", "endless") if stop_after else FATES
    steps = tuple(draw(_step(number, possible)) for number in range(count))
    kills = st.lists(st.integers(0, 4) | st.integers(0, 60), max_size=5).map(tuple)
    patience = draw(st.sampled_from([10_000, 3])) if may_stop else 0
    stops_on_fail = may_stop and draw(st.booleans())
    return Plan(steps, draw(st.tuples(kills, kills)), draw(st.integers(0, 2**32)), stops_on_fail, stop_after, patience)
