"""The command `tasktape`: which commands there are, and what becomes of errors.

Every error tasktape knows ends as one sentence on standard error and an exit code of `exit_codes`; no traceback.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any, Final

import typer
from typer.core import TyperGroup

from ..events.errors import TasktapeError
from . import exit_codes
from .commands import SETTINGS, Commands
from .output import note

_CODES = "\b\nExit codes:\n" + "\n".join(f"{code:>5}  {text}" for code, text in exit_codes.MEANINGS.items())
_PLACES: Final[dict[str, dict[str, str]]] = {
    "": {
        "init": "init.init",
        "demo": "demo.demo",
        "demo pipeline": "demo_pipelines.demo_pipelines",
        "demo search": "demo_search.demo_search",
        "demo scaler": "demo_scaler.demo_scaler",
        "agent": "agent.agent",
        "agent drain": "drain.drain",
        "scaler": "scaler.scaler",
        "scaler simulate": "scaler_simulate.simulate",
        "scaler init": "scaler_init.scaler_init",
        "scaler list": "scaler_list.list_scalers",
        "scaler plan": "scaler_plan.plan",
        "workers": "workers.list_workers",
        "workers list": "workers.list_workers",
        "serve": "serve.serve",
        "dashboard": "dashboard.dashboard",
        "audit": "audit.audit",
        "sync": "sync.sync",
        "acls": "acls.acls",
        "doctor": "doctor.doctor",
        "version": "version.version",
    },
    "tasks": {
        "list": "tasks.list_tasks",
        "show": "task_page.show_task",
        "logs": "task_logs.task_logs",
        "enqueue": "task_changes.enqueue",
        "dequeue": "task_changes.dequeue",
        "clone": "task_changes.clone",
        "abort": "task_changes.abort",
        "reset": "task_changes.reset",
        "archive": "task_changes.archive",
    },
    "queues": {
        "list": "queues.list_queues",
        "show": "queues.show_queue",
        "create": "queue_changes.create_queue",
        "delete": "queue_changes.delete_queue",
        "pause": "queue_changes.pause_queue",
        "resume": "queue_changes.resume_queue",
        "clear": "queue_changes.clear_queue",
        "move": "queue_changes.move",
    },
    "pipelines": {
        "list": "pipelines.list_pipelines",
        "show": "pipelines.show_pipeline",
        "run": "pipelines.run_pipeline",
    },
    "search": {
        "list": "search.list_searches",
        "show": "search.show_search",
        "run": "search_run.run_search",
        "resume": "search_run.resume_search",
    },
    "limits": {
        "list": "limits.list_limits",
        "set": "limits.set_limit",
        "remove": "limits.remove_limit",
    },
}
"""Where the commands are, `module.function`, by group and name."""


class Group(TyperGroup):
    """Runs a command and turns errors into a sentence and an exit code."""

    def __init__(self, *, name: str, commands: Mapping[str, Any], **attributes: Any) -> None:
        super().__init__(name=name, **attributes)
        self.commands = Commands(_PLACES[name], commands)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command that arguments name: by two words, too, where the first is a command of its own."""
        two = " ".join(args[:2])
        return super().resolve_command(ctx, [two, *args[2:]] if two in self.commands else args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command that the context names."""
        try:
            return super().invoke(ctx)
        except TasktapeError as error:
            note(f"tasktape: {error}")
            raise typer.Exit(exit_codes.exit_code_of(error)) from error
        except OSError as error:
            if isinstance(error, BrokenPipeError) or os.environ.get("TASKTAPE_DEBUG"):
                raise
            note(f"tasktape: {error.strerror or error}{f': {error.filename}' if error.filename else ''}.")
            raise typer.Exit(exit_codes.FAILURE) from error


def group(text: str, epilog: str | None = None) -> typer.Typer:
    """A group of commands."""
    return typer.Typer(
        cls=Group,
        help=text,
        epilog=epilog,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings=SETTINGS,
    )


def commands() -> typer.Typer:
    """All commands there are."""
    whole = group("Track, queue and run ML tasks; every fact about them is an event on a message log.", _CODES)
    for name, text in (
        ("tasks", "List, inspect and change tasks."),
        ("queues", "List, inspect and change queues and what waits in them."),
        ("pipelines", "List, inspect and run pipelines."),
        ("search", "List, inspect and run searches over parameters."),
        ("limits", "List, set and lift limits on how many runs are under way at once."),
    ):
        whole.add_typer(group(text), name=name)
    return whole


app = commands()


def main() -> int:
    """Run `tasktape` with the arguments of this process."""
    try:
        app()
    except Exception as error:  # the last resort: a sentence instead of a traceback
        if os.environ.get("TASKTAPE_DEBUG"):
            raise
        note(f"tasktape: unexpected {type(error).__name__}: {error}. TASKTAPE_DEBUG=1 shows where it comes from.")
        return exit_codes.FAILURE
    return exit_codes.OK


if __name__ == "__main__":
    sys.exit(main())
