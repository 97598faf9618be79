"""Searches that would breed: a trial's script that starts a search over its own kind makes trials without end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .. import lineage
from ..errors import UsageError

if TYPE_CHECKING:
    from ...events.parts import Script
    from ..pipelines.preparing import Base

TRIAL_TAG: Final = "opt: "
"""What the tag of a trial begins with, as in ClearML; the search's task follows."""


def refuse_own_kind(base: Base) -> None:
    """Raise `UsageError` where this process runs a trial, and of the same script as the base task."""
    running = lineage.assigned()
    spec = None if running is None else running.spec
    if running is None or spec is None or not any(tag.startswith(TRIAL_TAG) for tag in spec.tags):
        return
    if base.task == running.task or _code(spec.script) == _code(base.spec.script):
        raise UsageError(
            f"task {running.task} is a trial, and its script starts a search over tasks of that same script: their "
            "trials would start searches of their own, without end. Have the search in a script of its own, or start "
            "it only where the task is no trial."
        )


def _code(script: Script) -> tuple[str, str, str]:
    """Which script it is, whatever its commit."""
    return script.repository, script.entry_point, script.source
