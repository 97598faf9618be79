"""The rules of each role, as they follow from what tasktape reads and writes."""

from __future__ import annotations

import json
import shlex
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from tasktape.cli import exit_codes
from tasktape.cli.main import app
from tasktape.events.acls import ROLES, Acl, Role, acls_of, commands
from tasktape.events.queue_events import queue_topic
from tasktape.events.topics import TOPICS

SEEING = {"READ", "WRITE", "DESCRIBE", "ALL"}


def allowed(acls: list[Acl], resource: str, name: str) -> set[str]:
    """Operations allowed on a resource."""
    fitting = [acl for acl in acls if acl.resource == resource]
    hits = [acl for acl in fitting if (name.startswith(acl.name) if acl.prefixed else name == acl.name)]
    return {operation for acl in hits for operation in acl.operations}


@pytest.mark.parametrize("role", ROLES)
def test_every_role_sees_all_topics_that_are_always_there_and_how_they_are_made(role: Role) -> None:
    for spec in TOPICS:
        may = allowed(acls_of(role), "topic", spec.name)
        assert may & SEEING
        assert may & {"DESCRIBE_CONFIGS", "ALL"}


@pytest.mark.parametrize("role", sorted(set(ROLES) - {"admin"}))
def test_only_an_admin_creates_and_deletes(role: Role) -> None:
    operations = {operation for acl in acls_of(role) for operation in acl.operations}
    assert operations <= {"READ", "WRITE", "DESCRIBE", "DESCRIBE_CONFIGS"}


@pytest.mark.parametrize("role", ["sdk", "viewer", "auditor", "scaler"])
def test_only_agents_join_groups_of_theirs_and_send_heartbeats(role: Role) -> None:
    rules = acls_of(role)
    joined = [acl.name for acl in rules if acl.resource == "group" and "READ" in acl.operations]
    assert joined == ["tasktape.scaler."] * (role == "scaler")
    assert "WRITE" not in allowed(rules, "topic", "tasktape.workers")


@given(st.text(min_size=1), st.text(min_size=1), st.sampled_from(["sdk", "agent"]))
def test_who_is_kept_to_a_queue_touches_no_other(mine: str, other: str, role: Role) -> None:
    rules = acls_of(role, [mine])
    assert {"READ", "WRITE"} <= allowed(rules, "topic", queue_topic(mine))
    if other != mine:
        assert not allowed(rules, "topic", queue_topic(other))
        assert not allowed(rules, "group", f"tasktape.agent.{other}")


@given(st.sampled_from(ROLES), st.lists(st.text(min_size=1), max_size=3))
def test_the_commands_say_what_the_rules_say_whatever_queues_are_called(role: Role, queues: list[str]) -> None:
    rules = acls_of(role, queues)
    said = set()
    for command in commands(rules, "User:o'hara", "b:9092"):
        words = shlex.split(command)
        assert words[words.index("--allow-principal") + 1] == "User:o'hara"
        pairs = list(pairwise(words))
        operations = [value.upper() for option, value in pairs if option == "--operation"]
        names = [(option[2:], value) for option, value in pairs if option in {"--topic", "--group"}]
        prefixed = ("--resource-pattern-type", "prefixed") in pairs
        for kind, name in names or [("cluster", "kafka-cluster")]:
            said |= {(kind, name, prefixed, operation) for operation in operations}
    assert said == {
        (acl.resource, acl.name, acl.prefixed, operation.replace("_", ""))
        for acl in rules
        for operation in acl.operations
    }


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["acls", *arguments])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["boss"], "none of sdk, agent"),
        (["viewer", "--queue", "gpu"], "only sdk and agent"),
        (["viewer", "--apply"], "User:alice"),
        (["viewer", "--command", "--principal", "alice"], "User:alice"),
    ],
)
def test_what_makes_no_sense_is_explained(arguments: list[str], said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    done = run(*arguments)
    assert done.exit_code == exit_codes.USAGE
    assert said in done.stderr


def test_the_embedded_log_has_no_rules_to_give_but_they_can_be_looked_at() -> None:
    done = run("viewer", "--apply", "--principal", "User:alice")
    assert done.exit_code == exit_codes.SETTINGS
    assert "only a Kafka has" in done.stderr
    assert "tasktape.tasks" in run("sdk").stdout
    command = run("viewer", "--principal", "User:alice", "--command").stdout
    assert command.startswith("kafka-acls.sh --bootstrap-server broker:9092 ")


def test_json_has_the_rules_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKTAPE_LOG", "kafka://b:1")
    answer: dict[str, Any] = json.loads(run("sdk", "--queue", "gpu", "--json").stdout)
    rules = [Acl(**rule | {"operations": tuple(rule["operations"])}) for rule in answer.pop("acls")]
    assert rules == acls_of("sdk", ["gpu"])
    assert answer == {"role": "sdk", "queues": ["gpu"], "principal": None, "applied": False}
