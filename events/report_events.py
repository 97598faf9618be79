"""Events of what a run reports: scalars in columns, single values, plots, text, media and console lines."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from .base import Float32, Part, TaskEvent
from .parts import BlobRef


class Series(Part):
    """A metric (`title`) and its variant (`series`)."""

    title: str
    series: str


class ScalarsReported(TaskEvent):
    """A flush of scalars, columnar: point i belongs to `series[index[i]]`, has `steps[i]`, `times[i]` and a value.

    `steps` and `times` (µs since 1970) hold first value, then differences. Values are in `values32` where that
    loses nothing for the whole batch, else in `values64`; the other one is empty.
    """

    topic: ClassVar[str] = "tasktape.metrics"

    run: int
    series: list[Series]
    index: list[int]
    steps: list[int]
    times: list[int]
    values32: list[Float32]
    values64: list[float]


class SingleValueReported(TaskEvent):
    """One value that has no iteration, such as a final score; the same name again replaces it."""

    topic: ClassVar[str] = "tasktape.metrics"

    run: int
    name: str
    value: float


class ReportEvent(TaskEvent):
    """A report with a place in the task's pages: title, series, iteration."""

    topic: ClassVar[str] = "tasktape.reports"

    run: int
    title: str
    series: str
    iteration: int


class PlotReported(ReportEvent):
    """A plotly figure as JSON text, inline up to 256 KiB, else in the blob store."""

    figure: str = ""
    blob: BlobRef | None = None


class TextReported(ReportEvent):
    """A text that stands by itself."""

    text: str


class MediaReported(ReportEvent):
    """An image, sound, video or page: in the blob store, or at a `url` of the user's."""

    kind: str
    content_type: str
    blob: BlobRef | None = None
    url: str = ""


class ConsoleLine(Part):
    """One line of output; `at` is µs since 1970, `stream` is `stdout`, `stderr`, `log` or `agent`."""

    at: int
    stream: str
    text: str


class ConsoleWritten(TaskEvent):
    """A batch of console lines, in order."""

    topic: ClassVar[str] = "tasktape.console"

    run: int
    lines: list[ConsoleLine] = Field(default_factory=list)
