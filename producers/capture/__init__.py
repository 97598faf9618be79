"""What a task finds out by itself: its code and packages, arguments, console, frameworks, machine, and how it ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..ending import Uninstall
    from ..task import Task
    from ..task_init import Connections

__all__ = ["install", "join"]


def install(task: Task, connections: Connections) -> list[Uninstall]:
    """Begin to capture for `task` what `connections` asks for.

    Returns:
        What undoes it, to be called in reverse order. Nothing is imported that the script has not imported, and none
        of it raises.

    """
    from .installation import install as begin  # noqa: PLC0415  agents use parts of this package, and none of that

    return begin(task, connections)


def join(task: Task) -> list[Uninstall]:
    """Begin to capture in a process that takes part in its parent's run: console and frameworks alone.

    Returns:
        What undoes it, to be called in reverse order.

    """
    from .installation import join as begin  # noqa: PLC0415  agents use parts of this package, and none of that

    return begin(task)
