"""`python bench/sham_agent.py QUEUE`: an agent that claims, takes and ends runs for real and only pretends to run them.

What remains is what dispatching itself costs. A run lasts as many seconds as its task's variable SECONDS says, or until
it is stopped. Where OBJECTIVE names a value it reports that first: how far its parameter is from 1, squared.
"""

from __future__ import annotations

import sys
import threading
from math import isfinite

from tasktape.agent import worker
from tasktape.agent.claiming import Pursuit
from tasktape.agent.main import run_agent
from tasktape.agent.run_control import FinalEvent, Trouble
from tasktape.agent.runner import Exited, Finished, Prepared, Workshop
from tasktape.events.report_events import SingleValueReported
from tasktape.events.settings import load_settings


class Runner:
    """Takes the place of the agent's own."""

    def __init__(self, shop: Workshop) -> None:
        self._shop = shop
        self._running: dict[str, Pursuit] = {}

    def prepare(self, pursuit: Pursuit) -> None:
        """Nothing needs to be prepared."""
        self._running[pursuit.attempt] = pursuit
        self._shop.post(Prepared(pursuit.attempt, None))

    def launch(self, attempt: str) -> Trouble | None:
        """Nothing starts, but its end comes."""
        pursuit = self._running[attempt]
        variables = pursuit.request.spec.environment
        if "OBJECTIVE" in variables:
            self._report(pursuit, variables["OBJECTIVE"])
        seconds = float(variables.get("SECONDS", "0"))
        if not seconds:
            self._end(attempt)
        elif isfinite(seconds):
            threading.Timer(seconds, self._end, [attempt]).start()
        return None

    def stop(self, attempt: str, *, patient: bool, grace: float) -> None:
        """End what never ran."""
        del patient, grace
        self._end(attempt)

    def finish(self, attempt: str, event: FinalEvent | None) -> None:
        """Say how the run ended."""
        if event is not None:
            self._shop.outbox.emit(event)
        self._shop.post(Finished(attempt))

    def _end(self, attempt: str) -> None:
        if self._running.pop(attempt, None) is not None:
            self._shop.post(Exited(attempt, 0))

    def _report(self, pursuit: Pursuit, name: str) -> None:
        """Report a value as a trial would, and wait for it as an agent does: nothing of a run comes after its end."""
        (x,) = pursuit.request.spec.parameters
        about = {"task": pursuit.entry.task, "run": pursuit.entry.run}
        value = (float(x.value) - 1) ** 2
        self._shop.outbox.emit(SingleValueReported(meta=pursuit.stamp(), **about, name=name, value=value))
        self._shop.outbox.synced()


if __name__ == "__main__":
    setattr(worker, "Runner", Runner)  # noqa: B010  another class, as far as types go
    sys.exit(run_agent(load_settings(), sys.argv[1:]))
