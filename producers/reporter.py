"""What all `report_*` methods stand on: the task they speak for, and how a report becomes an event without raising."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec, Protocol, TypeVar, cast

from ..events.report_events import MediaReported, PlotReported
from .figures import figure_json
from .images import Payload
from .numbers import as_step, clamp
from .text import as_name
from .warn import warn_once

if TYPE_CHECKING:
    from ..events.base import Event, Meta
    from ..events.parts import BlobRef
    from ..events.settings import Settings
    from .outbox import Outbox

INLINE_BYTES: Final = 256 << 10

P = ParamSpec("P")
R = TypeVar("R", bound="Reporter")


class Speaker(Protocol):
    """What a reporter needs of a session."""

    outbox: Outbox
    settings: Settings

    def stamp(self) -> Meta:
        """Envelope of the next event."""


class Subject(Protocol):
    """What a reporter needs of a task."""

    @property
    def id(self) -> str:
        """The task's id."""

    @property
    def run(self) -> int:
        """The run that reports belong to."""

    @property
    def _session(self) -> Speaker: ...

    def get_initial_iteration(self) -> int:
        """What is added to each iteration."""


def never_raises(method: Callable[Concatenate[R, P], None]) -> Callable[Concatenate[R, P], None]:
    """Warn once where a report can't be made, and go on: nothing that is reported may break training."""

    @functools.wraps(method)
    def guarded(self: R, *args: P.args, **kwargs: P.kwargs) -> None:
        try:
            method(self, *args, **kwargs)
        except Exception as error:  # noqa: BLE001  whatever strangers' objects raise
            name = getattr(method, "__name__", "report")
            warn_once(f"{name}_{type(error).__name__}", f"{name}{_beginning(args)} was left out: {error}")

    return cast("Callable[Concatenate[R, P], None]", guarded)


def _beginning(args: tuple[Any, ...]) -> str:
    return f"({', '.join(f'{value!r:.40}' for value in args[:2])}, …)"


class Reporter:
    """Reports for one task."""

    def __init__(self, task: Subject) -> None:
        self._task = task
        self._upload_destination: str | None = None

    @property
    def _session(self) -> Speaker:
        return self._task._session  # noqa: SLF001  `Subject` is ours

    def _emit(self, event: Event) -> None:
        self._session.outbox.emit(event)

    def _place(self, title: Any, series: Any, iteration: Any) -> dict[str, Any]:
        """The fields that every report has."""
        step = clamp(as_step(iteration) + self._task.get_initial_iteration())
        return {
            "meta": self._session.stamp(),
            "task": self._task.id,
            "run": self._task.run,
            "title": as_name(title),
            "series": as_name(series),
            "iteration": step,
        }

    def _report_figure(self, title: Any, series: Any, iteration: Any, figure: Any) -> None:
        """Report a plotly figure: within the event up to 256 KiB, else from the blob store."""
        text = figure_json(figure)
        data = text.encode("utf-8", "backslashreplace")
        if len(data) > INLINE_BYTES:
            blob = self._upload(Payload(data, "application/json", "plot.json"))
            self._emit(PlotReported(**self._place(title, series, iteration), blob=blob))
        else:
            self._emit(PlotReported(**self._place(title, series, iteration), figure=data.decode()))

    def _report_payload(self, title: Any, series: Any, iteration: Any, payload: Payload) -> None:
        """Report an image or other media from the blob store."""
        blob = self._upload(payload)
        self._report_media_at(title, series, iteration, payload.content_type, blob=blob)

    def _report_media_at(
        self,
        title: Any,
        series: Any,
        iteration: Any,
        content_type: str,
        *,
        blob: BlobRef | None = None,
        url: str = "",
    ) -> None:
        place = self._place(title, series, iteration)
        kind = content_type.partition("/")[0] or "media"
        self._emit(MediaReported(**place, kind=kind, content_type=content_type, blob=blob, url=url))

    def _upload(self, payload: Payload) -> BlobRef:
        destination = self._upload_destination or self._session.settings.blobs
        return self._session.outbox.upload(destination, payload)
