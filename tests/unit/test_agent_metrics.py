"""An agent's metrics: what a scrape finds as runs come and go, and what it says when the agent or the log hangs."""

from __future__ import annotations

import logging
import re
import socket
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tasktape.agent import onlookers
from tasktape.agent.metrics import About, AddressError, Look, Metrics, serving
from tasktape.agent.onlookers import Address, MissingLibraryError, Onlookers
from tasktape.agent.snapshot import QueueFigures, Snapshot
from tasktape.events.errors import LogUnavailableError
from tasktape.tests.support.agent_site import AgentSite, agent_site
from tasktape.tests.support.inside_agent import NAME, inside_agent

PAGE = Path(__file__).parents[2] / "docs" / "operations" / "monitoring.md"
ANYWHERE = Address("127.0.0.1", 0)
GATED = "import os, pathlib, time\nwhile not pathlib.Path(os.environ['SITE'], 'gate').exists(): time.sleep(0.01)\n"
Samples = dict[tuple[str, ...], float]
Until = Callable[[Callable[[], Any]], Any]


@pytest.fixture
def site(home: Path, tmp_path: Path) -> Iterator[AgentSite]:
    with agent_site(f"sqlite://{home}/log.db", home, tmp_path / "site") as found:
        yield found


@pytest.fixture
def where(caplog: pytest.LogCaptureFixture) -> Callable[[], Address]:
    """Where an agent says that its metrics are."""
    caplog.set_level(logging.INFO, "tasktape")

    def find() -> Address:
        (line,) = [vars(record) for record in caplog.records if vars(record).get("action") == "serve_metrics"]
        return Address(line["host"], line["port"])

    return find


def get(address: Address, path: str) -> str:
    with urllib.request.urlopen(f"http://{address.host}:{address.port}{path}", timeout=20) as answer:
        return str(answer.read().decode())


def status(address: Address, path: str) -> int:
    try:
        get(address, path)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    return 200


def scrape(address: Address) -> Samples:
    """Value of each sample by name and the values of its labels, in the order of their names."""
    families = text_string_to_metric_families(get(address, "/metrics"))
    found = (sample for family in families for sample in family.samples)
    return {(one.name.removeprefix("tasktape_agent_"), *one.labels.values()): one.value for one in found}


def test_a_scrape_finds_what_an_agent_does(site: AgentSite, where: Callable[[], Address], until: Until) -> None:
    with inside_agent(site, Onlookers(NAME, ANYWHERE, {})):
        address = where()
        until(lambda: status(address, "/ready") == 200)
        site.put(GATED)
        until(lambda: scrape(address)["runs_held", "running"] == 1)
        failing = site.put("raise SystemExit(3)")
        busy = until(lambda: (found := scrape(address))["queue_waiting", "default"] == 1 and found)
        site.file("gate").touch()
        site.wait_for_end(failing)
        idle = until(lambda: (found := scrape(address))["slots_free",] == 1 and found)
    assert busy["slots_free",] == 0
    assert busy["queue_oldest_wait_seconds", "default"] > 0
    assert (idle["ready",], idle["leaving",], idle["lease_holds",], idle["slots",]) == (1, 0, 1, 1)
    assert 0 <= idle["heartbeat_age_seconds",] < 2 * site.interval
    assert (idle["claims_total", "default", "won"], idle["claims_total", "default", "lost"]) == (2, 0)
    assert idle["runs_started_total", "default"] == 2
    assert idle["runs_ended_total", "", "completed", "default", ""] == 1
    assert idle["runs_ended_total", "task", "failed", "default", "exit code"] == 1
    assert idle["claim_seconds_count", "default"] == idle["start_seconds_count", "default"] == 2
    assert idle["claim_seconds_sum", "default"] > busy["queue_oldest_wait_seconds", "default"]
    assert idle["log_lag_records",] >= 0
    assert idle["process_resident_memory_bytes",] > 0


def test_the_page_on_monitoring_names_just_the_metrics_there_are(
    site: AgentSite, where: Callable[[], Address], until: Until
) -> None:
    with inside_agent(site, Onlookers(NAME, ANYWHERE, {})):
        until(lambda: status(where(), "/ready") == 200)
        site.wait_for_end(site.put("print(1)"))
        text = until(lambda: "outcome=" in (found := get(where(), "/metrics")) and found)
    exported = set(re.findall(r"^# TYPE (tasktape_agent_\w+)", text, re.MULTILINE))
    documented = set(re.findall(r"^\| `(tasktape_agent_\w+)", PAGE.read_text(), re.MULTILINE))
    assert {name for name in exported if not name.endswith("_created")} == documented


ABOUT = About("w", "h", "1")
QUIET = Snapshot(
    ready=True,
    leaving=False,
    slots=1,
    slots_free=1,
    heartbeat_age=0.1,
    lease_holds=True,
    appends_open=0,
    claiming=Counter({"q": 1}),
    held={},
    queues={"q": QueueFigures(0, 0, 0.0)},
)


def test_a_claim_counts_as_lost_once_another_is_known_to_have_won() -> None:
    looks = [Look(QUIET, Counter(q=5), Counter(q=3))]
    with serving(Metrics(lambda: 0.0), ABOUT, ANYWHERE, looks.pop, lambda: 0) as address:
        found = scrape(address)
    assert (found["claims_total", "q", "won"], found["claims_total", "q", "lost"]) == (3, 1)


def test_an_agent_that_hangs_answers_no_scrape_and_is_not_ready() -> None:
    def look() -> Look:
        raise TimeoutError

    with serving(Metrics(lambda: 0.0), ABOUT, ANYWHERE, look, lambda: 0) as address:
        assert status(address, "/metrics") == status(address, "/ready") == 503
        assert status(address, "/") == 404


def test_a_log_that_is_away_leaves_out_its_lag_alone() -> None:
    def lag() -> int:
        raise LogUnavailableError("kafka://away", "no answer")

    look = Look(QUIET, Counter(), Counter())
    with serving(Metrics(lambda: 0.0), ABOUT, ANYWHERE, lambda: look, lag) as address:
        found = scrape(address)
    assert ("slots",) in found
    assert ("log_lag_records",) not in found


@pytest.mark.parametrize(
    "now", [replace(QUIET, ready=False), replace(QUIET, lease_holds=False), replace(QUIET, leaving=True)]
)
def test_an_agent_is_ready_only_while_it_takes_work(now: Snapshot) -> None:
    look = Look(now, Counter(), Counter())
    with serving(Metrics(lambda: 0.0), ABOUT, ANYWHERE, lambda: look, lambda: 0) as address:
        assert status(address, "/ready") == 503


def test_a_port_that_is_taken_is_said_in_a_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = Address(*taken.getsockname())
        with (
            pytest.raises(AddressError, match=f"127.0.0.1:{address.port}.*--metrics-port"),
            serving(Metrics(lambda: 0.0), ABOUT, address, lambda: Look(QUIET, Counter(), Counter()), lambda: 0),
        ):
            pass


def test_metrics_without_their_library_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onlookers, "find_spec", lambda _: None)
    with pytest.raises(MissingLibraryError, match=r"prometheus-client.*tasktape\[metrics\]"):
        Onlookers(NAME, ANYWHERE, {})
