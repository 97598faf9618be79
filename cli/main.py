"""The command `tasktape`: which commands there are, and what becomes of errors.

Every error tasktape knows ends as one sentence on standard error and an exit code of `exit_codes`; no traceback.
"""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperGroup

from ..events.errors import TasktapeError
from . import (
    acls,
    agent,
    audit,
    dashboard,
    demo,
    demo_pipelines,
    doctor,
    drain,
    exit_codes,
    init,
    limits,
    pipelines,
    queue_changes,
    queues,
    serve,
    sync,
    task_changes,
    task_logs,
    task_page,
    tasks,
    version,
    workers,
)
from .options import OptionalValues
from .output import note

_SETTINGS = {"help_option_names": ["-h", "--help"]}
_CODES = "\b\nExit codes:\n" + "\n".join(f"{code:>5}  {text}" for code, text in exit_codes.MEANINGS.items())


class Commands(TyperGroup):
    """Runs a command and turns errors into a sentence and an exit code."""

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
        cls=Commands,
        help=text,
        epilog=epilog,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings=_SETTINGS,
    )


def add(below: typer.Typer, name: str, function: Callable[..., None]) -> None:
    """Add a command; the examples of its docstring go below its options."""
    text, _, examples = inspect.cleandoc(function.__doc__ or "").partition("\n\nExamples:\n")
    epilog = f"\b\nExamples:\n{examples}" if examples else None
    below.command(name, cls=OptionalValues, help=text, epilog=epilog, context_settings=_SETTINGS)(function)


Named = tuple[tuple[str, Callable[..., None]], ...]

_TOP: Named = (
    ("init", init.init),
    ("demo", demo.demo),
    ("demo pipeline", demo_pipelines.demo_pipelines),
    ("agent", agent.agent),
    ("agent drain", drain.drain),
    ("workers", workers.list_workers),
    ("workers list", workers.list_workers),
    ("serve", serve.serve),
    ("dashboard", dashboard.dashboard),
    ("audit", audit.audit),
    ("sync", sync.sync),
    ("acls", acls.acls),
    ("doctor", doctor.doctor),
    ("version", version.version),
)
_TASKS: Named = (
    ("list", tasks.list_tasks),
    ("show", task_page.show_task),
    ("logs", task_logs.task_logs),
    ("enqueue", task_changes.enqueue),
    ("dequeue", task_changes.dequeue),
    ("clone", task_changes.clone),
    ("abort", task_changes.abort),
    ("reset", task_changes.reset),
    ("archive", task_changes.archive),
)
_QUEUES: Named = (
    ("list", queues.list_queues),
    ("show", queues.show_queue),
    ("create", queue_changes.create_queue),
    ("delete", queue_changes.delete_queue),
    ("pause", queue_changes.pause_queue),
    ("resume", queue_changes.resume_queue),
    ("clear", queue_changes.clear_queue),
    ("move", queue_changes.move),
)
_PIPELINES: Named = (
    ("list", pipelines.list_pipelines),
    ("show", pipelines.show_pipeline),
    ("run", pipelines.run_pipeline),
)
_LIMITS: Named = (
    ("list", limits.list_limits),
    ("set", limits.set_limit),
    ("remove", limits.remove_limit),
)


def commands() -> typer.Typer:
    """All commands there are."""
    whole = group("Track, queue and run ML tasks; every fact about them is an event on a message log.", _CODES)
    for name, function in _TOP:
        add(whole, name, function)
    for name, text, found in (
        ("tasks", "List, inspect and change tasks.", _TASKS),
        ("queues", "List, inspect and change queues and what waits in them.", _QUEUES),
        ("pipelines", "List, inspect and run pipelines.", _PIPELINES),
        ("limits", "List, set and lift limits on how many runs are under way at once.", _LIMITS),
    ):
        below = group(text)
        for command, function in found:
            add(below, command, function)
        whole.add_typer(below, name=name)
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
