"""A network of two: this machine and a namespace at the other end of a virtual cable. Needs root.

A process holds the namespace, and ends with this one, however this one ends: then namespace and cable are gone too.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Final, TypeVar

METADATA: Final = "169.254.169.254"
GUARD: Final = ("setpriv", "--pdeathsig", "KILL", "--")
_PROGRAMS: Final = ("ip", "unshare", "nsenter", "setpriv", "mount", "chroot", "debootstrap")
_CLONE_NEWNET: Final = 0x40000000
_FIRST: Final = int(IPv4Address("10.86.0.0"))
_NETWORKS: Final = 1 << 14
T = TypeVar("T")


class NamespacesMissingError(RuntimeError):
    """There can be no namespaces here; the message says why."""


@dataclass(frozen=True)
class Network:
    """A namespace that sees this machine at `here`, and itself at `there` and `METADATA`; it knows no way elsewhere."""

    file: str
    here: str
    there: str

    def run(self, make: Callable[[], T]) -> T:
        """Call in the namespace: sockets that are made there stay there."""
        with ThreadPoolExecutor(1, initializer=_enter, initargs=(self.file,)) as inside:
            return inside.submit(make).result()


def _enter(file: str) -> None:
    """Have the calling thread live in a namespace."""
    descriptor = os.open(file, os.O_RDONLY)
    try:
        if ctypes.CDLL(None, use_errno=True).setns(descriptor, _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"can't enter {file}")
    finally:
        os.close(descriptor)


@contextmanager
def network() -> Iterator[Network]:
    """A namespace of this process's own."""
    _require()
    command = [*GUARD, "unshare", "--net", "sh", "-c", "echo made; exec sleep infinity"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as holder:
        try:
            if holder.stdout is None or holder.stdout.readline() != b"made\n":
                raise NamespacesMissingError("network namespaces are refused here")
            yield _connected(holder.pid)
        finally:
            holder.kill()


def _require() -> None:
    if os.geteuid():
        raise NamespacesMissingError("a machine of its own takes root, for namespaces and a file system")
    if absent := [name for name in _PROGRAMS if shutil.which(name) is None]:
        raise NamespacesMissingError(f"{', '.join(absent)} not found: apt-get install iproute2 debootstrap")


def _connected(holder: int) -> Network:
    """Lay the cable; both ends' addresses are of this process's number, so that networks do not meet."""
    first = _FIRST + 4 * (os.getpid() % _NETWORKS)
    found = Network(f"/proc/{holder}/ns/net", str(IPv4Address(first + 1)), str(IPv4Address(first + 2)))
    cable = f"tt{os.getpid()}"
    _ip("link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", str(holder))
    _ip("addr", "add", f"{found.here}/30", "dev", cable)
    _ip("link", "set", cable, "up")
    for words in (
        ("addr", "add", f"{found.there}/30", "dev", "eth0"),
        ("addr", "add", f"{METADATA}/32", "dev", "lo"),
        ("link", "set", "eth0", "up"),
        ("link", "set", "lo", "up"),
    ):
        _ip(*words, inside=found.file)
    return found


def _ip(*words: str, inside: str = "") -> None:
    entered = ["nsenter", f"--net={inside}"] if inside else []
    done = subprocess.run([*entered, "ip", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise NamespacesMissingError(f"ip {' '.join(words)}: {done.stderr.strip()}")
