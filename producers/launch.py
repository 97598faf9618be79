"""Runs a script or module that does not call `Task.init` as a task: `python -m tasktape.producers.launch SCRIPT …`."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path


def main(arguments: list[str]) -> None:
    """Begin the task, then become the script: `SCRIPT …`, or `-m MODULE …`."""
    from .task import Task  # noqa: PLC0415  the launcher costs nothing until it runs

    if not arguments:
        sys.exit("usage: python -m tasktape.producers.launch SCRIPT [ARGUMENT …] | -m MODULE [ARGUMENT …]")
    Task.init()
    if arguments[0] == "-m":
        sys.argv = arguments[1:]
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = arguments
        sys.path.insert(0, str(Path(arguments[0]).resolve().parent))
        runpy.run_path(arguments[0], run_name="__main__")


if __name__ == "__main__":
    main(sys.argv[1:])
