"""What a pipeline shows while it runs: its graph and a table of its steps as plots of its task, and how far it is."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from ...projections.pipeline_fold import OVER, PipelineFold
from .figure import DETAILS, FLOW, execution_details, execution_flow

if TYPE_CHECKING:
    from ..task import Task

_EVERY_SECONDS: Final = 2.0


class Reporting:
    """Reports for a pipeline's task whenever it has changed, but not too often: a figure has all the steps in it."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._shown: object = None
        self._again_at = 0.0
        self._percent = 0

    def show(self, fold: PipelineFold, *, at_once: bool = False) -> None:
        """Report what has changed since the last time."""
        if not fold.steps or (time.monotonic() < self._again_at and not at_once):
            return
        state = (len(fold.steps), fold.changes)
        if state == self._shown:
            return
        began = time.monotonic()
        self._shown = state
        self._report(fold)
        self._again_at = began + max(_EVERY_SECONDS, 20 * (time.monotonic() - began))

    def _report(self, fold: PipelineFold) -> None:
        done = sum(step.status in OVER for step in fold.steps.values())
        percent = 100 * done // len(fold.steps)
        if percent != self._percent:
            self._percent = percent
            self._task.set_progress(percent)
        logger = self._task.get_logger()
        logger.report_plotly(*FLOW, iteration=0, figure=execution_flow(fold.steps))
        logger.report_table(*DETAILS, iteration=0, table_plot=execution_details(fold.steps))
