"""Several processes that a launcher such as `torchrun` starts side by side: the first has the task, the others join it.

They know each other by their common parent and `MASTER_PORT`, and meet at a file in the machine's temporary folder.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Final

from .lineage import Announced, announced, tell

WAIT_SECONDS: Final = 30.0
_PAUSE: Final = 0.02


def share(task: Announced) -> Callable[[], None] | None:
    """Let the other ranks find the task, if this is the first of several; returns what ends that."""
    path = _meeting_place()
    if path is None or _rank() != 0:
        return None
    path.parent.mkdir(mode=0o700, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}")
    temporary.write_text(json.dumps(asdict(task)), encoding="utf-8")
    temporary.replace(path)
    return lambda: path.unlink(missing_ok=True)


def join_first(timeout: float) -> Announced | None:
    """Wait for the first rank's task, if this is a later one; its children are told of it too.

    None where the first rank has no task within `timeout` seconds.
    """
    path = _meeting_place()
    if path is None or _rank() == 0:
        return None
    deadline = time.monotonic() + timeout
    while True:
        if text := _read(path):
            tell(text)
            if found := announced():
                return found
        if time.monotonic() >= deadline:
            return None
        time.sleep(_PAUSE)


def _rank() -> int:
    rank = os.environ.get("LOCAL_RANK", "")
    return int(rank) if rank.isdigit() else 0


def _meeting_place() -> Path | None:
    """Where the ranks of this launch meet; None where there is but one process."""
    if not os.environ.get("LOCAL_RANK") or not os.environ.get("MASTER_PORT"):
        return None
    folder = Path(tempfile.gettempdir()) / f"tasktape-ranks-{os.getuid()}"
    return folder / f"{os.getppid()}-{os.environ['MASTER_PORT']}.json"


def _read(path: Path) -> str:
    """What was left there by a user's own process; nothing that others could have put there counts."""
    try:
        return path.read_text(encoding="utf-8") if path.stat().st_uid == os.getuid() else ""
    except OSError:
        return ""
