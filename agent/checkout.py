"""Brings a task's code to this machine, and says how to start it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..events.errors import BlobError, TasktapeError
from ..events.parts import Script
from ..producers.capture.git import GitError
from ..producers.capture.git_access import Credentials, GitAccess
from ..producers.capture.materialise import Checkout, materialise

if TYPE_CHECKING:
    from ..events.settings import Settings


class CheckoutError(TasktapeError):
    """A task's code can't be brought to this machine; `transient` says that another attempt may go better."""

    def __init__(self, error: Exception) -> None:
        super().__init__(f"the task's code can't be laid out: {error}")
        self.transient = isinstance(error, GitError | BlobError | OSError)


@dataclass(frozen=True)
class Program:
    """What to start, after the interpreter: arguments, the folder to start in, and where modules are looked for.

    The last of `roots` is the whole checkout's; `mirror` is the repository it is a worktree of.
    """

    arguments: tuple[str, ...]
    folder: Path
    roots: tuple[Path, ...]
    commit: str
    mirror: Path | None


def git_access(settings: Settings) -> GitAccess:
    """What the settings say of private repositories."""
    found = {
        name: Credentials(host.user, host.token.get_secret_value(), host.ssh_key) for name, host in settings.git.items()
    }
    return GitAccess(found)


def check_out(script: Script, target: Path, mirrors: Path, access: GitAccess) -> Program:
    """Lay the script out in `target`. Raises `CheckoutError`."""
    try:
        checkout = materialise(script, target, mirrors=mirrors, access=access)
    except (TasktapeError, OSError) as error:
        raise CheckoutError(error) from error
    return _program(script, checkout)


def _program(script: Script, checkout: Checkout) -> Program:
    module = checkout.entry_point.removeprefix("-m ").strip()
    start = ("-m", module) if checkout.entry_point.startswith("-m ") else (checkout.entry_point,)
    roots = tuple(dict.fromkeys((checkout.working_dir, checkout.root)))
    return Program((*start, *script.arguments), checkout.working_dir, roots, checkout.commit, checkout.mirror)
