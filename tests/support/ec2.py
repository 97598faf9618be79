"""An EC2 for tests: moto's server, and in front of it what moto leaves out and a scaler relies on, with faults at will.

A client token makes one machine however often it is used, and an error if it is used for another one.
"""

from __future__ import annotations

import http.client
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from moto.server import ThreadedMotoServer

ERROR = (
    "<Response><Errors><Error><Code>{0}</Code><Message>{1}</Message></Error></Errors>"
    "<RequestID>r</RequestID></Response>"
)


class Answer(NamedTuple):
    """What HTTP answers."""

    status: int
    body: bytes


class Ec2:
    """The service; what it is asked is in `asked`.

    Of launches to come `refuse` says which are refused, by default as many as there are `refusals` (code and status);
    `says` is what they are told. The answers of `lost` others never arrive.
    """

    def __init__(self, moto: str) -> None:
        self._moto = moto
        self._lock = threading.Lock()
        self._launched: dict[str, tuple[dict[str, str], Answer]] = {}
        self.url = ""
        self.asked: list[dict[str, str]] = []
        self.refusals: deque[tuple[str, int]] = deque()
        self.refuse: Callable[[Mapping[str, str]], tuple[str, int] | None] = self._next_refusal
        self.lost = 0
        self.says = ""

    def calls(self, action: str) -> list[dict[str, str]]:
        """Parameters of all calls of an action."""
        return [call for call in self.asked if call["Action"] == action]

    def answer(self, request: BaseHTTPRequestHandler, body: bytes) -> Answer | None:
        """What to answer; None for an answer that gets lost on its way."""
        call = {name: values[0] for name, values in parse_qs(body.decode(), keep_blank_values=True).items()}
        self.asked.append(call)
        if call.get("Action") != "RunInstances":
            return self._forwarded(request, body)
        with self._lock:
            return self._launch(request, body, call)

    def _launch(self, request: BaseHTTPRequestHandler, body: bytes, call: dict[str, str]) -> Answer | None:
        if (refusal := self.refuse(call)) is not None:
            return _error(*refusal, self.says)
        known = self._launched.get(call["ClientToken"])
        if known is None:
            known = self._launched[call["ClientToken"]] = (call, self._forwarded(request, body))
        if known[0] != call:
            return _error("IdempotentParameterMismatch", 400)
        if self.lost:
            self.lost -= 1
            return None
        return known[1]

    def _next_refusal(self, _call: Mapping[str, str]) -> tuple[str, int] | None:
        return self.refusals.popleft() if self.refusals else None

    def _forwarded(self, request: BaseHTTPRequestHandler, body: bytes) -> Answer:
        with closing(http.client.HTTPConnection(urlsplit(self._moto).netloc, timeout=30)) as connection:
            connection.request(request.command, request.path, body, dict(request.headers))
            found = connection.getresponse()
            return Answer(found.status, found.read())


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, ec2: Ec2, *arguments: Any) -> None:
        self._ec2 = ec2
        super().__init__(*arguments)

    def do_POST(self) -> None:
        answer = self._ec2.answer(self, self.rfile.read(int(self.headers.get("Content-Length") or 0)))
        if answer is None:
            self.close_connection = True
            return
        self.send_response(answer.status)
        self.send_header("Content-Type", "text/xml")
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


def _error(code: str, status: int, says: str = "") -> Answer:
    return Answer(status, ERROR.format(code, says or f"no: {code}").encode())


@contextmanager
def moto_server(address: str = "127.0.0.1") -> Iterator[str]:
    """URL of an AWS of moto's."""
    server = ThreadedMotoServer(ip_address=address, port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.stop()


@contextmanager
def ec2_before(moto: str) -> Iterator[Ec2]:
    """An EC2 whose machines are moto's."""
    ec2 = Ec2(moto)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, ec2))
    server.daemon_threads = True
    ec2.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.01))
    thread.start()
    try:
        yield ec2
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
