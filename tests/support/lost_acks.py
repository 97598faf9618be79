"""Loopback proxies before a cluster's brokers that swallow acknowledgements: the record is on the log, nobody says so.

A response that acknowledges records is held back and its connection is cut, as by a network that fails at that moment.
"""

from __future__ import annotations

import asyncio
import struct
import threading
from collections import deque
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

from tasktape.tests.kafka.broker import Broker, Cluster, Node
from tasktape.tests.kafka.ports import free_port

PRODUCE: Final = 0
FLEXIBLE: Final = 9
NAMES_NO_TOPICS: Final = 13


class Request(NamedTuple):
    """What a client asked, as far as it is needed to read the answer."""

    kind: int
    version: int


class Acknowledged(NamedTuple):
    """A record a broker said it has, and nobody heard it."""

    topic: str
    partition: int
    offset: int


class Bytes:
    """Reads the parts of a message one after the other."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, layout: str) -> Any:
        """Return one value of this layout."""
        (value,) = struct.unpack_from(layout, self._data, self._at)
        self._at += struct.calcsize(layout)
        return value

    def varint(self) -> int:
        """Return an unsigned number of variable length."""
        value = shift = 0
        while (byte := self.take("B")) & 0x80:
            value, shift = value | (byte & 0x7F) << shift, shift + 7
        return value | int(byte) << shift

    def text(self, length: int) -> str:
        """Return so many bytes of text."""
        return str(self.take(f"{length}s"), "utf-8")


def acknowledged(body: bytes, version: int) -> Acknowledged | None:
    """Return the first record a Produce response acknowledges; None where it tells of an error."""
    found = Bytes(body)
    found.take(">i")
    if version >= FLEXIBLE:
        found.varint()
        found.varint()
        topic = found.text(found.varint() - 1)
        found.varint()
    else:
        found.take(">i")
        topic = found.text(found.take(">h"))
        found.take(">i")
    partition, error, offset = found.take(">i"), found.take(">h"), found.take(">q")
    return None if error else Acknowledged(topic, partition, offset)


class Proxy:
    """Stands before one broker; `swallow` has it keep the next acknowledgements to itself."""

    def __init__(self, target: int) -> None:
        self.port = free_port()
        self.swallowed: list[Acknowledged] = []
        self.target = target
        self._wanted = 0

    def swallow(self, count: int) -> None:
        """Let so many acknowledgements be lost from now on."""
        self._wanted = count

    async def serve(self) -> None:
        """Accept clients until cancelled."""
        async with await asyncio.start_server(self._accept, "127.0.0.1", self.port) as server:
            await server.serve_forever()

    async def _accept(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        writers = [to_client]
        try:
            broker, to_broker = await asyncio.open_connection("127.0.0.1", self.target)
            writers.append(to_broker)
            asked: deque[Request] = deque()
            ways = (self._ask(client, to_broker, asked), self._answer(broker, to_client, asked))
            await _until_one_ends(*ways)
        except (OSError, asyncio.CancelledError):
            return
        finally:
            for writer in writers:
                writer.transport.abort()

    async def _ask(self, client: asyncio.StreamReader, broker: asyncio.StreamWriter, asked: deque[Request]) -> None:
        while True:
            size, body = await _message(client)
            asked.append(Request(*struct.unpack_from(">hh", body)))
            broker.write(size + body)
            await broker.drain()

    async def _answer(self, broker: asyncio.StreamReader, client: asyncio.StreamWriter, asked: deque[Request]) -> None:
        while True:
            size, body = await _message(broker)
            if self._swallows(asked.popleft(), body):
                return
            client.write(size + body)
            await client.drain()

    def _swallows(self, request: Request, body: bytes) -> bool:
        if not self._wanted or request.kind != PRODUCE or request.version >= NAMES_NO_TOPICS:
            return False
        record = acknowledged(body, request.version)
        if record is None:
            return False
        self._wanted -= 1
        self.swallowed.append(record)
        return True


async def _message(stream: asyncio.StreamReader) -> tuple[bytes, bytes]:
    size = await stream.readexactly(4)
    return size, await stream.readexactly(int.from_bytes(size))


async def _until_one_ends(*ways: Coroutine[Any, Any, None]) -> None:
    tasks = [asyncio.ensure_future(way) for way in ways]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class ProxiedCluster(Cluster):
    """Three brokers; `url` goes through proxies, `direct_url` does not, and neither do the brokers among themselves."""

    def __init__(self, folder: Path) -> None:
        self.proxies: list[Proxy] = []
        super().__init__(folder)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="proxies", daemon=True)

    @property
    def url(self) -> str:
        """URL of the log for those whose acknowledgements may be lost."""
        return "kafka://" + ",".join(f"127.0.0.1:{proxy.port}" for proxy in self.proxies)

    @property
    def direct_url(self) -> str:
        """URL of the log for those who watch."""
        return super().url

    @property
    def swallowed(self) -> list[Acknowledged]:
        """All acknowledgements that were lost so far."""
        return [record for proxy in self.proxies for record in proxy.swallowed]

    def settings(self, node: Node) -> str:
        """A second listener for clients, which the broker advertises at the proxy's address."""
        proxy = Proxy(free_port())
        self.proxies.append(proxy)
        return f"""
listeners=PLAINTEXT://127.0.0.1:{node.port},CONTROLLER://127.0.0.1:{node.controller_port},CLIENTS://127.0.0.1:{proxy.target}
advertised.listeners=PLAINTEXT://127.0.0.1:{node.port},CLIENTS://127.0.0.1:{proxy.port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,CLIENTS:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
"""

    def proxy(self, broker: Broker) -> Proxy:
        """The proxy before a broker."""
        return self.proxies[self.brokers.index(broker)]

    def __enter__(self) -> Self:
        super().__enter__()
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        super().__exit__(*exc)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        serving = [self._loop.create_task(proxy.serve()) for proxy in self.proxies]
        self._loop.run_forever()
        everything = asyncio.all_tasks(self._loop)
        for task in everything:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*everything, *serving, return_exceptions=True))
        self._loop.close()
