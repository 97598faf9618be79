"""Roles on a Kafka with TLS, passwords and a real authorizer: each does its work, and nothing beyond it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)
from typer.testing import CliRunner, Result

from tasktape.agent.main import run_agent
from tasktape.cli import exit_codes
from tasktape.cli.main import app
from tasktape.events.acls import Role, acls_of
from tasktape.events.base import Event, Stamper, new_task_id
from tasktape.events.codec import Codec
from tasktape.events.errors import (
    LogSettingsError,
    NotAllowedError,
    RecordNotAllowedError,
    TasktapeError,
    UnknownTopicError,
)
from tasktape.events.groups import agents_group, scaler_group
from tasktape.events.instance_events import InstanceEvent, InstanceLaunched, ScalerEvent
from tasktape.events.limit_events import LimitSet, PermitReleased
from tasktape.events.log import Log, TopicPartition
from tasktape.events.log.kafka_acls import grant
from tasktape.events.parts import TaskSpec
from tasktape.events.queue_events import EntryClaimed, EntryEnqueued, QueueCreated, entry_id, queue_topic
from tasktape.events.settings import Properties, Settings
from tasktape.events.task_events import RunCompleted, TaskArchived, TaskCreated
from tasktape.events.topics import TOPICS, queue_spec
from tasktape.events.wire import append_event
from tasktape.events.worker_events import WorkerEvent
from tasktape.producers.session import change_session
from tasktape.projections import open_queries
from tasktape.scaler.provider import Launched
from tasktape.scaler.service import Service
from tasktape.scaler.settings import ScalerSettings
from tasktape.tests.kafka.secured import SecuredBroker

pytestmark = pytest.mark.kafka
Until = Callable[[Callable[[], Any]], Any]

MINE, OTHERS, INSTANCES = queue_topic("gpu"), queue_topic("cpu"), InstanceEvent.topic
BASE = {spec.name for spec in TOPICS}
ALL = BASE | {MINE, OTHERS}
RESULTS = {f"tasktape.{name}" for name in ("tasks", "metrics", "reports", "console", "control")}
READS = {
    "alice": BASE | {MINE},
    "gpu-agent": BASE | {MINE},
    "agent": BASE | {MINE, OTHERS},
    "scaler": {"tasktape.tasks", "tasktape.queues", "tasktape.workers", "tasktape.control", INSTANCES, MINE, OTHERS},
    "dashboard": ALL,
    "auditor": ALL,
    "other-admin": ALL,
    "stranger": set(),
}
WRITES = {
    "alice": RESULTS | {MINE},
    "gpu-agent": RESULTS | {"tasktape.workers", "tasktape.queues", MINE},
    "agent": RESULTS | {"tasktape.workers", "tasktape.queues", MINE, OTHERS},
    "scaler": {INSTANCES, "tasktape.control"},
    "dashboard": set(),
    "auditor": set(),
    "other-admin": ALL,
    "stranger": set(),
}
OF_AGENTS = {agents_group("gpu"): MINE, agents_group("cpu"): OTHERS}
LEADS = scaler_group("any")
GROUPS = OF_AGENTS | {LEADS: INSTANCES}
SERVES = {
    "gpu-agent": {agents_group("gpu")},
    "agent": set(OF_AGENTS),
    "scaler": {LEADS},
    "other-admin": set(GROUPS),
}
DRAFT, SPEC = new_task_id(), TaskSpec(project="access", name="draft")
CLI = "import sys; from tasktape.cli.main import main; sys.argv[0] = 'tasktape'; sys.exit(main())"

SCRIPT = """
import os, pathlib
from tasktape import Task
task = Task.init("access", "script")
task.get_logger().report_scalar("loss", "train", 0.5, 1)
task.upload_artifact("numbers", {"a": 1})
print("héllo", os.environ.get("TASKTAPE_WORKER_ID", "at home"))
for process in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
    try:
        assert os.environ["NOT_IN_ARGUMENTS"].encode() not in process.read_bytes(), process
    except OSError:
        pass
task.close()
"""
ENQUEUE = """
copy = Task.clone(task)
try:
    Task.enqueue(copy, queue_name="cpu")
except Exception as error:
    print(type(error).__name__, error)
