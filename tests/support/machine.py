"""A machine that is none: a fresh Debian as its root, with systemd and cloud-init, in namespaces of its own.

What it changes is a layer over what was there, of which another machine can be made as of an image.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tasktape.tests.support.namespaces import GUARD, NamespacesMissingError, Network

_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_POWER_ON: Final = """
set -e
group=$1 layers=$2 folder=$3 console=$4 path=$5
echo $$ >"$group/cgroup.procs"
exec unshare --mount --pid --uts --ipc --cgroup --fork --kill-child sh -ec '
  mount -t overlay machine -o "lowerdir=$1,upperdir=$2/layer,workdir=$2/work,volatile" "$2/root"
  cd "$2/root"
  mount -t proc proc proc
  mount -t sysfs -o ro sysfs sys
  mount -t cgroup2 cgroup2 sys/fs/cgroup
  mount -t tmpfs -o mode=755 tmpfs run
  mount -t tmpfs -o mode=755 tmpfs dev
  mkdir dev/shm dev/pts
  mount -t devpts -o newinstance,ptmxmode=666 devpts dev/pts
  ln -s pts/ptmx dev/ptmx
  while read name major minor; do mknod -m 666 "dev/$name" c "$major" "$minor"; done <<DEVICES
null 1 3
zero 1 5
full 1 7
random 1 8
urandom 1 9
tty 5 0
DEVICES
  ln -s /proc/self/fd dev/fd
  touch dev/console
  mount --bind "$3" dev/console
  hostname machine
  pivot_root . mnt
  umount -l /mnt
  exec env -i container=other "PATH=$4" /sbin/init
' init "$layers" "$folder" "$console" "$path"
"""
_CLOUD: Final = "datasource_list: [NoCloud]\nnetwork: {config: disabled}\ncloud_config_modules: []\n"
_PATIENCE: Final = 30.0


class Machine:
    """One machine. `layer` is what it changed; `layers` is all that another one of it as an image starts from."""

    def __init__(self, folder: Path, layers: Sequence[Path], network: Network) -> None:
        self.layer = folder / "layer"
        self.layers = (self.layer, *layers)
        self._folder = folder
        self._below = layers
        self._network = network
        self._console = folder / "console"
        self._group = _groups() / f"tasktape-{os.getpid()}-{folder.name}"
        self._process: subprocess.Popen[bytes] | None = None
        for name in ("layer", "work", "root"):
            (folder / name).mkdir(parents=True)

    def start(self, user_data: bytes) -> None:
        """Power on, with user-data for its cloud-init."""
        self._put("etc/cloud/cloud.cfg.d/99_machine.cfg", _CLOUD.encode())
        self._put("var/lib/cloud/seed/nocloud/meta-data", f"instance-id: {self._folder.name}\n".encode())
        self._put("var/lib/cloud/seed/nocloud/user-data", user_data)
        self._group.mkdir()
        keyboard, screen = os.openpty()
        places = [self._group, ":".join(map(str, self._below)), self._folder, os.ttyname(screen), _PATH]
        command = [*GUARD, "nsenter", f"--net={self._network.file}", "sh", "-c", _POWER_ON, "on", *map(str, places)]
        self._process = subprocess.Popen(command, stdin=screen, stdout=screen, stderr=screen)
        os.close(screen)
        threading.Thread(target=self._watch, args=(keyboard,)).start()

    @property
    def console(self) -> str:
        """What was printed on it."""
        return self._console.read_text(errors="replace").replace("\r", "") if self._console.exists() else ""

    def is_off(self) -> bool:
        """Whether it has shut down."""
        return self._process is not None and self._process.poll() is not None

    def pull_the_plug(self) -> None:
        """End all that runs on it, and remove its control groups."""
        if self._process is None:
            return
        (self._group / "cgroup.kill").write_text("1")
        self._process.wait()
        deadline = time.monotonic() + _PATIENCE
        while "populated 1" in (self._group / "cgroup.events").read_text():
            assert time.monotonic() < deadline, f"{self._group} is still populated"
            time.sleep(0.01)
        _remove(self._group)

    def _watch(self, keyboard: int) -> None:
        with self._console.open("wb", buffering=0) as file:
            while chunk := _read(keyboard):
                file.write(chunk)
        os.close(keyboard)

    def _put(self, name: str, text: bytes) -> None:
        """Lay a file down; the root's own folders keep their modes."""
        file = self.layer / name
        missing = [parent for parent in file.relative_to(self.layer).parents if not (self.layer / parent).exists()]
        for parent in reversed(missing):
            found = next((each / parent for each in self._below if (each / parent).exists()), None)
            (self.layer / parent).mkdir(mode=0o755 if found is None else found.stat().st_mode & 0o7777)
        file.write_bytes(text)


@contextmanager
def machine(folder: Path, layers: Sequence[Path], network: Network) -> Iterator[Machine]:
    """A machine that is off, and gone at the end with all that it was."""
    _sweep()
    made = Machine(folder, layers, network)
    try:
        yield made
    finally:
        made.pull_the_plug()
        shutil.rmtree(folder)


def _read(terminal: int) -> bytes:
    """What comes next; nothing once nobody has its other side any more."""
    try:
        return os.read(terminal, 65536)
    except OSError:
        return b""


def _remove(group: Path) -> None:
    for folder, _, _ in os.walk(group, topdown=False):
        Path(folder).rmdir()


def _sweep() -> None:
    """Remove control groups of tests that were killed: all else of theirs went with them."""
    for group in _groups().glob("tasktape-*"):
        if not Path("/proc", group.name.split("-")[1]).exists():
            _remove(group)


def _groups() -> Path:
    """Where control groups are made."""
    mounts = (line.split() for line in Path("/proc/mounts").read_text().splitlines())
    found = next((Path(mount[1]) for mount in mounts if mount[2] == "cgroup2"), None)
    if found is None or not os.access(found, os.W_OK):
        raise NamespacesMissingError("there are no control groups to be had here (cgroup2)")
    return found
