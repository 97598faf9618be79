"""Appending one event to the log from a command, and waiting until it is there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .output import progress

if TYPE_CHECKING:
    from ..events.base import Event


def append(event: Event, doing: str) -> None:
    """Append an event to the log of the settings, made with all topics; says what it does meanwhile.

    Raises `RecordRefusedError` where the log will never take it, `LogUnavailableError` where it does not answer.
    """
    from ..events.settings import load_settings  # noqa: PLC0415  see `reading`
    from ..events.topics import TOPICS  # noqa: PLC0415  the same
    from ..producers.queue_desk import deliver  # noqa: PLC0415  the same

    settings = load_settings()
    with progress(doing), settings.open_log() as log:
        log.create_topics(TOPICS)
        deliver(log, settings.codec(), [event])
