"""A machine that is none: a fresh Debian as its root, in namespaces of its own, that runs the user-data it is given.

What it changes is a layer over what was there, of which another machine can be made as of an image.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tasktape.tests.support.namespaces import Network

PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_POWER_ON: Final = """
set -e
mount -t overlay machine -o "lowerdir=$1,upperdir=$2/layer,workdir=$2/work" "$2/root"
cd "$2/root"
mount -t proc proc proc
mount -t tmpfs tmpfs run
mount -t tmpfs tmpfs dev
mkdir dev/shm
mknod -m 666 dev/null c 1 3
mknod -m 666 dev/zero c 1 5
mknod -m 666 dev/random c 1 8
mknod -m 666 dev/urandom c 1 9
ln -s /proc/self/fd dev/fd
hostname machine
exec chroot . /usr/bin/env -i PATH="$3" /bin/sh /sbin/first
"""
_FIRST: Final = """
trap 'exit 0' TERM
/var/lib/cloud/user-data &
wait
sleep infinity &
wait
"""
_SHUTDOWN: Final = """#!/bin/sh
echo "$@" >/var/log/shutdown
kill -TERM 1
"""


class Machine:
    """One machine. `layer` is what it changed, `console` what was printed on it; `layers` is what it started from."""

    def __init__(self, folder: Path, layers: Sequence[Path], network: Network) -> None:
        self.layer, self.console = folder / "layer", folder / "console"
        self.layers = (self.layer, *layers)
        self._folder = folder
        self._below = layers
        self._network = network
        self._process: subprocess.Popen[bytes] | None = None
        for name in ("layer", "work", "root"):
            (folder / name).mkdir(parents=True)

    def start(self, user_data: bytes) -> None:
        """Power on, with a script to run as cloud-init does."""
        self._put("sbin/first", _FIRST.encode())
        self._put("usr/sbin/shutdown", _SHUTDOWN.encode())
        self._put("var/lib/cloud/user-data", user_data)
        namespaces = ["--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child"]
        layers = ":".join(map(str, self._below))
        arguments = ["sh", "-c", _POWER_ON, "power-on", layers, str(self._folder), PATH]
        with self.console.open("wb") as console:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "ip", "netns", "exec", self._network.name, "unshare", *namespaces]
                + arguments,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
            )

    def is_off(self) -> bool:
        """Whether it has shut down."""
        return self._process is not None and self._process.poll() is not None

    def pull_the_plug(self) -> None:
        """End all that runs on it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _put(self, name: str, text: bytes) -> None:
        """Lay a program down; the root's own folders keep their modes."""
        file = self.layer / name
        missing = [parent for parent in file.relative_to(self.layer).parents if not (self.layer / parent).exists()]
        for parent in reversed(missing):
            found = next((each / parent for each in self._below if (each / parent).exists()), None)
            (self.layer / parent).mkdir(mode=0o755 if found is None else found.stat().st_mode & 0o7777)
        file.write_bytes(text)
        file.chmod(0o755)


def debian(folder: Path, suite: str = "bookworm") -> Path:
    """A minimal Debian, made the first time."""
    made = folder / f"debian-{suite}"
    if not made.exists():
        part = folder / f"debian-{suite}.part"
        shutil.rmtree(part, ignore_errors=True)
        command = ["debootstrap", "--variant=minbase", suite, str(part), "http://deb.debian.org/debian"]
        subprocess.run(command, check=True, capture_output=True)
        part.rename(made)
    return made
