"""Puts the parts of capture to work for one task, after the user's switches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from .. import lineage
from ..ending import Uninstall
from . import binding_matplotlib, binding_models, binding_tensorboard, binding_training
from .argument_watch import watch
from .arguments import is_chosen
from .console import LOG_STREAM, ConsoleTap
from .entry import find_entry
from .environment import connect_environment
from .exit_watch import ExitWatch
from .import_hook import ImportHook
from .imports import silence_warnings
from .machine import monitor
from .model_files import ModelFiles
from .notebook import follow_notebook
from .patches import Patches, safely

if TYPE_CHECKING:
    from ..task import Task
    from ..task_init import Connections


Part = Callable[[], Uninstall | None]


def install(task: Task, connections: Connections) -> list[Uninstall]:
    """Begin each part; one that can't begin is left out with a warning."""
    silence_warnings()
    return _begun(
        {
            "console": lambda: _listen(task, connections.streams),
            "arguments": lambda: _watch_arguments(task, connections),
            "environment": lambda: connect_environment(task, watch.arguments),
            "frameworks": lambda: _bind(task, connections.frameworks),
            "machine load": lambda: _monitor(task, connections.monitoring),
            "notebook": lambda: follow_notebook(lambda: task._describe(find_entry(), connections.frameworks)),  # noqa: SLF001
            "end": ExitWatch(task.end).install,
        }
    )


def join(task: Task) -> list[Uninstall]:
    """Begin what a process does that takes part in its parent's run: it has a console and frameworks of its own."""
    return _begun({"console": lambda: _listen(task, streams=True), "frameworks": lambda: _bind(task, frameworks=True)})


def _begun(parts: Mapping[str, Part]) -> list[Uninstall]:
    begun = (safely(what, begin) for what, begin in parts.items())
    return [undo for undo in begun if undo is not None]


def _listen(task: Task, streams: Any) -> Uninstall:
    """Listen to the console. An agent hears the streams of the process it started by itself, but no log records."""
    assigned = lineage.assigned()
    heard_by_agent = assigned is not None and not assigned.simulated

    def write(stream: str, text: str) -> None:
        if stream == LOG_STREAM or not heard_by_agent:
            task._session.outbox.console(task.id, task.run).write(stream, text)  # noqa: SLF001  its way to speak

    return ConsoleTap(write).listen(streams)


def _watch_arguments(task: Task, connections: Connections) -> Uninstall:
    watch.start()
    watch.arguments.attach(task, connections.arguments, connections.frameworks)
    return watch.stop


def _bind(task: Task, frameworks: Any) -> Uninstall | None:
    """Watch the frameworks that are switched on: those not mentioned are, but none where none is mentioned."""
    if not frameworks:
        return None
    hook, patches, files = ImportHook(), Patches(), ModelFiles(task)

    def choice(key: str) -> Any:
        return frameworks.get(key, True) if isinstance(frameworks, Mapping) else True

    def unbind() -> None:
        hook.remove()
        patches.undo()
        files.settle()

    if choice("matplotlib"):
        binding_matplotlib.install(hook, patches, task)
    if choice("tensorboard"):
        binding_tensorboard.install(hook, patches, task, choice("tensorboard"))
    binding_models.install(hook, patches, files, choice)
    binding_training.install(hook, patches, task, choice)
    return unbind


def _monitor(task: Task, monitoring: Any) -> Uninstall | None:
    """Watch the machine; a mapping gives ClearML's timings."""
    is_on = is_chosen(monitoring, "*") if isinstance(monitoring, Mapping) else bool(monitoring)
    return monitor(task, monitoring if isinstance(monitoring, Mapping) else None).start() if is_on else None
