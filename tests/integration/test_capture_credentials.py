"""A private repository is checked out with credentials that nobody else gets to see."""

from __future__ import annotations

import base64
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tasktape.events.parts import Script
from tasktape.producers.capture.git import GitError
from tasktape.producers.capture.git_access import Credentials, GitAccess
from tasktape.producers.capture.materialise import materialise

ALLOWED = "Basic " + base64.b64encode(b"me:p@ss word$(x)").decode()


class Private(SimpleHTTPRequestHandler):
    """Serves files (git's plain protocol) to those who know the password."""

    def do_GET(self) -> None:
        if self.headers.get("Authorization") == ALLOWED:
            super().do_GET()
        else:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="private"')
            self.end_headers()

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Address of a private repository with one file."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    served = tmp_path / "served"
    served.mkdir()
    (tmp_path / "work").mkdir()
    (tmp_path / "work/train.py").write_text("x = 1\n")
    identity = ("-c", "user.name=U", "-c", "user.email=u@example.org")
    for command in (
        ["git", "init", "--quiet", "--initial-branch=main"],
        ["git", "add", "--all"],
        ["git", *identity, "commit", "--quiet", "--message", "first"],
        ["git", "clone", "--quiet", "--bare", ".", str(served / "code.git")],
        ["git", "-C", str(served / "code.git"), "update-server-info"],
    ):
        subprocess.run(command, cwd=tmp_path / "work", check=True, capture_output=True)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Private, directory=str(served)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/code.git"
    server.shutdown()
    thread.join()
    server.server_close()


def test_credentials_open_a_private_repository_and_are_written_nowhere(url: str, tmp_path: Path) -> None:
    credentials = Credentials("me", "p@ss word$(x)")
    access = GitAccess({url.removesuffix("/code.git"): credentials})
    script = Script(repository=url, branch="main", entry_point="train.py")
    checkout = materialise(script, tmp_path / "there", mirrors=tmp_path / "mirrors", access=access)
    assert (checkout.root / "train.py").read_text() == "x = 1\n"
    assert "p@ss" not in repr(credentials)
    kept = [file for folder in ("there", "mirrors") for file in (tmp_path / folder).rglob("*") if file.is_file()]
    assert not [file for file in kept if b"p@ss" in file.read_bytes()]


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
