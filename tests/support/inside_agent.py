"""An agent in a thread of the test's own process, on a site's log: quick to start, and its parts can be looked at."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tasktape.agent.devices import Capacity
from tasktape.agent.onlookers import Onlookers
from tasktape.agent.places import Housing
from tasktape.agent.worker import Worker
from tasktape.events.settings import Settings

from .agent_site import AgentSite

NAME = "inside:1-abc"


@contextmanager
def inside_agent(site: AgentSite, onlookers: Onlookers, *, slots: int = 1) -> Iterator[Worker]:
    """Let one serve `default`; it leaves in the end."""
    settings = Settings(home=site.home, log=site.url, heartbeat_interval=site.interval, claim_lease=4 * site.interval)
    about = {"housing": Housing("current"), "identity": NAME, "observer": onlookers.observer}
    worker = Worker(settings, ["default"], Capacity(slots), **about)  # type: ignore[arg-type]
    with onlookers.watching(worker):
        thread = threading.Thread(target=worker.run)
        thread.start()
        try:
            yield worker
        finally:
            worker.leave("the test is over", now=True)
            thread.join()
