"""What runs on a machine: settings and secrets laid down for the agent alone, and notices passed on to it."""

from __future__ import annotations

import json
import os
import pwd
import stat
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasktape.events.private_file import toml_lines
from tasktape.events.settings import load_settings
from tasktape.scaler import instance
from tasktape.scaler.imds import Imds, Notice
from tasktape.scaler.instance import SecretError, main, watch, write_settings
from tasktape.scaler.references import Reference
from tasktape.tests.support.imds import FakeImds, fake_imds

AGENT = """
import signal, sys
def told(number, _):
    print(signal.Signals(number).name, flush=True)
    if number == signal.SIGTERM:
        sys.exit(130)
signal.signal(signal.SIGINT, told)
signal.signal(signal.SIGTERM, told)
print("up", flush=True)
while True:
    signal.pause()
"""


@pytest.fixture
def service() -> Iterator[tuple[FakeImds, Imds]]:
    with fake_imds() as (fake, address):
        yield fake, Imds(address)


@pytest.fixture
def agent() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", AGENT], stdout=subprocess.PIPE) as started:
        assert said(started) == "up"
        yield started
        started.kill()


def said(agent: subprocess.Popen[bytes]) -> str:
    assert agent.stdout is not None
    return agent.stdout.readline().decode().strip()


def test_a_machine_that_is_taken_away_has_its_agent_hand_back_what_it_runs(agent: subprocess.Popen[bytes]) -> None:
    watch(agent, lambda: "interruption", 0.01)
    assert said(agent) == "SIGTERM"
    assert agent.returncode == 130


def test_one_that_may_be_taken_away_has_its_agent_finish_and_is_told_of_each_notice_once(
    agent: subprocess.Popen[bytes],
) -> None:
    heard: list[str] = []

    def notices() -> Iterator[Notice | None]:
        yield None
        yield "rebalance"
        heard.append(said(agent))
        yield "rebalance"
        yield "interruption"
        yield from iter(lambda: None, "")

    coming = notices()
    watch(agent, lambda: next(coming), 0.01)
    assert [*heard, said(agent), said(agent)] == ["SIGINT", "SIGTERM", ""]


def test_an_agent_that_leaves_of_its_own_is_waited_for(agent: subprocess.Popen[bytes]) -> None:
    agent.terminate()
    watch(agent, lambda: None)
    assert agent.returncode == 130


def test_notices_are_those_that_the_metadata_service_gives(service: tuple[FakeImds, Imds]) -> None:
    fake, imds = service
    assert imds.notice() is None
    fake.recommend_rebalance()
    assert imds.notice() == "rebalance"
    fake.give_notice()
    assert imds.notice() == "interruption"


def test_a_token_that_has_expired_is_replaced(service: tuple[FakeImds, Imds]) -> None:
    fake, imds = service
    fake.answers["instance-id"] = "i-1"
    assert imds.get("instance-id") == "i-1"
    fake.token = "another"
    assert imds.get("instance-id") == "i-1"


def test_a_metadata_service_that_is_away_gives_no_notice() -> None:
    assert Imds("http://127.0.0.1:9").notice() is None


def test_settings_are_the_agents_alone_and_read_as_they_were_given(home: Path) -> None:
    key = "-----BEGIN KEY-----\nabc\n-----END KEY-----"
    git = {"github.com": {"token": "t"}, "git.example.org": {"ssh_key": key, "user": "me"}, "x": {"ssh_key": "/keys/x"}}
    given = {"log": "kafka://b:1", "kafka": {"sasl.password": 'a"\\\n'}, "git": git, "claim_lease": 7.5}
    write_settings(given, home)
    read = load_settings()
    assert (read.log, read.kafka, read.claim_lease) == ("kafka://b:1", {"sasl.password": 'a"\\\n'}, 7.5)
    assert read.git["github.com"].token.get_secret_value() == "t"
    assert read.git["x"].ssh_key == Path("/keys/x")
    written = read.git["git.example.org"].ssh_key
    assert written is not None
    assert written.read_text() == key + "\n"
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (home, home / "tasktape.toml", written)]
    assert modes == [0o700, 0o600, 0o600]


def test_a_machine_that_can_not_read_a_secret_says_which_and_has_no_agent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def read(wanted: Reference) -> str:
        raise SecretError(wanted, "AccessDeniedException")

    monkeypatch.setattr(instance, "read_secret", read)
    monkeypatch.setattr(instance, "start_agent", lambda *_: pytest.fail("an agent was started"))
    monkeypatch.setattr(instance, "_surroundings", lambda _region: {})
    file = tmp_path / "machine.json"
    me = pwd.getpwuid(os.getuid()).pw_name
    file.write_text(json.dumps({"user": me, "region": "", "environment": {}, "settings": {"log": "ssm:/ml/log"}}))
    assert main(file) == 1
    assert "tasktape: ssm:/ml/log can't be read: AccessDeniedException. Is there" in capsys.readouterr().err


LEAVES = st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | st.integers(-9, 9) | st.floats(0.5, 9.0)
TABLES = st.recursive(LEAVES, lambda inner: st.dictionaries(st.text(max_size=5), inner, max_size=3), max_leaves=8)


@settings(max_examples=15)
@given(st.dictionaries(st.text(max_size=5), TABLES, max_size=4))
def test_tables_read_as_they_were_written(table: dict[str, Any]) -> None:
    assert tomllib.loads("\n".join(toml_lines(table))) == table
