"""What an agent was given to open things with is seen by nobody: looked for everywhere, by a real agent at work."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tasktape.events.base import Event
from tasktape.events.parts import Script
from tasktape.events.task_events import RunFailed
from tasktape.tests.support.agent_site import AgentSite, agent_site
from tasktape.tests.support.git_server import private_repository

GIT, KAFKA, S3, INDEX = "token-of-git-81", "password-of-sasl-82", "secret-of-s3-83", "password-of-index-84"
SECRETS = (GIT, KAFKA, S3, INDEX)
TELL_ALL = """
import hashlib, os, subprocess, sys
from tasktape.events.settings import load_settings
for name, value in sorted(os.environ.items()):
    print(name, "=", value)
print(subprocess.run(["git", "config", "--list", "--show-origin"], capture_output=True, text=True).stdout)
print(subprocess.run(["git", "fetch"], capture_output=True, text=True, env=os.environ | {"GIT_TERMINAL_PROMPT": "0"}))
settings = load_settings()
print(settings, settings.git, file=sys.stderr)
print("sasl", hashlib.sha256(settings.kafka["sasl.password"].encode()).hexdigest())
print("s3", hashlib.sha256(os.environ["AWS_SECRET_ACCESS_KEY"].encode()).hexdigest())
"""


@pytest.fixture
def site(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AgentSite]:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("TASKTAPE_KAFKA_SASL_PASSWORD", KAFKA)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", S3)
    monkeypatch.setenv("PIP_INDEX_URL", f"https://me:{INDEX}@index.example.org/simple")
    with agent_site(f"sqlite://{home}/log.db", home, tmp_path / "site") as made:
        yield made


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with private_repository(tmp_path, "me", GIT, {"main.py": TELL_ALL}) as address:
        yield address


@contextmanager
def commands_seen() -> Iterator[set[str]]:
    """All command lines of this machine's processes that could be seen meanwhile."""
    seen: set[str] = set()
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.002):
            for file in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    seen.add(file.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
                except OSError:
                    continue

    watching = threading.Thread(target=look)
    watching.start()
    try:
        yield seen
    finally:
        over.set()
        watching.join()


def everything_said(site: AgentSite) -> str:
    """All events of all topics, and what the agent logged."""
    events = [str(event) for topic in site.log.topics() for event in site.events(Event, topic)]
    return "\n".join([*events, site.said()])


def leaking_files(*folders: Path) -> list[tuple[str, str]]:
    files = [file for folder in folders for file in folder.rglob("*") if file.is_file()]
    return [(str(file), secret) for file in files for secret in SECRETS if secret.encode() in file.read_bytes()]


def given_by_variables(url: str, home: Path) -> dict[str, str]:  # noqa: ARG001  the other way needs it
    host = url.removesuffix("/code.git")
    return {"TASKTAPE_GIT_HOST": host, "TASKTAPE_GIT_USER": "me", "TASKTAPE_GIT_TOKEN": GIT}


def given_by_file(url: str, home: Path) -> dict[str, str]:
    home.mkdir(exist_ok=True)
    file = home / "tasktape.toml"
    file.write_text(f'[git."{url.removesuffix("/code.git")}"]\nuser = "me"\ntoken = "{GIT}"\n')
    return {}


@pytest.mark.parametrize("given", [given_by_variables, given_by_file], ids=["variables", "file"])
def test_secrets_are_in_no_event_no_line_no_command_and_no_file(
    site: AgentSite, url: str, home: Path, monkeypatch: pytest.MonkeyPatch, given: object
) -> None:
    assert callable(given)
    for name, value in given(url, home).items():
        monkeypatch.setenv(name, value)
    script = Script(repository=url, branch="main", entry_point="main.py")
    with commands_seen() as commands:
        site.agent("--log-format", "json")
        task = site.put("", script=script)
        assert site.wait_for_end(task) == (1, "RunCompleted")
    said = everything_said(site)
    assert [secret for secret in SECRETS if secret in said] == []
    assert [line for line in commands if any(secret in line for secret in SECRETS)] == []
    assert [line for line in commands if "main.py" in line], "what ran was looked at"
    (home / "tasktape.toml").unlink(missing_ok=True)
    assert leaking_files(home, site.folder) == []
    lines = [text for _, text in site.console(task)]
    assert "AWS_SECRET_ACCESS_KEY = ********" in lines
    assert f"sasl {hashlib.sha256(KAFKA.encode()).hexdigest()}" in lines, "the task reaches the log as its agent does"
    assert f"s3 {hashlib.sha256(S3.encode()).hexdigest()}" in lines
    assert not [line for line in lines if line.startswith(("TASKTAPE_GIT", "TASKTAPE_KAFKA"))]
    assert [line for line in lines if "terminal prompts disabled" in line], "the task itself opens nothing"


def test_a_refused_token_is_not_told_either(
    site: AgentSite, url: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (given_by_variables(url, home) | {"TASKTAPE_GIT_USER": "somebody else"}).items():
        monkeypatch.setenv(name, value)
    agent = site.agent()
    task = site.put("", script=Script(repository=url, branch="main", entry_point="main.py"))
    site.wait(lambda: site.ends(task))
    assert site.of(task, RunFailed)[0].reason == "checkout"
    said = everything_said(site)
    assert "Authentication failed" in said
    assert [secret for secret in SECRETS if secret in said] == []
    agent.terminate()
    agent.wait()
    assert leaking_files(home / "mirrors") == []


def test_a_program_s_settings_are_its_owner_s_alone_while_it_runs(site: AgentSite) -> None:
    tell = "import os, stat\nfile = os.environ['TASKTAPE_CONFIG']\nprint(file, oct(os.stat(file).st_mode))"
    site.agent()
    task = site.put(tell)
    assert site.wait_for_end(task) == (1, "RunCompleted")
    ((_, line),) = [said for said in site.console(task) if said[0] == "stdout"]
    file, mode = line.split()
    assert mode == oct(0o100600)
    assert not os.path.lexists(file)