Task.enqueue(copy, queue_name="gpu")
print("enqueued", copy.id)
"""


@pytest.fixture(scope="module")
def secured(kafka_jars: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredBroker]:
    assert kafka_jars.is_dir()
    folder = tmp_path_factory.mktemp("secured")
    broker = SecuredBroker(folder)
    try:
        broker.start()
        broker.run("roles", TASKTAPE_HOME=str(folder / "admin"))
        settings = broker.settings("admin", folder / "admin")
        grants: dict[str, Role] = {"auditor": "auditor", "scaler": "scaler", "other-admin": "admin"}
        for user, role in grants.items():
            grant(settings, acls_of(role), f"User:{user}")
        with settings.open_log() as log:
            log.create_topics([queue_spec("cpu")])
            say(log, QueueCreated(meta=Stamper()(), queue="cpu"), TaskCreated(meta=Stamper()(), task=DRAFT, spec=SPEC))
            say(log, LimitSet(meta=Stamper()(), scope="queue:gpu", running=1))
            assert set(write(log, ALL).values()) == {None}
        yield broker
    finally:
        broker.stop()


def write(log: Log, topics: Iterable[str]) -> dict[str, TasktapeError | None]:
    """Write a record nobody can read to each of these topics; return what became of it."""
    outcomes: dict[str, TasktapeError | None] = {}
    for topic in topics:
        log.append(topic, "nobody", b"", on_delivery=lambda it: outcomes.update({it.topic: it.error}))
    assert log.flush(30) == 0
    return outcomes


def say(log: Log, *said: Event) -> None:
    errors: list[TasktapeError | None] = []
    for event in said:
        append_event(log, event, codec=Codec(), on_delivery=lambda delivery: errors.append(delivery.error))
    assert log.flush(30) == 0
    assert errors == [None] * len(said)


def may_read(log: Log, topic: str) -> bool:
    """Whether the record can be had that was written to each topic."""
    try:
        with log.read(log.start_positions([topic])) as reader:
            return bool(reader.poll(10.0))
    except (NotAllowedError, UnknownTopicError):
        return False


def may_join(log: Log, group: str, topic: str, until: Until) -> bool:
    try:
        with log.join(group, [topic]) as member:
            until(member.owned)
            member.commit({TopicPartition(topic, 0): 0})
    except (NotAllowedError, UnknownTopicError):
        return False
    return True


@pytest.mark.parametrize("user", READS)
def test_each_role_reads_writes_and_serves_what_it_is_for_and_nothing_else(
    user: str, secured: SecuredBroker, tmp_path: Path, until: Until
) -> None:
    with secured.settings(user, tmp_path).open_log() as log:
        assert {topic for topic in ALL if may_read(log, topic)} == READS[user]
        refused = {topic: error for topic, error in write(log, ALL).items() if error is not None}
        assert ALL - refused.keys() == WRITES[user]
        assert all(isinstance(error, RecordNotAllowedError) for error in refused.values())
        joined = {group for group, topic in GROUPS.items() if may_join(log, group, topic, until)}
        assert joined == SERVES.get(user, set())


@pytest.mark.parametrize("user", sorted(READS.keys() - {"other-admin", "stranger"}))
def test_topics_that_exist_need_no_right_to_create_them_and_others_do(
    user: str, secured: SecuredBroker, tmp_path: Path
) -> None:
    with secured.settings(user, tmp_path).open_log() as log:
        log.create_topics(TOPICS)
        assert log.topics().keys() >= BASE
        with pytest.raises(NotAllowedError, match=rf"^User:{user} may not see or CREATE topic 'tasktape.queue.new' on"):
            log.create_topics([queue_spec("new")])


class Person:
    """Somebody with a settings file and a home of their own, who runs programs."""

    def __init__(self, broker: SecuredBroker, user: str, folder: Path) -> None:
        self.home = folder / user
        self.password = broker.password(user)
        file = broker.settings_file(user, self.home / "tasktape.toml")
        self.environment = os.environ | {
            "TASKTAPE_HOME": str(self.home),
            "TASKTAPE_CONFIG": str(file),
            "TASKTAPE_BLOBS": str(folder / "blobs"),
            "TASKTAPE_HEARTBEAT_INTERVAL": "0.5",
            "NOT_IN_ARGUMENTS": self.password,
        }

    def run(self, *arguments: str) -> Result:
        """Run `tasktape` in this process."""
        try:
            return CliRunner().invoke(app, list(arguments), env=self.environment)
        finally:
            change_session(None)

    def script(self, name: str) -> subprocess.CompletedProcess[str]:
        """Run a script of one's own."""
        command = [sys.executable, name]
        return subprocess.run(
            command, env=self.environment, cwd=self.home, capture_output=True, text=True, check=False, timeout=120
        )

    @contextlib.contextmanager
    def agent(self, queue: str) -> Iterator[Path]:
        """Run an agent; gives the file with what it says."""
        said = self.home / "agent.log"
        command = [sys.executable, "-c", CLI, "agent", "--queue", queue, "--env", "current"]
        with said.open("wb") as output:
            process = subprocess.Popen(command, env=self.environment, cwd=self.home, stdout=output, stderr=output)
        try:
            yield said
        finally:
            process.terminate()
            assert process.wait(60) == 0, said.read_text()


