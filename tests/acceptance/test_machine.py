"""A machine that really boots from what a scaler launches it with: it works, is taken away, and ends itself."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tasktape.events.parts import Script
from tasktape.events.task_events import ArtifactUploaded
from tasktape.events.worker_events import WorkerStarted, WorkerStopped
from tasktape.tests.conftest import missing
from tasktape.tests.kafka.broker import KafkaMissingError
from tasktape.tests.support.agent_site import AgentSite, agent_site
from tasktape.tests.support.cloud import GIT, KAFKA, Cloud, cloud
from tasktape.tests.support.debian import DebianMissingError
from tasktape.tests.support.machine import Machine, machine
from tasktape.tests.support.namespaces import NamespacesMissingError

pytestmark = [pytest.mark.machine, pytest.mark.kafka, pytest.mark.timeout(900)]

UPLOADS = """
from tasktape import Task
task = Task.init(project_name="p", task_name="n")
task.upload_artifact("answer", "it is 42", wait_on_upload=True)
"""
ANSWER = b"it is 42"
WAITS = """
import pathlib, time
from tasktape import Task
Task.init(project_name="p", task_name="n")
image = pathlib.Path("/var/tmp/image")
while not image.exists():
    pathlib.Path("/var/tmp/waits").touch()
    time.sleep(1)
"""
BOOT, LOOK = 300.0, 0.25


@pytest.fixture(scope="module")
def around(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    folder = tmp_path_factory.mktemp("cloud")
    try:
        with (
            cloud(folder, {"uploads.py": UPLOADS, "waits.py": WAITS}) as made,
            pytest.MonkeyPatch.context() as patch,
        ):
            for name, value in {"ENDPOINT_URL": made.ec2.url, "ACCESS_KEY_ID": "t", "SECRET_ACCESS_KEY": "t"}.items():
                patch.setenv(f"AWS_{name}", value)
            yield made
    except (DebianMissingError, KafkaMissingError, NamespacesMissingError) as error:
        missing("MACHINE", error)


@pytest.fixture
def site(around: Cloud, home: Path, tmp_path: Path) -> Iterator[AgentSite]:
    with agent_site(around.kafka, home, tmp_path / "site") as made:
        yield made


def put(site: AgentSite, around: Cloud, program: str) -> str:
    return site.put("", script=Script(repository=around.repository, branch="main", entry_point=program))


def wait(one: Machine, condition: Callable[[], object]) -> None:
    """Look seldom: a machine that boots has better to do with the processor."""
    deadline = time.monotonic() + BOOT
    while not condition():
        assert time.monotonic() < deadline, one.console
        assert not one.is_off(), one.console
        time.sleep(LOOK)


def facts_of(folder: Path, *names: str) -> list[tuple[int, bool]]:
    """Each file's mode, and whether it is root's."""
    found = [(folder / name).stat() for name in names]
    return [(stat.S_IMODE(each.st_mode), each.st_uid == 0) for each in found]


def leaks(layer: Path) -> set[tuple[str, int, bool]]:
    """Files with secrets in them: their name, mode, and whether they are root's."""
    files = [Path(root, name) for root, _, names in os.walk(layer) for name in names]
    found = [file for file in files if stat.S_ISREG(file.lstat().st_mode) and holds_secret(file.read_bytes())]
    return {(file.name, *facts_of(layer, str(file))[0]) for file in found}


def holds_secret(text: bytes) -> bool:
    return GIT.encode() in text or KAFKA.encode() in text


def test_machines_become_agents_that_work_until_they_are_taken_away_or_have_nothing_to_do(
    around: Cloud, site: AgentSite, tmp_path: Path
) -> None:
    user_data = around.user_data()
    assert not holds_secret(user_data)
    uploads, waits = put(site, around, "uploads.py"), put(site, around, "waits.py")
    with machine(tmp_path / "first", [around.debian.root], around.network) as first:
        first.start(user_data)
        wait(first, lambda: site.ends(uploads))
        assert site.ends(uploads) == [(1, "RunCompleted")], site.console(uploads)
        (uploaded,) = site.of(uploads, ArtifactUploaded)
        bucket, _, key = uploaded.artifact.uri.removeprefix("s3://").partition("/")
        assert around.s3.get_object(Bucket=bucket, Key=key)["Body"].read() == ANSWER

        wait(first, (first.layer / "var/tmp/waits").exists)
        files = ["home/tasktape/.tasktape", "home/tasktape/.tasktape/tasktape.toml", "etc/tasktape/machine.json"]
        assert facts_of(first.layer, *files) == [(0o700, False), (0o600, False), (0o644, True)]
        assert leaks(first.layer) == {("tasktape.toml", 0o600, False)}, "the agent's, and that of what it runs"

        around.imds.give_notice()
        wait(first, first.is_off)
        assert site.ends(waits) == [(1, "RunPreempted")], first.console
        assert "EC2 gives notice of a coming interruption" in first.console

        around.imds.take_notice_back()
        (first.layer / "var/tmp/image").touch()
        with machine(tmp_path / "second", first.layers, around.network) as second:
            second.start(around.user_data())
            wait(second, second.is_off)
            assert site.ends(waits) == [(1, "RunPreempted"), (2, "RunCompleted")], second.console
            assert "the agent has left with exit code 0" in second.console
    assert sorted(event.instance for event in site.events(WorkerStarted)) == sorted(around.launched)
    assert len(site.events(WorkerStopped)) == len(around.launched)
    assert not [path for path in around.imds.asked if path.startswith("iam/") and path.endswith("(no token)")]


def test_a_machine_that_can_not_be_set_up_says_why_and_goes(around: Cloud, tmp_path: Path) -> None:
    aws = around.scaler.aws.model_copy(update={"extra_vm_bash_script": "echo there is no driver; exit 7"})
    broken = replace(around, scaler=around.scaler.model_copy(update={"aws": aws}), launched=[])
    with machine(tmp_path / "broken", [around.debian.root], around.network) as one:
        one.start(broken.user_data())
        wait(one, one.is_off)
        assert "there is no driver" in one.console
        assert "tasktape: the machine goes" in one.console
