"""Appending one event to the log from a command, and waiting until it is there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from ..events.errors import AppendError
from .output import progress

if TYPE_CHECKING:
    from ..events.base import Event
    from ..events.log import Delivery
    from ..events.topics import TopicSpec

FLUSH_SECONDS: Final = 30.0


def append(event: Event, doing: str, topics: Sequence[TopicSpec] = ()) -> None:
    """Append an event to the log of the settings, made with all topics and these; says what it does meanwhile.

    Raises `AppendError` where the log does not take it, `LogUnavailableError` where there is none.
    """
    from ..events.settings import load_settings  # noqa: PLC0415  see `reading`
    from ..events.topics import TOPICS  # noqa: PLC0415  the same
    from ..events.wire import append_event  # noqa: PLC0415  the same

    settings = load_settings()
    deliveries: list[Delivery] = []
    with progress(doing), settings.open_log() as log:
        log.create_topics([*TOPICS, *topics])
        append_event(log, event, codec=settings.codec(), on_delivery=deliveries.append)
        if log.flush(FLUSH_SECONDS):
            raise AppendError(f"{doing} did not succeed within {FLUSH_SECONDS:g} s: run `tasktape doctor`.")
    if error := deliveries[0].error:
        raise error