@pytest.fixture
def person(secured: SecuredBroker, tmp_path: Path) -> Callable[[str], Person]:
    return lambda user: Person(secured, user, tmp_path)


def records(broker: SecuredBroker, home: Path) -> list[Any]:
    """All that is on the log."""
    with broker.settings("admin", home).open_log() as log:
        ends = log.end_positions(ALL)
        with log.read(dict.fromkeys(ends, 0)) as reader:
            found: list[Any] = []
            while any(position < ends[source] for source, position in reader.positions().items()):
                found += reader.poll(1.0)
    return found


def events(broker: SecuredBroker, home: Path, *kinds: type[Event]) -> list[Any]:
    codec = Codec()
    decoded = [codec.decode(record.value) for record in records(broker, home) if record.value]
    return [event for event in decoded if isinstance(event, kinds)]


def test_a_script_an_agent_and_a_dashboard_work_with_a_settings_file_and_no_password_gets_out(
    secured: SecuredBroker, person: Callable[[str], Person], tmp_path: Path, until: Until
) -> None:
    alice, agent, viewer = person("alice"), person("gpu-agent"), person("dashboard")
    (alice.home / "script.py").write_text(SCRIPT + ENQUEUE)
    ran = alice.script("script.py")
    assert ran.returncode == 0, ran.stderr
    said = ran.stdout.splitlines()
    copy = next(line.split()[1] for line in said if line.startswith("enqueued"))
    assert f"NotAllowedError User:alice may not see or CREATE topic '{OTHERS}'" in ran.stdout
    with agent.agent("gpu") as log_file:
        until(lambda: [e for e in events(secured, tmp_path, RunCompleted) if e.task == copy])
    said_by_agent = log_file.read_text()
    assert "this agent looks after its own queues alone" in said_by_agent
    assert f"User:gpu-agent may not see or CREATE topic '{OTHERS}'" in said_by_agent
    permits = {event.task for event in events(secured, tmp_path, PermitReleased)}
    assert copy in permits, "it keeps to limits"

    with open_queries(secured.settings("dashboard", viewer.home)) as queries:
        done = queries.task(copy)
    assert done is not None
    assert done.status == "completed"
    shown = viewer.run("tasks", "logs", copy)
    assert "héllo" in shown.stdout

    secrets = {each.password.encode() for each in (alice, agent, viewer)}
    said_by_processes = [ran.stdout, ran.stderr, shown.stdout, shown.stderr]
    files = [file for file in tmp_path.rglob("*") if file.is_file() and file.name != "tasktape.toml"]
    contents = [file.read_bytes() for file in files] + [text.encode() for text in said_by_processes]
    contents += [b"%r" % (record,) for record in records(secured, tmp_path)]
    assert log_file in files
    assert not [content for content in contents for secret in secrets if secret in content]


def test_who_looks_can_change_nothing_and_is_told_so(
    secured: SecuredBroker, person: Callable[[str], Person], tmp_path: Path
) -> None:
    viewer = person("dashboard")
    assert DRAFT in viewer.run("tasks", "list", "--json").stdout
    for command in (["tasks", "archive", DRAFT], ["queues", "create", "mine"]):
        done = viewer.run(*command)
        assert done.exit_code == exit_codes.NOT_ALLOWED, done.stderr
        assert "User:dashboard may not" in done.stderr
        assert "Traceback" not in done.stderr
    assert events(secured, tmp_path, TaskArchived) == []


def test_who_may_enqueue_can_not_serve_a_queue_and_nothing_of_the_attempt_is_on_the_log(
    secured: SecuredBroker, person: Callable[[str], Person], tmp_path: Path
) -> None:
    workers = events(secured, tmp_path, WorkerEvent, EntryClaimed)
    for user, denied in (("alice", "READ group 'tasktape.agent.gpu'"), ("auditor", "")):
        done = person(user).run("agent", "--queue", "gpu", "--env", "current")
        assert done.exit_code == exit_codes.NOT_ALLOWED, done.stderr
        assert f"tasktape: User:{user} may not {denied}" in done.stderr
        assert "Traceback" not in done.stderr
    assert events(secured, tmp_path, WorkerEvent, EntryClaimed) == workers


