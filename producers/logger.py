"""`Logger`: the one object through which a script reports, with the names and defaults of ClearML's.

No `report_*` method raises or waits for a network. `report_scalar` writes one record into the process's journal, about
a microsecond; everything else is an event of its own.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import sys
import weakref
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

from ..events.report_events import SingleValueReported
from . import lineage
from .logger_media import MediaMixin
from .logger_plots import PlotsMixin
from .numbers import as_value
from .reporter import Subject, never_raises
from .text import as_name, as_text, shown
from .warn import warn_once

if TYPE_CHECKING:
    from .console_batch import ConsoleBatcher
    from .scalar_writer import ScalarWriter

FLUSH_SECONDS = 10.0


class Logger(PlotsMixin, MediaMixin):
    """Reports for one task. Get it from `task.get_logger()` or `Logger.current_logger()`. Thread-safe.

    Titles and series are any text; longer than 10,000 characters they are cut. NaN and infinity are kept as they are,
    unless `set_reporting_nan_value` and `set_reporting_inf_value` say what to report instead.
    """

    _instead_of: ClassVar[dict[str, float]] = {}
    _history: ClassVar[int] = 100
    _group_scalars: ClassVar[bool] = False
    _single_series: ClassVar[bool] = False

    def __init__(self, task: Subject) -> None:
        super().__init__(task)
        self._writer: ScalarWriter | None = None
        self._flush_period: float | None = None
        _loggers.add(self)

    @classmethod
    def current_logger(cls) -> Logger | None:
        """Return the logger of the task that this process runs, None where there is none."""
        from .task import Task  # noqa: PLC0415  it imports this module

        task = Task.current_task()
        return None if task is None else task.get_logger()

    def report_scalar(self, title: str, series: str, value: float, iteration: int | None = None) -> None:
        """Report a point of a curve. It survives this process as soon as the call is back.

        Args:
            title: The metric: curves of one title share a plot.
            series: The variant: the curve's name.
            value: Anything `float` takes. What it doesn't take is warned about once and left out.
            iteration: The point's place: None is 0, fractions are cut, what 64 bits can't hold is clipped.

        """
        try:
            writer = self._writer or self._bind()
            if self._instead_of:
                value = self._replaced(value)
            writer.report(title, series, value, iteration)
        except Exception as error:  # noqa: BLE001  nothing that is reported may break training
            warn_once("report_scalar", f"report_scalar({shown(title)}, …) was left out: {error!r}")

    def _bind(self) -> ScalarWriter:
        writer = self._session.outbox.scalars(self._task.id, self._task.run)
        writer.offset = self._task.get_initial_iteration()
        self._writer = writer
        return writer

    def _replaced(self, value: Any) -> float:
        """What is to be reported for a value."""
        number = as_value(value)
        if math.isnan(number):
            return self._instead_of.get("nan", number)
        if math.isinf(number) and "inf" in self._instead_of:
            return math.copysign(self._instead_of["inf"], number) if self._instead_of["inf"] else 0.0
        return number

    @never_raises
    def report_single_value(self, name: str, value: float) -> None:
        """Report a value that has no iteration, such as a final score. The same name again replaces it."""
        number = self._replaced(value)
        place = {"meta": self._session.stamp(), "task": self._task.id, "run": self._task.run}
        self._emit(SingleValueReported(**place, name=as_name(name), value=number))

    @never_raises
    def report_text(self, msg: str, level: int = logging.INFO, print_console: bool = True, *_: Any, **__: Any) -> None:
        """Add a text to the console of the task.

        Args:
            msg: The text; it may have several lines.
            level: One of `logging`'s; what is below that of the logger `tasktape` is left out.
            print_console: Whether to print it here too.

        """
        if level < logging.getLogger("tasktape").level:
            return
        text, console = as_text(msg), self._console
        if not (print_console and _is_heard_by_agent()):
            console.write("log", f"{text}\n")
            console.emit()
        if print_console:
            with console.muted(), contextlib.suppress(OSError, ValueError):  # a closed stdout is not our business
                print(text, file=sys.stdout, flush=True)  # noqa: T201  that is what was asked for

    @property
    def _console(self) -> ConsoleBatcher:
        return self._session.outbox.console(self._task.id, self._task.run)

    @contextlib.contextmanager
    def capture_logging(self) -> Iterator[Logger]:
        """Report what goes through Python's `logging` while the context is open, unless the task hears it anyway."""
        if logging.Logger.callHandlers.__module__ != logging.__name__:
            yield self
            return
        handler = _ConsoleHandler(self)
        handler.setFormatter(logging.Formatter("%(asctime)s - %(name)s - %(levelname)s - %(message)s"))
        root = logging.getLogger()
        root.addHandler(handler)
        try:
            yield self
        finally:
            root.removeHandler(handler)

    def flush(self, wait: bool = False) -> bool:
        """Bring what was reported to the log or into the spool, `wait`: to the log; whether all is there in 10 s."""
        outbox = self._session.outbox
        return outbox.synced(FLUSH_SECONDS) if wait else outbox.flush(FLUSH_SECONDS)

    def set_flush_period(self, period: float | None) -> None:
        """Accepted: what is reported is on its way within a fifth of a second, whatever the period."""
        self._flush_period = period

    def get_flush_period(self) -> float | None:
        """Return what `set_flush_period` was given."""
        return self._flush_period

    def set_default_upload_destination(self, uri: str | None) -> None:
        """Send images and other files to this folder or `s3://bucket/prefix`; None: to the blob store as set."""
        self._upload_destination = uri

    def get_default_upload_destination(self) -> str:
        """Return where images and other files go."""
        return self._destination

    @classmethod
    def set_reporting_nan_value(cls, value: float, warn_period: int = 1000) -> None:
        """Report this instead of NaN from now on; NaN itself: keep it."""
        del warn_period
        cls._replace("nan", value)

    @classmethod
    def set_reporting_inf_value(cls, value: float, warn_period: int = 1000) -> None:
        """Report this instead of infinity from now on, with infinity's sign; infinity itself: keep it."""
        del warn_period
        cls._replace("inf", value)

    @classmethod
    def _replace(cls, name: str, value: float) -> None:
        others = {known: number for known, number in Logger._instead_of.items() if known != name}
        Logger._instead_of = others | ({name: float(value)} if math.isfinite(value) else {})

    @classmethod
    def set_default_debug_sample_history(cls, max_images: int) -> None:
        """Accepted: all images are kept."""
        Logger._history = max_images

    @classmethod
    def get_default_debug_sample_history(cls) -> int:
        """Return what `set_default_debug_sample_history` was given."""
        return Logger._history

    @classmethod
    def tensorboard_auto_group_scalars(cls, group_scalars: bool = False) -> None:
        """Put TensorBoard's scalars of one section (`section/name`) into one plot, or each into its own."""
        Logger._group_scalars = group_scalars

    @classmethod
    def get_tensorboard_auto_group_scalars(cls) -> bool:
        """Return whether TensorBoard's scalars are grouped by section."""
        return Logger._group_scalars

    @classmethod
    def tensorboard_single_series_per_graph(cls, single_series: bool = False) -> None:
        """Give each of TensorBoard's curves a plot of its own, also those of several writers, or not."""
        Logger._single_series = single_series

    @classmethod
    def get_tensorboard_single_series_per_graph(cls) -> bool:
        """Return whether each of TensorBoard's curves has a plot of its own."""
        return Logger._single_series


def _is_heard_by_agent() -> bool:
    """Whether an agent started this process, and so hears what it prints."""
    task = os.environ.get(lineage.TASK_ID, "")
    return bool(task) and os.environ.get(lineage.SIMULATED) != task


class _ConsoleHandler(logging.Handler):
    """Writes log records to a task's console."""

    def __init__(self, logger: Logger) -> None:
        super().__init__()
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(Exception):  # a record that can't be formatted is its author's business
            self._logger._console.write("log", f"{self.format(record)}\n")  # noqa: SLF001  one module


_loggers: weakref.WeakSet[Logger] = weakref.WeakSet()


def _forked() -> None:
    for logger in list(_loggers):
        logger._writer = None  # noqa: SLF001  one module


os.register_at_fork(after_in_child=_forked)
