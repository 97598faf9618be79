"""`python bench/sham_agent.py QUEUE`: an agent that claims, takes and ends runs for real and only pretends to run them.

What remains is what dispatching itself costs. A run lasts as many seconds as its task's variable SECONDS says.
"""

from __future__ import annotations

import sys
import threading
from functools import partial

from tasktape.agent import worker
from tasktape.agent.claiming import Pursuit
from tasktape.agent.main import run_agent
from tasktape.agent.run_control import FinalEvent, Trouble
from tasktape.agent.runner import Exited, Finished, Prepared, Workshop
from tasktape.events.settings import load_settings


class Runner:
    """Takes the place of the agent's own."""

    def __init__(self, shop: Workshop) -> None:
        self._shop = shop
        self._seconds: dict[str, float] = {}

    def prepare(self, pursuit: Pursuit) -> None:
        """Nothing needs to be prepared."""
        self._seconds[pursuit.attempt] = float(pursuit.request.spec.environment.get("SECONDS", "0"))
        self._shop.post(Prepared(pursuit.attempt, None))

    def launch(self, attempt: str) -> Trouble | None:
        """Nothing starts, but its end comes."""
        tell = partial(self._shop.post, Exited(attempt, 0))
        if seconds := self._seconds.pop(attempt):
            threading.Timer(seconds, tell).start()
        else:
            tell()
        return None

    def stop(self, attempt: str, *, patient: bool, grace: float) -> None:
        """Nothing runs."""

    def finish(self, attempt: str, event: FinalEvent | None) -> None:
        """Say how the run ended."""
        if event is not None:
            self._shop.outbox.emit(event)
        self._shop.post(Finished(attempt))


if __name__ == "__main__":
    setattr(worker, "Runner", Runner)  # noqa: B010  another class, as far as types go
    sys.exit(run_agent(load_settings(), sys.argv[1:]))
