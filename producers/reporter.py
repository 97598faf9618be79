"""What all `report_*` methods stand on: the task they speak for, and how a report becomes an event without raising."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec, Protocol, TypeAlias, TypeVar, cast

from ..events.blobs import FolderStore, open_blob_store
from ..events.errors import BlobError
from ..events.report_events import MediaReported, PlotReported
from .figures import figure_json
from .images import Payload, content_type_of
from .numbers import as_step, clamp
from .outputs import outputs_of
from .text import as_name, shown
from .uploader import Content
from .warn import warn_once

if TYPE_CHECKING:
    from ..events.base import Event
    from ..events.parts import BlobRef
    from .session import Session

INLINE_BYTES: Final = 256 << 10
_KINDS: Final = {"text/html": "html"}
"""Kinds of media that their type's first half does not name; `text` is that of texts, which are no media."""

Fields: TypeAlias = dict[str, Any]
P = ParamSpec("P")
R = TypeVar("R", bound="Reporter")


class Subject(Protocol):
    """What a reporter needs of a task."""

    @property
    def id(self) -> str:
        """The task's id."""

    @property
    def run(self) -> int:
        """The run that reports belong to."""

    @property
    def _session(self) -> Session: ...

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
            warn_once(f"{name}_{type(error).__name__}", f"{name}{_beginning(args)} was left out: {error!r}")

    return cast("Callable[Concatenate[R, P], None]", guarded)


def _beginning(args: tuple[Any, ...]) -> str:
    return f"({', '.join(map(shown, args[:2]))}, …)"


class Reporter:
    """Reports for one task."""

    def __init__(self, task: Subject) -> None:
        self._task = task
        self._upload_destination: str | None = None
        self._furthest = 0

    @property
    def _session(self) -> Session:
        return self._task._session  # noqa: SLF001  `Subject` is ours

    def _emit(self, event: Event) -> None:
        self._session.outbox.emit(event)

    def _place(self, title: Any, series: Any, iteration: Any) -> Fields:
        """The fields that every report has."""
        step = clamp(as_step(iteration) + self._task.get_initial_iteration())
        self._furthest = max(self._furthest, step)
        return {
            "meta": self._session.stamp(),
            "task": self._task.id,
            "run": self._task.run,
            "title": as_name(title),
            "series": as_name(series),
            "iteration": step,
        }

    def last_iteration(self) -> int:
        """Return the largest iteration that was reported here so far, without asking the log."""
        furthest = max(self._furthest, self._session.outbox.drained_step(self._task.id))
        return max(0, furthest - self._task.get_initial_iteration())

    def _report_figure(self, title: Any, series: Any, iteration: Any, figure: Any) -> None:
        """Report a plotly figure: within the event up to 256 KiB, else from the blob store."""
        place = self._place(title, series, iteration)
        data = figure_json(figure).encode("utf-8", "backslashreplace")
        if len(data) > INLINE_BYTES:
            payload = Payload(data, "application/json", "plot.json")
            self._store(payload, place, lambda blob: PlotReported(**place, blob=blob))
        else:
            self._emit(PlotReported(**place, figure=data.decode()))

    def _report_payload(self, title: Any, series: Any, iteration: Any, payload: Payload) -> None:
        """Report an image or other media from the blob store."""
        place = self._place(title, series, iteration)
        self._store(payload, place, lambda blob: _media(place, payload.content_type, blob=blob))

    def _report_file(self, title: Any, series: Any, iteration: Any, path: Path, *, delete: bool) -> None:
        """Report what is in a file, from the blob store."""
        place = self._place(title, series, iteration)
        content_type = content_type_of(path.name)
        delete_then = (path,) if delete else ()
        content = Content(name=path.name, content_type=content_type, source=path, delete=delete_then)
        self._send(content, place, lambda blob: _media(place, content_type, blob=blob))

    def _report_address(self, title: Any, series: Any, iteration: Any, url: str) -> None:
        """Report what lies, and stays, at an address of the user's."""
        place = self._place(title, series, iteration)
        self._emit(_media(place, content_type_of(url.partition("?")[0]), url=url))

    @property
    def _destination(self) -> str:
        return self._upload_destination or self._session.settings.blobs

    def _store(self, payload: Payload, place: Fields, event_of: Callable[[BlobRef], Event]) -> None:
        """Bring a payload to the blob store: at once into a folder, else as uploads go."""
        store = open_blob_store(self._destination)
        if isinstance(store, FolderStore):
            with contextlib.suppress(BlobError):
                self._emit(event_of(store.put_bytes(payload.data, payload.content_type, payload.name)))
                return
        content = Content(payload.name, payload.content_type, write=lambda path: path.write_bytes(payload.data))
        self._send(content, place, event_of)

    def _send(self, content: Content, place: Fields, event_of: Callable[[BlobRef], Event]) -> None:
        key = f"{place['task']}/{place['title']}/{place['series']}"
        uploader = outputs_of(self._session).uploader
        uploader.send(
            content, self._destination, key, lambda blob, meta: event_of(blob).model_copy(update={"meta": meta})
        )


def _media(place: Fields, content_type: str, *, blob: BlobRef | None = None, url: str = "") -> MediaReported:
    kind = _KINDS.get(content_type) or content_type.partition("/")[0].replace("text", "file")
    return MediaReported(**place, kind=kind, content_type=content_type, blob=blob, url=url)