def test_a_scaler_leads_and_has_machines_launched_for_what_waits(
    secured: SecuredBroker, tmp_path: Path, until: Until
) -> None:
    config = {"name": "guarded", "provider": "local", "queues": {"cpu": [["box", 1]]}, "resources": {"box": {}}}
    task = new_task_id()
    with secured.settings("admin", tmp_path).open_log() as log:
        about = {"task": task, "queue": "cpu", "run": 1, "entry": entry_id("cpu", task, 1)}
        say(log, EntryEnqueued(meta=Stamper()(), spec=SPEC, **about))
    provider = Mock(**{"describe.return_value": []})
    provider.launch.side_effect = lambda orders: [Launched(order.instance, "m") for order in orders]
    service = Service(secured.settings("scaler", tmp_path), ScalerSettings.model_validate(config), provider)
    running = threading.Thread(target=service.run)
    running.start()
    try:
        until(lambda: events(secured, tmp_path, InstanceLaunched))
    finally:
        service.leave()
        running.join()
    (launched,) = events(secured, tmp_path, InstanceLaunched)
    assert (launched.scaler, launched.machine) == ("guarded", "m")


def test_who_may_enqueue_does_not_scale(
    secured: SecuredBroker, person: Callable[[str], Person], tmp_path: Path
) -> None:
    config = tmp_path / "scaler.toml"
    config.write_text('name = "theirs"\nprovider = "local"\nqueues.gpu = [["box", 1]]\n[resources.box]\n')
    done = person("alice").run("scaler", "--config", str(config))
    assert done.exit_code == exit_codes.NOT_ALLOWED, done.stderr
    assert "User:alice may not READ group 'tasktape.scaler.theirs'" in done.stderr
    assert [event for event in events(secured, tmp_path, InstanceEvent, ScalerEvent) if event.scaler == "theirs"] == []


def test_an_auditor_sees_what_happened_and_who_may_do_what(
    secured: SecuredBroker, person: Callable[[str], Person]
) -> None:
    audited = person("auditor").run("audit", DRAFT, "--json")
    assert "TaskCreated" in audited.stdout, audited.stderr
    assert rules_of("User:alice", secured, "auditor")
    assert not rules_of("User:alice", secured, "dashboard")


def test_the_printed_commands_give_what_apply_gives(secured: SecuredBroker, person: Callable[[str], Person]) -> None:
    asked = ["acls", "agent", "--queue", "gpu", "--principal", "User:twin", "--command"]
    secured.sh(person("admin").run(*asked).stdout)
    assert rules_of("User:twin", secured, "admin") == rules_of("User:gpu-agent", secured, "admin") != set()


def test_only_an_admin_gives_roles(person: Callable[[str], Person]) -> None:
    asked = ["acls", "viewer", "--apply", "--principal", "User:friend"]
    done = person("alice").run(*asked)
    assert done.exit_code == exit_codes.NOT_ALLOWED
    assert "User:alice may not ALTER the access rules" in done.stderr
    assert person("other-admin").run(*asked).exit_code == exit_codes.OK


def rules_of(principal: str, broker: SecuredBroker, asked_by: str) -> set[tuple[object, ...]]:
    client = AdminClient({"bootstrap.servers": broker.address, **broker.properties(asked_by)})
    anything: Any = None
    pattern, allowed = ResourcePatternType.ANY, AclPermissionType.ANY
    wanted = AclBindingFilter(ResourceType.ANY, anything, pattern, principal, anything, AclOperation.ANY, allowed)
    found = client.describe_acls(wanted).result()
    return {(rule.restype, rule.name, rule.resource_pattern_type, rule.host, rule.operation) for rule in found}


@pytest.mark.parametrize(
    ("change", "said"),
    [({"sasl.password": "wrong"}, "Authentication failed"), ({"ssl.ca.location": ""}, "certificate")],
)
def test_an_agent_that_the_broker_refuses_says_why_and_does_not_wait(
    change: dict[str, str], said: str, secured: SecuredBroker, tmp_path: Path
) -> None:
    properties = Properties(secured.properties("agent") | change)
    with pytest.raises(LogSettingsError, match=said):
        run_agent(Settings(home=tmp_path, log=f"kafka://{secured.address}", kafka=properties), ["gpu"])
