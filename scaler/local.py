"""Machines that are none: agents as processes of this machine, to try a scaler out and for tests.

They go on without the scaler. Each has a note in the scaler's folder, so that a scaler that starts again knows them.
The note is there before the process: who finds one that names none looks for the process, which carries its instance.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import psutil

from ..events.instance_events import Placement
from .provider import Described, Launched, Order, Refused

INSTANCE: Final = "TASKTAPE_INSTANCE"
KEPT_SECONDS: Final = 3600.0
"""How long an ended agent's note and console are kept."""


class LocalProvider:
    """Starts `tasktape agent` processes. `folder` holds a note and a console of each."""

    name = "local"

    def __init__(self, folder: Path, minutes_idle: float) -> None:
        self._folder = folder
        self._minutes_idle = minutes_idle
        self._children: dict[int, subprocess.Popen[bytes]] = {}
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def launch(self, orders: Sequence[Order]) -> list[Launched | Refused]:
        """Start a process for each order, unless there is one already."""
        self._forget()
        return [self._launch(order) for order in orders]

    def describe(self) -> list[Described]:
        """All processes there are notes of, those that ended a while ago too."""
        self._reap()
        return [_described(noted) for _, noted in self._notes() if noted["machine"]]

    def terminate(self, machines: Sequence[str]) -> None:
        """Have agents leave at once: what they run goes back to its queue."""
        for machine in machines:
            if (process := _process(machine)) is not None:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.send_signal(signal.SIGTERM)

    def close(self) -> None:
        """Let go; the agents go on."""
        self._reap()

    def _launch(self, order: Order) -> Launched | Refused:
        note = self._folder / f"{order.instance}.json"
        if machine := next((noted["machine"] for path, noted in self._notes() if path == note), ""):
            return Launched(order.instance, machine)
        try:
            _write(note, _noted(order, ""))
            child = self._start(order)
            machine = _name(psutil.Process(child.pid))
        except (OSError, psutil.Error) as error:
            return Refused(order.instance, "provider", str(error))
        self._children[child.pid] = child
        _write(note, _noted(order, machine))
        return Launched(order.instance, machine)

    def _start(self, order: Order) -> subprocess.Popen[bytes]:
        options = [part for queue in order.queues for part in ("--queue", queue)]
        options += [*order.kind.agent_options(), "--preemptible", "--max-idle-min", str(self._minutes_idle)]
        options += [str(option) for option in order.kind.provider.get("agent_options", ())]
        command = [sys.executable, "-m", "tasktape.cli.main", "agent", *options]
        with (self._folder / f"{order.instance}.log").open("ab") as console:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                env=os.environ | {INSTANCE: order.instance},
                start_new_session=True,
            )

    def _notes(self) -> Iterator[tuple[Path, dict[str, Any]]]:
        """All notes; one whose writer died before it knew the process is completed, if there is such a process."""
        for note in sorted(self._folder.glob("*.json")):
            with contextlib.suppress(OSError, ValueError):
                noted = json.loads(note.read_text(encoding="utf-8"))
                if not noted["machine"] and (machine := _started(noted["instance"])):
                    noted["machine"] = machine
                    _write(note, noted)
                yield note, noted

    def _forget(self) -> None:
        """Remove notes and consoles of agents that ended long ago."""
        for note, noted in self._notes():
            if time.time() - note.stat().st_mtime > KEPT_SECONDS and _process(noted["machine"]) is None:
                note.unlink()
                note.with_suffix(".log").unlink(missing_ok=True)

    def _reap(self) -> None:
        """Take note of ended children, which are zombies until then."""
        for pid in [pid for pid, child in self._children.items() if child.poll() is not None]:
            del self._children[pid]


def _noted(order: Order, machine: str) -> dict[str, Any]:
    return {
        "machine": machine,
        "instance": order.instance,
        "resource": order.resource,
        "queues": list(order.queues),
        "slots": order.kind.slots,
        "placement": order.placement.model_dump(),
    }


def _described(note: dict[str, Any]) -> Described:
    return Described(
        note["machine"],
        note["instance"],
        note["resource"],
        note["queues"],
        Placement.model_validate(note["placement"]),
        "running" if _process(note["machine"]) is not None else "gone",
        note["slots"],
    )


def _name(process: psutil.Process) -> str:
    """A process for ever: its number alone is given to others later."""
    return f"{process.pid}@{process.create_time():.2f}"


def _started(instance: str) -> str:
    """The machine of an instance by what its process carries, as all do that it started; empty where there is none."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get(INSTANCE) == instance and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    with contextlib.suppress(psutil.Error):
        return _name(min(found, key=psutil.Process.create_time)) if found else ""
    return ""


def _process(machine: str) -> psutil.Process | None:
    try:
        process = psutil.Process(int(machine.partition("@")[0] or -1))
        is_it = _name(process) == machine and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return None
    return process if is_it else None


def _write(file: Path, note: dict[str, Any]) -> None:
    """Write a note whole or not at all."""
    part = file.with_suffix(".part")
    part.write_text(json.dumps(note), encoding="utf-8")
    part.replace(file)
