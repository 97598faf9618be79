"""Looking at a thing again and again: drawn anew each second in a terminal, a line of JSON per change for programs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final, Protocol

from .output import console, print_json_line

if TYPE_CHECKING:
    from rich.console import RenderableType

PERIOD_SECONDS: Final = 1.0


class Look(Protocol):
    """Something as it was read."""

    @property
    def over(self) -> bool:
        """Whether there is nothing more to come."""

    def as_json(self) -> dict[str, Any]:
        """All of it, without anything that changes while nothing happens."""

    def drawn(self) -> RenderableType:
        """All of it for people, as of now."""


def watch(first: Look, again: Callable[[], Look], *, as_json: bool, pause: Callable[[], object] | None = None) -> None:
    """Look again until it is over; where nobody looks at a terminal, it is said whenever something has changed.

    `pause` is what is done in between; it may be over before its time.
    """
    looks = _looks(first, again, pause or _pause)
    if console().is_terminal and not as_json:
        _watch_live(first, looks)
        return
    before: dict[str, Any] | None = None
    for seen in looks:
        if (said := seen.as_json()) != before:
            before = said
            if as_json:
                print_json_line(said)
            else:
                console().print(seen.drawn())


def _watch_live(first: Look, looks: Iterator[Look]) -> None:
    from rich.live import Live  # noqa: PLC0415  see `console`

    with Live(first.drawn(), console=console(), auto_refresh=False) as live:
        for seen in looks:
            live.update(seen.drawn(), refresh=True)


def _looks(first: Look, again: Callable[[], Look], pause: Callable[[], object]) -> Iterator[Look]:
    yield (seen := first)
    while not seen.over:
        pause()
        yield (seen := again())


def _pause() -> None:
    time.sleep(PERIOD_SECONDS)
