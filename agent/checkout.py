"""Brings a task's code to this machine, and says how to start it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..events.errors import BlobError, TasktapeError
from ..events.parts import Script
from ..producers.capture.git import GitError
from ..producers.capture.materialise import Checkout, materialise


class CheckoutError(TasktapeError):
    """A task's code can't be brought to this machine; `transient` says that another attempt may go better."""

    def __init__(self, error: Exception) -> None:
        super().__init__(f"the task's code can't be laid out: {error}")
        self.transient = isinstance(error, GitError | BlobError | OSError)


@dataclass(frozen=True)
class Program:
    """What to start, after the interpreter: arguments, the folder to start in, and where modules are looked for."""

    arguments: tuple[str, ...]
    folder: Path
    roots: tuple[Path, ...]
    commit: str


def check_out(script: Script, target: Path, mirrors: Path) -> Program:
    """Lay the script out in `target`. Raises `CheckoutError`."""
    try:
        checkout = materialise(script, target, mirrors=mirrors)
    except (TasktapeError, OSError) as error:
        raise CheckoutError(error) from error
    return _program(script, checkout)


def _program(script: Script, checkout: Checkout) -> Program:
    module = checkout.entry_point.removeprefix("-m ").strip()
    start = ("-m", module) if checkout.entry_point.startswith("-m ") else (checkout.entry_point,)
    roots = tuple(dict.fromkeys((checkout.working_dir, checkout.root)))
    return Program((*start, *script.arguments), checkout.working_dir, roots, checkout.commit)
