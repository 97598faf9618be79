"""A search that this process controls for the command line: shown while it runs, stopped by Ctrl-C."""

from __future__ import annotations

import json
import signal
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NoReturn

import typer

from ..dashboard.formatting import one_line
from ..events.errors import TasktapeError
from ..projections.search_rows import SearchRow, TrialRow
from . import exit_codes, watching
from .output import note
from .search_seen import Seen

if TYPE_CHECKING:
    from ..producers.search.optimizer import HyperParameterOptimizer
    from ..producers.task import Task
    from ..projections.search_fold import TrialState

_MOMENT: Final = 0.001
"""In minutes, as the optimizer counts."""
_BARE: Final[dict[str, Any]] = {
    "auto_connect_arg_parser": False,
    "auto_connect_frameworks": False,
    "auto_connect_streams": False,
    "auto_resource_monitoring": False,
}
"""What `Task.init` leaves alone in a process that is no script of the user's."""


def control(task_id: str, *, as_json: bool) -> None:
    """Run the search that a task describes, show how far it is, and end with the exit code that says what came of it.

    Ctrl-C stops the search, and its trials with it; so do SIGTERM and a terminal that is closed.
    """
    from ..producers.search.described import begin  # noqa: PLC0415  the SDK is for those who need it

    let_signals_interrupt()
    task, search = begin(task_id, **_BARE)
    note(f"{task.get_output_log_web_page()} shows it where `tasktape dashboard` runs. Ctrl-C stops it.")

    def look() -> Seen:
        return _seen(task, search)

    try:
        while search.fold.defined is None:
            search.wait(_MOMENT)
        watching.watch(look(), look, as_json=as_json, pause=lambda: search.wait(watching.PERIOD_SECONDS / 60))
        search.wait()
    except KeyboardInterrupt:
        _interrupted(task, search)
    except TasktapeError as error:
        task.mark_failed(status_reason=type(error).__name__, status_message=str(error))
        task.close()
        raise
    _end(task, search)


def let_signals_interrupt() -> None:
    """Take what would end this process at once for Ctrl-C, but for what is ignored, as under nohup."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)


def _interrupted(task: Task, search: HyperParameterOptimizer) -> NoReturn:
    """Leave no trial behind; whoever interrupts once more leaves them to end by themselves."""
    search.stop()
    note(_seen(task, search).summary(datetime.now(UTC)))
    task.mark_stopped(status_message="interrupted")
    task.close()
    raise typer.Exit(exit_codes.INTERRUPTED)


def _end(task: Task, search: HyperParameterOptimizer) -> None:
    """Say what has come of the search, in its exit code too."""
    task.close()
    note(f"`tasktape search show {task.id}` shows all trials, and with --html FILE its figures.")
    if search.fold.best is None:
        stopping = search.fold.stopping
        reason = stopping.reason if stopping else "there was nothing to try"
        note(f"tasktape: the search has found nothing: {one_line(reason, 400)}.")
        raise typer.Exit(exit_codes.FAILURE)


def _seen(task: Task, search: HyperParameterOptimizer) -> Seen:
    """A search that this process controls, as it would be read from the log."""
    is_active, fold = search.is_active(), search.fold
    trials, defined, stopping = list(fold.trials), fold.defined, fold.stopping
    statuses = Counter(trial.status for trial in trials)
    best = None if fold.best is None else trials[fold.best]
    assert defined is not None  # noqa: S101  see `control`
    told = defined.model_dump(mode="json")
    over = "completed" if stopping is None else "failed" if stopping.failed else "stopped"
    row = SearchRow(
        task=task.id,
        project=task.get_project_name(),
        name=task.name,
        status="in_progress" if is_active else over,
        run=task.run,
        base_task=defined.base_task,
        strategy=defined.strategy,
        queue=defined.queue,
        objectives=json.dumps(told["objectives"]),
        limits=json.dumps(told["limits"]),
        space=defined.space,
        trials=len(trials),
        completed=statuses["completed"],
        pruned=statuses["pruned"],
        failed=statuses["failed"] + statuses["aborted"],
        under_way=statuses["queued"] + statuses["running"],
        running=statuses["running"],
        spent=fold.spent,
        best=best.number if best else None,
        best_child=best.child if best else None,
        best_values=best.values if best else (),
        stopping_reason=stopping.reason if stopping else None,
        stopping_failed=stopping.failed if stopping else None,
        user="",
        tags=(),
        archived=False,
        created_at=fold.began_at or defined.meta.occurred_at,
        started_at=fold.began_at,
        ended_at=None,
    )
    return Seen(row, [_row(task.id, trial) for trial in trials])


def _row(task: str, trial: TrialState) -> TrialRow:
    from ..producers.parameters import encode, value_of  # noqa: PLC0415  the SDK is for those who need it

    return TrialRow(
        task=task,
        number=trial.number,
        child=trial.child,
        status=trial.status,
        values=trial.values,
        iteration=trial.iteration,
        seconds=trial.seconds,
        parameters=encode({held.name: value_of(held) for held in trial.parameters}),
        message=trial.message,
        queued_at=trial.queued_at,
        started_at=trial.started_at,
        ended_at=trial.ended_at,
    )
