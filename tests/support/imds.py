"""A metadata service as EC2 has it: version 2 alone, with credentials of a role and notices that tests give."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

_TOKEN: Final = "a-token"
_ROLE: Final = "machines"
_CREDENTIALS: Final = {
    "Code": "Success",
    "AccessKeyId": "ASIAOFAMACHINE",
    "SecretAccessKey": "of-a-machine",
    "Token": "of-a-session",
    "Expiration": "2099-01-01T00:00:00Z",
}


class FakeImds:
    """What it answers by path, and what was asked of it: `method path`, with a mark for those without a token."""

    def __init__(self) -> None:
        self.answers: dict[str, str] = {
            "iam/security-credentials/": _ROLE,
            f"iam/security-credentials/{_ROLE}": json.dumps(_CREDENTIALS),
        }
        self.asked: list[str] = []
        self.token = _TOKEN

    def give_notice(self) -> None:
        """Say that the machine is taken away."""
        self.answers["spot/instance-action"] = json.dumps({"action": "terminate", "time": "2026-01-01T00:00:00Z"})

    def take_notice_back(self) -> None:
        """Say nothing of the kind: what asks next is another machine."""
        del self.answers["spot/instance-action"]

    def recommend_rebalance(self) -> None:
        """Say that the machine may be taken away some time soon."""
        self.answers["events/recommendations/rebalance"] = json.dumps({"noticeTime": "2026-01-01T00:00:00Z"})


class _Handler(BaseHTTPRequestHandler):
    def __init__(self, imds: FakeImds, *arguments: Any) -> None:
        self._imds = imds
        super().__init__(*arguments)

    def do_PUT(self) -> None:
        known = self.path == "/latest/api/token" and self.headers.get("X-aws-ec2-metadata-token-ttl-seconds")
        self._answer(200 if known else 404, self._imds.token)

    def do_GET(self) -> None:
        is_known = self.headers.get("X-aws-ec2-metadata-token") == self._imds.token
        path = self.path.removeprefix("/latest/meta-data/")
        self._imds.asked.append(path if is_known else f"{path} (no token)")
        answer = self._imds.answers.get(path)
        self._answer(401 if not is_known else 404 if answer is None else 200, answer or "")

    def _answer(self, status: int, text: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@contextmanager
def fake_imds(address: str = "127.0.0.1", port: int = 0) -> Iterator[tuple[FakeImds, str]]:
    """The service and its address."""
    imds = FakeImds()
    server = ThreadingHTTPServer((address, port), partial(_Handler, imds))
    thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.01))
    thread.start()
    try:
        yield imds, f"http://{address}:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
