"""What machines of tests start from: a fresh Debian, and a mirror of the packages that they install. Made once.

They are made with this machine's own settings of apt and pip, whatever those are; machines see the mirror alone.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tasktape.tests.kafka.broker import cache_folder, once

ROOT: Final = Path(__file__).parents[2]
SUITE: Final = "bookworm"
PYTHON: Final = "3.11"
MIRROR: Final = os.environ.get("TASKTAPE_TEST_DEBIAN", "http://deb.debian.org/debian")
_PACKAGES: Final = "systemd-sysv,cloud-init,python3-cffi-backend"
_GLIBCS: Final = range(17, 37)
"""Minor versions of the glibc that wheels may have been built for: up to the suite's own."""
_FETCH: Final = """
set -e
mount -t overlay part -o "lowerdir=$1/root,upperdir=$1/layer,workdir=$1/work" "$1/part"
mount -t proc proc "$1/part/proc"
apt-config dump Acquire >"$1/part/etc/apt/apt.conf.d/99host"
cp --dereference /etc/resolv.conf "$1/part/etc/resolv.conf"
chroot "$1/part" sh -ec '
  apt-get clean
  apt-get update -qq
  apt-get install -qq --download-only --no-install-recommends "$@"
  cd /var/cache/apt/archives
  for file in *.deb; do
    dpkg-deb --field $file
    printf "Filename: ./%s\\nSize: %s\\n" $file $(stat --format %s $file)
    printf "SHA256: %s\\n\\n" $(sha256sum <$file | cut -c -64)
  done >Packages
' fetch git openssh-client ca-certificates python3 python3-venv >&2
cp "$1/part/var/cache/apt/archives/"*.deb "$1/part/var/cache/apt/archives/Packages" "$1/mirror/debs"
"""


def tasktape_wheel(folder: Path, mirror: Path) -> Path:
    """A wheel of what git knows here, as it is now."""
    source = folder / "source"
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in listed.stdout.split("\0"):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, source / name)
    found = ["--offline", "--no-index", "--find-links", str(mirror / "wheels"), "--out-dir", str(folder)]
    subprocess.run([sys.executable, "-m", "uv", "build", "--quiet", "--wheel", *found, str(source)], check=True)
    return next(folder.glob("*.whl"))


class DebianMissingError(RuntimeError):
    """No Debian can be had here; the message says why."""


class Debian:
    """`root` is a minimal Debian with what cloud images have, `mirror` has packages in `debs` and `wheels`."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "root"
        self.mirror = folder / "mirror"


def debian() -> Debian:
    """The Debian with what tasktape needs as of now."""
    requirements = _requirements()
    digest = hashlib.sha256("\n".join([SUITE, _PACKAGES, _FETCH, *requirements]).encode()).hexdigest()[:8]
    folder = cache_folder() / f"debian-{SUITE}-{digest}"
    with once(folder) as to_be_made:
        if to_be_made:
            _make(folder, requirements)
    return Debian(folder)


def _requirements() -> list[str]:
    """What pip installs on a machine, tasktape itself left out, and what builds tasktape."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project, build = declared["project"], declared["build-system"]["requires"]
    return [*project["dependencies"], *project["optional-dependencies"]["aws"], *build, "uv"]


def _make(folder: Path, requirements: Sequence[str]) -> None:
    part = folder.with_suffix(".part")
    _run("rm", "--recursive", "--force", str(part))
    for name in ("mirror/debs", "mirror/wheels", "layer", "work", "part"):
        (part / name).mkdir(parents=True)
    _apart("debootstrap", "--variant=minbase", f"--include={_PACKAGES}", SUITE, str(part / "root"), MIRROR)
    _apart("sh", "-c", _FETCH, "fetch", str(part))
    _download(part / "mirror" / "wheels", requirements)
    _run("rm", "--recursive", *(str(part / name) for name in ("layer", "work", "part")))
    part.rename(folder)


def _apart(*command: str) -> None:
    """Run it where its mounts are nobody else's, and with it end all that it started."""
    _run("setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child", *command)


def _download(folder: Path, requirements: Sequence[str]) -> None:
    """Wheels for the suite's Python, from wherever pip gets them here; none of them is built."""
    tags = [f"manylinux_2_{minor}_{platform.machine()}" for minor in _GLIBCS]
    tags += [f"manylinux2014_{platform.machine()}"]
    wanted = [*("--python-version", PYTHON, "--only-binary", ":all:"), *(f"--platform={tag}" for tag in tags)]
    _run(sys.executable, "-m", "pip", "download", "--quiet", "--dest", str(folder), *wanted, *requirements)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | {"LC_ALL": "C"})
    if done.returncode:
        said = (done.stdout + done.stderr).strip()[-500:]
        raise DebianMissingError(f"no Debian to boot can be had: {command[0]} failed: {said}")
