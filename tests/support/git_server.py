"""A private git repository behind http with a password, served by git itself as servers do."""

from __future__ import annotations

import base64
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

IDENTITY = ("-c", "user.name=U", "-c", "user.email=u@example.org")


class _Handler(BaseHTTPRequestHandler):
    """Hands requests of those who know the password to `git http-backend`."""

    def __init__(self, root: Path, allowed: str, *arguments: object) -> None:
        self._root = root
        self._allowed = allowed
        super().__init__(*arguments)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        if self.headers.get("Authorization") != self._allowed:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="private"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        path, _, query = self.path.partition("?")
        variables = {
            "GIT_PROJECT_ROOT": str(self._root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "REQUEST_METHOD": self.command,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": self.headers.get("Content-Length", ""),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "REMOTE_USER": "me",
            "REMOTE_ADDR": "127.0.0.1",
        }
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        done = subprocess.run(
            ["git", "http-backend"], input=body, env=os.environ | variables, capture_output=True, check=True
        )
        self._answer(done.stdout)

    do_POST = do_GET  # noqa: N815  the base class's names

    def _answer(self, said: bytes) -> None:
        head, _, body = said.partition(b"\r\n\r\n")
        headers = [line.split(": ", 1) for line in head.decode().splitlines()]
        status = next((value for name, value in headers if name == "Status"), "200 OK")
        self.send_response(int(status.split()[0]))
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@contextmanager
def private_repository(
    folder: Path, user: str, password: str, files: dict[str, str], address: str = "127.0.0.1"
) -> Iterator[str]:
    """URL of a repository with these files, whose bare form lies in `folder/served/code.git`."""
    work, bare = folder / "work", folder / "served" / "code.git"
    work.mkdir()
    for name, text in files.items():
        (work / name).write_text(text)
    for command in (
        ["git", "init", "--quiet", "--initial-branch=main"],
        ["git", "add", "--all"],
        ["git", *IDENTITY, "commit", "--quiet", "--message", "first"],
        ["git", "clone", "--quiet", "--bare", ".", str(bare)],
    ):
        subprocess.run(command, cwd=work, check=True, capture_output=True)
    allowed = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
    server = ThreadingHTTPServer((address, 0), partial(_Handler, bare.parent, allowed))
    thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.01))
    thread.start()
    try:
        yield f"http://{address}:{server.server_port}/code.git"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
