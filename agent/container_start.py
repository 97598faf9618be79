"""What runs inside a container, with its own Python: builds an environment there, or becomes the task's program.

A script by itself that knows nothing of tasktape, started as `build REQUEST` or `run REQUEST`.
The request is a file, so that no variable's value is ever part of a command line or of the container's description.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any

NOT_COPIED = shutil.ignore_patterns(".*", "build", "tests", "*.egg-info", "__pycache__")


def build(request: dict[str, Any]) -> None:
    """Build an environment on top of the image's packages; where those meet everything, note their Python instead."""
    folder = Path(request["environment"])
    folder.mkdir(parents=True, exist_ok=True)
    python = sys.executable
    wanted = [*request["requirements"], *([] if is_met("tasktape==" + request["version"]) else [request["tasktape"]])]
    if not all(map(is_met, wanted)):
        make = [sys.executable, "-m", "venv", "--system-site-packages", "--without-pip"]  # the image's own pip is seen
        subprocess.run([*make, str(folder / "venv")], check=True)
        python = str(folder / "venv" / "bin" / "python")
        install(python, wanted)
    (folder / "python").write_text(python)


def is_met(requirement: str) -> bool:
    """Whether the image has exactly this version; whatever else is asked for is left to pip."""
    name, _, version = requirement.partition("==")
    try:
        return metadata.version(name.strip()) == version.strip()
    except (metadata.PackageNotFoundError, ValueError):
        return False


def install(python: str, requirements: list[str]) -> None:
    """Install from a file; of a folder a copy, since building one writes into it and it isn't ours."""
    with tempfile.TemporaryDirectory() as scratch:
        lines = [
            copied(line, scratch) if line.startswith("/") and Path(line).is_dir() else line for line in requirements
        ]
        listed = Path(scratch, "requirements.txt")
        listed.write_text("\n".join(lines) + "\n")
        command = [python, "-m", "pip", "--no-input", "--disable-pip-version-check", "install", "--requirement"]
        subprocess.run([*command, str(listed)], check=True)


def copied(folder: str, scratch: str) -> str:
    """A copy of a source folder."""
    return str(shutil.copytree(folder, Path(scratch, "source"), symlinks=True, ignore=NOT_COPIED))


def run(request: dict[str, Any]) -> None:
    """Become the program."""
    python = Path(request["environment"], "python").read_text()
    os.environ["PATH"] = os.pathsep.join([str(Path(python).parent), os.environ.get("PATH", os.defpath)])
    os.chdir(request["folder"])
    os.execv(  # noqa: S606  the program's own arguments
        python, [python, "-u", *request["arguments"]]
    )


def main(verb: str, file: str, stage: str = "set up") -> None:
    """Do what the request says, after the task's own set-up: what that exports is there afterwards."""
    request = json.loads(Path(file).read_text(encoding="utf-8"))
    if stage == "set up":
        os.environ.update(request["variables"])
    if request["setup"] and stage == "set up":
        shell = shutil.which("bash") or "/bin/sh"
        again = [sys.executable, __file__, verb, file, "ready"]
        os.execv(shell, [shell, "-e", "-c", request["setup"] + '\nexec "$0" "$@"', *again])  # noqa: S606  the task's
    (build if verb == "build" else run)(request)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except (OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
