"""A scaler with agents of this machine as its machines, on both logs: it dies twice, and everything runs once."""

from __future__ import annotations

import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from itertools import accumulate
from pathlib import Path

import psutil
import pytest

from tasktape.events.base import Event
from tasktape.events.instance_events import InstanceDraining, InstanceEvent, InstanceRequested, ScalerEvent, ScalerLeads
from tasktape.events.task_events import RunCompleted, RunStarted
from tasktape.events.worker_events import WorkerStarted, WorkerStopped
from tasktape.projections.instance_fold import InstanceFold, ScalerFold
from tasktape.tests.support.agent_site import AgentSite, agent_site, is_alive, processes_of
from tasktape.tests.support.controller_world import ControllerWorld

TASKS, MAXIMUM, QUICK = 40, 4, 10
IDLE_MIN = 0.05
CONFIG = f"""
name = "local"
provider = "local"
max_idle_time_min = {IDLE_MIN}
queues.default = [["machine", {MAXIMUM}]]

[resources.machine]
provider = {{ agent_options = ["--env", "current"] }}
"""
TASK = f"""
note("began")
if len((folder / "notes").read_text().splitlines()) > {QUICK}:
    wait_for("go")
time.sleep(0.1)
"""


@pytest.fixture
def site(log_url: str, home: Path, tmp_path: Path) -> Iterator[AgentSite]:
    with agent_site(log_url, home, tmp_path / "site") as made:
        yield made
    for process in processes_of(home):
        with suppress(psutil.Error):
            process.kill()


class Scaled:
    """Scalers of one name on a site, and what the log says of them."""

    def __init__(self, site: AgentSite) -> None:
        self._site = site
        self._config = site.file("scaler.toml")
        self._config.write_text(CONFIG)

    def start(self) -> subprocess.Popen[bytes]:
        return self._site.start("scaler", "--config", str(self._config))

    def leads(self) -> list[ScalerLeads]:
        return self._site.events(ScalerLeads)

    def folds(self) -> Iterator[ScalerFold]:
        """The fold of machines after each event."""
        fold = InstanceFold()
        for event in self._site.events(Event, InstanceEvent.topic):
            assert isinstance(event, InstanceEvent | ScalerEvent)
            fold.apply(event)
            yield fold.scalers["local"]

    def last(self) -> ScalerFold:
        *_, last = self.folds()
        return last

    def most_at_once(self) -> int:
        """Agents that lived at the same time at most, by what they said themselves."""
        steps = [(event.meta.occurred_at, 1) for event in self._site.events(WorkerStarted)]
        steps += [(event.meta.occurred_at, -1) for event in self._site.events(WorkerStopped)]
        return max(accumulate(change for _, change in sorted(steps)))

    def idle_seconds(self) -> list[float]:
        """How long each machine that had run something had nothing to do when it was told to leave."""
        over = {event.task: event.meta.occurred_at for event in self._site.events(RunCompleted)}
        last: dict[str, datetime] = {}
        for event in self._site.events(RunStarted):
            last[event.worker] = max(last.get(event.worker, over[event.task]), over[event.task])
        drained = {state.worker: state.drained_at for state in self.last().instances.values()}
        return [(at - last[worker]).total_seconds() for worker, at in drained.items() if at and worker in last]


def kill(scaler: subprocess.Popen[bytes]) -> None:
    """End a scaler that lives, as nothing can prepare for."""
    assert scaler.poll() is None
    scaler.kill()
    assert scaler.wait() == -signal.SIGKILL


def test_what_waits_is_run_once_by_machines_that_come_and_go_while_scalers_die(site: AgentSite, tmp_path: Path) -> None:
    world, scaled = ControllerWorld(site, tmp_path / "world"), Scaled(site)
    first = scaled.start()
    site.wait(lambda: len(scaled.leads()) == 1)
    second = scaled.start()
    site.wait(lambda: "waits to lead" in site.said_by(second))
    tasks = [site.put(world.head + TASK) for _ in range(TASKS)]

    site.wait(lambda: site.events(InstanceRequested))
    assert len(scaled.leads()) == 1, "one leads, the other one waits"
    kill(first)
    site.wait(lambda: len(scaled.leads()) == 2)
    site.wait(lambda: len(world.notes) > QUICK)
    assert len(site.events(RunCompleted)) < TASKS, "what they run is not over"
    kill(second)
    third = scaled.start()
    site.wait(lambda: len(scaled.leads()) == 3)
    world.let("go")

    site.wait(lambda: len(site.events(RunCompleted)) == TASKS)
    site.wait(lambda: not scaled.last().live)
    assert Counter(event.task for event in site.events(RunStarted)) == Counter(dict.fromkeys(tasks, 1))
    assert {task: site.ends(task) for task in tasks} == {task: [(1, "RunCompleted")] for task in tasks}
    assert len(world.notes) == TASKS, "no script was started twice"
    assert max(len(fold.live) for fold in scaled.folds()) == MAXIMUM == scaled.most_at_once()
    machines = scaled.last().instances.values()
    assert {state.status for state in machines} == {"terminated"}
    assert all(state.drained_at for state in machines), "all were asked to leave, and none was killed"
    assert {event.reason for event in site.events(InstanceDraining)} == {f"nothing to do for {60 * IDLE_MIN:g} s"}
    assert min(scaled.idle_seconds()) >= 60 * IDLE_MIN
    assert {event.worker for event in site.events(WorkerStopped)} == {state.worker for state in machines}
    assert {event.instance for event in site.events(WorkerStarted)} == {state.instance for state in machines}
    assert not [state.machine for state in machines if is_alive(int(state.machine.partition("@")[0]))]
    assert third.poll() is None
