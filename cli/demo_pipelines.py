"""`tasktape demo pipeline`: runs the examples of pipelines, their steps at an agent, and shows what became of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..dashboard.formatting import duration
from .demo import DemoError, LogUrl
from .demo_examples import QUEUE, agent, examples, prepare, run
from .output import Column, note, print_table, status_text

if TYPE_CHECKING:
    from rich.text import Text

    from ..events.settings import Settings
    from ..projections.work_rows import PipelineRow, StepRow

SCRIPTS: Final = ("pipeline_from_tasks.py", "pipeline_from_functions.py", "pipeline_from_decorator.py")
_SLOTS: Final = 2
_MODULES: Final = ("sklearn", "joblib", "pandas", "skops")


def demo_pipelines(log: LogUrl = "") -> None:
    """See pipelines work: from tasks, from functions and from decorators, with an agent that runs their steps.

    Examples:
    $ tasktape demo pipeline
    $ tasktape demo pipeline --log kafka://localhost:9092
    """
    prepare(log, _MODULES)
    from ..events.settings import load_settings  # noqa: PLC0415  see `reading`

    settings = load_settings()
    note(f"Log: {settings.log}\nAn agent serves the queue {QUEUE!r}, {_SLOTS} steps at once.")
    with examples() as commands:
        serving = agent(commands, _SLOTS)
        for script in SCRIPTS:
            run(commands, script, [serving])
    _show(settings)


def _show(settings: Settings) -> None:
    from ..projections import open_queries  # noqa: PLC0415  see `reading`

    with open_queries(settings, fresh=True) as queries:
        pipelines = queries.pipelines(limit=len(SCRIPTS))[::-1]
        steps = [(pipeline, step) for pipeline in pipelines for step in queries.steps(pipeline.task)]
    columns = [
        Column("PIPELINE"),
        Column("STEP", grow=True),
        Column("STATUS"),
        Column("TIME", right=True),
        Column("TASK"),
    ]
    print_table(columns, [_cells(*pair) for pair in steps], "The projection knows no pipelines.")
    if failed := sorted({pipeline.name for pipeline, step in steps if step.status not in {"completed", "cached"}}):
        raise DemoError(f"{' and '.join(failed)}: not all steps completed. `tasktape pipelines show ID` tells why.")
    note("\nLook closer: `tasktape pipelines list`, or `tasktape dashboard`.")


def _cells(pipeline: PipelineRow, step: StepRow) -> list[str | Text]:
    seconds = (step.ended_at - step.started_at).total_seconds() if step.ended_at and step.started_at else None
    return [pipeline.name, step.name, status_text(step.status), duration(seconds), step.child[:12]]
