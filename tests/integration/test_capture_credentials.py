"""A private repository is checked out with credentials that nobody else gets to see."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasktape.events.parts import Script
from tasktape.producers.capture.git import GitError
from tasktape.producers.capture.git_access import Credentials, GitAccess
from tasktape.producers.capture.materialise import materialise
from tasktape.tests.support.git_server import private_repository


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Address of a private repository with one file."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    with private_repository(tmp_path, "me", "p@ss word$(x)", {"train.py": "x = 1\n"}) as address:
        yield address


def test_credentials_open_a_private_repository_and_are_written_nowhere(url: str, tmp_path: Path) -> None:
    credentials = Credentials("me", "p@ss word$(x)")
    access = GitAccess({url.removesuffix("/code.git"): credentials})
    script = Script(repository=url, branch="main", entry_point="train.py")
    checkout = materialise(script, tmp_path / "there", mirrors=tmp_path / "mirrors", access=access)
    assert (checkout.root / "train.py").read_text() == "x = 1\n"
    assert "p@ss" not in repr(credentials)
    kept = [file for folder in ("there", "mirrors") for file in (tmp_path / folder).rglob("*") if file.is_file()]
    assert not [file for file in kept if b"p@ss" in file.read_bytes()]


def test_helpers_of_the_user_s_own_are_not_told_what_is_not_theirs(url: str, tmp_path: Path) -> None:
    (tmp_path / ".gitconfig").write_text("[credential]\n    helper = store\n")
    access = GitAccess({url.removesuffix("/code.git"): Credentials("me", "p@ss word$(x)")})
    script = Script(repository=url, branch="main", entry_point="train.py")
    materialise(script, tmp_path / "there", mirrors=tmp_path / "mirrors", access=access)
    assert not (tmp_path / ".git-credentials").exists()


def test_without_credentials_a_private_repository_is_refused_without_a_question(url: str, tmp_path: Path) -> None:
    with pytest.raises(GitError, match="fetch failed"):
        materialise(Script(repository=url, entry_point="train.py"), tmp_path / "there", mirrors=tmp_path / "mirrors")


def test_credentials_are_for_one_host_alone() -> None:
    access = GitAccess({"git.example.org": Credentials("me", "secret"), "http://plain:81": Credentials("you", "other")})
    with access.opened() as variables:
        keys = {value for name, value in variables.items() if name.startswith("GIT_CONFIG_KEY_")}
        values = " ".join(value for name, value in variables.items() if name.startswith("GIT_CONFIG_VALUE_"))
    assert keys == {"credential.https://git.example.org.helper", "credential.http://plain:81.helper"}
    assert "secret" not in values
    assert "GIT_SSH_COMMAND" not in variables


SSH = """#!/bin/sh
# what git would have ssh do on the other side, after noting how it was called and what it was told
printf '%s\\n' "$*" >> "$SSH_NOTES"
while [ "$1" != git@private.example ]; do [ "$1" = -F ] && cat "$2" >> "$SSH_NOTES"; shift; done
shift
exec sh -c "$*"
"""


def test_a_key_opens_a_private_repository_over_ssh(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "ssh").write_text(SSH)
    (programs / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=":")
    monkeypatch.setenv("SSH_NOTES", str(tmp_path / "notes"))
    assert url
    repository = f"git@private.example:{tmp_path}/served/code.git"
    access = GitAccess({"private.example": Credentials(ssh_key=tmp_path / "my key")})
    script = Script(repository=repository, branch="main", entry_point="train.py")
    checkout = materialise(script, tmp_path / "there", mirrors=tmp_path / "mirrors", access=access)
    assert (checkout.root / "train.py").read_text() == "x = 1\n"
    notes = (tmp_path / "notes").read_text()
    assert f'Host private.example\n  IdentityFile "{tmp_path}/my key"\n  IdentitiesOnly yes\n' in notes


@pytest.mark.skipif(shutil.which("ssh") is None, reason="no ssh on this machine")
def test_ssh_understands_what_it_is_told_and_still_reads_the_user_s_own(
    tmp_path: Path,
) -> None:
    access = GitAccess({"private.example:22": Credentials(ssh_key=tmp_path / "my key")})
    with access.opened() as variables:
        command = shlex.split(variables["GIT_SSH_COMMAND"])
        known, other = (
            subprocess.run([*command, "-G", host], check=True, capture_output=True, text=True).stdout.splitlines()
            for host in ("private.example", "other.example")
        )
        config = Path(command[-1]).read_text()
    assert f"identityfile {tmp_path}/my key" in known
    assert "identitiesonly yes" in known
    assert "batchmode yes" in known
    assert not [line for line in other if "my key" in line]
    assert "Include ~/.ssh/config" in config
