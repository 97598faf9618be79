"""Two short storms over agents, and one over a cluster's brokers too: nothing runs twice, nothing is left undone.

`make chaos` has long ones.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tasktape.events.log import open_log
from tasktape.tests.faults.chaos import AGENT_FAULTS, BROKER_FAULTS, Outcome, Plan, say, storm
from tasktape.tests.support.lost_acks import ProxiedCluster
from tasktape.tests.support.storm import Machine, StormSite

SHORT = Plan(seed=1, tasks=30, agents=3, seconds=12.0, deadline=240.0)


def check(outcome: Outcome, *faults: str) -> None:
    say(f"seed {SHORT.seed}\n{outcome}")
    assert outcome.complaints == []
    assert all(outcome.happened[fault] for fault in faults), "each kind of fault really happened"
    assert sum(outcome.ends.values()) == SHORT.tasks
    assert outcome.ends["completed"]
    assert outcome.ends["dequeued"]


def test_agents_that_are_killed_frozen_and_misled_run_everything_once(tmp_path: Path) -> None:
    check(storm(SHORT, tmp_path / "storm"), *AGENT_FAULTS)


def test_a_storm_tells_of_an_agent_that_left_without_being_killed(tmp_path: Path) -> None:
    url = f"sqlite://{tmp_path}/log.db"
    with open_log(url) as log:
        site = StormSite(url, tmp_path / "home", tmp_path / "site", log)
        try:
            machine = Machine(site, tmp_path / "home0", tmp_path / "clock")
            site.wait(lambda: "serves" in site.said())
            machine.start_again()
            assert machine.left == []
            machine.agent.terminate()
            left = machine.agent
            left.wait()
            machine.start_again()
        finally:
            site.close()
    (said,) = machine.left
    assert all(text in said for text in (f"{left.pid} left by itself, exit code 0", "told to leave: SIGTERM"))
    assert machine.agent is not left


@pytest.mark.kafka
@pytest.mark.usefixtures("kafka_jars")
def test_so_they_do_while_a_clusters_brokers_fail(tmp_path: Path) -> None:
    with ProxiedCluster(tmp_path / "cluster") as cluster:
        check(storm(SHORT, tmp_path / "storm", cluster), *AGENT_FAULTS, *BROKER_FAULTS)
