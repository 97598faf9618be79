"""A search's controller without a log: it hears at once what it says, and its trials end one after the other."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from tasktape.events.base import Stamper
from tasktape.events.parts import TaskSpec
from tasktape.events.search_events import Objective, SearchLimits
from tasktape.events.task_events import RunCompleted, RunFailed, RunStarted, TaskCreated, TasksEvent
from tasktape.producers.controllers.children import Children
from tasktape.producers.search.board import Board
from tasktape.producers.search.proposals import Proposals
from tasktape.producers.search.searcher import Plan, Searcher

from .reported import scalars

LOSS = Objective(title="loss", series="test", sign="min")


class Numbers:
    """A strategy that proposes one number after the other, and gives up whoever reports more than 100."""

    def __init__(self) -> None:
        self.proposed = 0

    def propose(self) -> Mapping[str, Any]:
        self.proposed += 1
        return {"General/x": self.proposed}

    def report(self, trial: int, value: float, iteration: int) -> bool:  # noqa: ARG002  a strategy's signature
        return value > 100

    def finish(self, trial: int, status: str, values: Sequence[float] | None) -> None: ...

    def resume(self, trials: Sequence[Any]) -> None: ...


class SearchWorld:
    """Runs a search of so many trials, four at once, each of which reports `values` and then ends, `failed` or not."""

    def __init__(
        self, trials: int, strategy: Proposals | None = None, values: Sequence[float] = (1.0,), *, fails: bool = False
    ) -> None:
        self._stamp = Stamper("a")
        limits = SearchLimits(concurrent=4, trials=trials)
        plan = Plan("b", TaskSpec(project="p", name="n"), [LOSS], limits, "Numbers")
        surroundings: Any = SimpleNamespace(stamp=self._stamp, actor="a")
        runner: Any = SimpleNamespace(retries_of=lambda _: 0, start=self._start, stop=self._stop, ended=list)
        anything: Any = None
        self._values = values
        self._fails = fails
        self._running: deque[str] = deque()
        self.searcher = Searcher(
            surroundings, "c", 1, plan, strategy or Numbers(), Children(), Board([LOSS]), runner, anything
        )

    def run(self) -> None:
        """Run it to its end."""
        self._hear(self.searcher.begin([]))
        while True:
            while decisions := self.searcher.decide():
                events = self.searcher.carry_out(decisions)
                self._hear(events)
                self.searcher.act(events)
            self.searcher.tick()
            if self.searcher.is_over():
                return
            self._end(self._running[0])

    def _hear(self, events: Sequence[TasksEvent]) -> None:
        for event in events:
            assert self.searcher.apply(event).accepted

    def _start(self, trials: Sequence[Any]) -> None:
        for trial in trials:
            self._say(TaskCreated, trial.child, spec=trial.spec)
            self._say(RunStarted, trial.child, run=1, worker="w")
            if self._values:
                self.searcher.heard(scalars(trial.child, *self._values))
            self._running.append(trial.child)

    def _stop(self, child: str, run: int, *, has_started: bool) -> None:
        del run, has_started
        self._end(child)

    def _end(self, child: str) -> None:
        self._running.remove(child)
        if self._fails:
            self._say(RunFailed, child, run=1, reason="r", message="m")
        else:
            self._say(RunCompleted, child, run=1)

    def _say(self, kind: type[TasksEvent], task: str, **fields: Any) -> None:
        self.searcher.children.apply(kind.model_validate({"meta": self._stamp(), "task": task, **fields}))
