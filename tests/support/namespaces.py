"""A network of two: this machine and a namespace at the other end of a pair of virtual cables. Needs root."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, TypeVar

HERE: Final = "10.86.213.1"
THERE: Final = "10.86.213.2"
METADATA: Final = "169.254.169.254"
_CLONE_NEWNET: Final = 0x40000000
T = TypeVar("T")


def lacking() -> str:
    """Why there can be no namespaces here; empty if there can."""
    if os.geteuid():
        return "it takes root to make network namespaces and a file system of one's own"
    missing = [name for name in ("ip", "unshare", "mount", "chroot", "debootstrap") if shutil.which(name) is None]
    return f"{', '.join(missing)} not found: make tools installs what is missing" if missing else ""


@dataclass(frozen=True)
class Network:
    """A namespace by its name, which sees this machine at `HERE`, and itself at `THERE` and `METADATA`."""

    name: str

    def run(self, make: Callable[[], T]) -> T:
        """Call in the namespace: sockets that are made there stay there."""
        made: list[T] = []
        thread = threading.Thread(target=lambda: (_enter(self.name), made.append(make())))
        thread.start()
        thread.join()
        return made[0]


def _enter(name: str) -> None:
    """Have the calling thread live in a namespace."""
    descriptor = os.open(f"/run/netns/{name}", os.O_RDONLY)
    try:
        if ctypes.CDLL(None, use_errno=True).setns(descriptor, _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"can't enter {name}")
    finally:
        os.close(descriptor)


@contextmanager
def network() -> Iterator[Network]:
    """A namespace of the caller's own; it knows no way to anywhere else."""
    name, cable = f"tasktape-{os.getpid()}", f"tt{os.getpid()}"
    _ip("netns", "add", name)
    try:
        _ip("link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", name)
        _ip("addr", "add", f"{HERE}/30", "dev", cable)
        _ip("link", "set", cable, "up")
        for words in (
            ("addr", "add", f"{THERE}/30", "dev", "eth0"),
            ("addr", "add", f"{METADATA}/32", "dev", "lo"),
            ("link", "set", "eth0", "up"),
            ("link", "set", "lo", "up"),
        ):
            _ip("-n", name, *words)
        yield Network(name)
    finally:
        _ip("netns", "delete", name)


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"ip {' '.join(words)}: {done.stderr.strip()}")
