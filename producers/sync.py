"""What dead processes left on this machine goes to the log: by the next process, by an agent, or by `tasktape sync`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from ..events.errors import LogUnavailableError
from .drain import RingDrain
from .forward import Forwarder, open_forwarder
from .ring import Ring, RingError
from .spool import Spool
from .spool_folder import REFUSED, SpoolFolder, left_behind, roots, spool_folders
from .text import counted

if TYPE_CHECKING:
    from pathlib import Path

    from ..events.settings import Settings

SILENCE_SECONDS: Final = 30.0

Progress = Callable[[int], object]
"""Told now and then how many records have been brought to the log."""


@dataclass(frozen=True)
class SyncReport:
    """What was brought on: `records` to the log, of so many dead `processes`, and `uploads` to where they go.

    So many uploads still wait (`uploads_waiting`), so many events the log refuses (`refused`), so many `live` processes
    keep what is theirs, and of so many `dead_runs` it was said that they have failed.
    """

    records: int
    processes: int
    live: int
    refused: int = 0
    uploads: int = 0
    uploads_waiting: int = 0
    dead_runs: int = 0

    def __str__(self) -> str:
        said = [
            (
                self.records,
                f"brought {counted(self.records, 'record')} of {counted(self.processes, 'process')} to the log",
            ),
            (
                self.refused,
                f"{counted(self.refused, 'event')} refused, kept in the spool's folder `{REFUSED}`",
            ),
            (self.uploads, f"brought {counted(self.uploads, 'upload')} to where they belong"),
            (
                self.uploads_waiting,
                f"{counted(self.uploads_waiting, 'upload')} waiting for a place that does not answer",
            ),
            (self.dead_runs, f"said that {counted(self.dead_runs, 'run')} failed, whose process was killed"),
            (self.live, f"left the rest to {counted(self.live, 'live process')}"),
        ]
        if not self._is_news:
            return "Nothing was left behind."
        text = "; ".join(text for number, text in said if number)
        return f"{text[0].upper()}{text[1:]}."

    @property
    def _is_news(self) -> bool:
        return any((self.has_brought, self.live, self.refused, self.uploads_waiting))

    @property
    def has_brought(self) -> bool:
        """Whether anything was brought on."""
        return any((self.records, self.uploads, self.dead_runs))


def sync(
    settings: Settings,
    progress: Progress = lambda _: None,
    *,
    stop: Callable[[], bool] = lambda: False,
    offer_refused: bool = True,
) -> SyncReport:
    """Bring all that dead processes left to the log, their uploads to where they go, and their runs to an end.

    What the log has refused before is offered again: it may have been a matter of permissions.

    Raises `LogUnavailableError`, or another error of the log's, where it does not take it: what it took is gone from
    the spools, the rest stays.
    """
    from .running import mark_dead_runs  # noqa: PLC0415  what stands on the outbox stands on this module
    from .session import Session  # noqa: PLC0415  the same
    from .uploader import recover_uploads  # noqa: PLC0415  the same

    report = recover(settings, stop=stop, progress=progress, offer_refused=offer_refused)
    uploads = recover_uploads(settings)
    with contextlib.closing(Session(settings)) as session:
        dead = mark_dead_runs(session)
    return replace(report, uploads=uploads.uploaded, uploads_waiting=uploads.waiting, dead_runs=len(dead))


def recover(
    settings: Settings,
    *,
    stop: Callable[[], bool] = lambda: False,
    progress: Progress = lambda _: None,
    offer_refused: bool = False,
) -> SyncReport:
    """Bring what dead processes left to the log until `stop` says otherwise. Live processes' spools are left alone.

    With `offer_refused` the log is offered again what it has refused before.
    """
    places = roots(settings)
    with contextlib.closing(_Rescue(settings, stop, progress)) as rescue:
        for root in places:
            rescue.bring_all(root)
            if offer_refused:
                rescue.offer_refused(root)
        if rescue.trouble is not None:
            raise rescue.trouble
    refused = sum(1 for root in places for _ in (root / REFUSED).glob("*.spool"))
    return SyncReport(rescue.records, rescue.processes, sum(len(spool_folders(root)) for root in places), refused)


class _Rescue:
    """One round of bringing to one log what is left; the log is opened when there is something."""

    def __init__(self, settings: Settings, stop: Callable[[], bool], progress: Progress) -> None:
        self._settings = settings
        self._stop = stop
        self._progress = progress
        self._forwarder: Forwarder | None = None
        self.trouble: Exception | None = None
        self.records = 0
        self.processes = 0

    def bring_all(self, root: Path) -> None:
        """Bring all folders on: one that can't be does not hold up the others, a log that is away does."""
        for folder in left_behind(root):
            try:
                if not self._bring(folder, root):
                    return
            except LogUnavailableError:
                raise
            except Exception as error:  # noqa: BLE001  whatever is wrong with one folder; it is raised in the end
                self.trouble = self.trouble or error

    def offer_refused(self, root: Path) -> None:
        for path in sorted((root / REFUSED).glob("*.spool")):
            self.records += self._way(root).offer_again(path, SILENCE_SECONDS)

    def _bring(self, folder: SpoolFolder, root: Path) -> bool:
        """Bring all of one folder; False when it had to stop."""
        try:
            with contextlib.closing(Spool.open(folder.path)) as spool:
                done = self._empty(list(_rings(folder.path)), spool, root)
        except BaseException:
            folder.release()
            raise
        if done:
            folder.remove()
            self.processes += 1
        else:
            folder.release()
        return done

    def _empty(self, rings: list[Ring], spool: Spool, root: Path) -> bool:
        drain = RingDrain(spool.append, _left_end)
        while not self._stop():
            while rings and drain.step(rings[0]):
                pass
            if rings and _is_empty(rings[0]):
                rings.pop(0).remove()
            elif spool:
                self._forward(spool, root)
            elif not rings:
                return True
        return False

    def _forward(self, spool: Spool, root: Path) -> None:
        self.records += self._way(root).forward(spool, self._gives_up)
        self._progress(self.records)

    def _way(self, root: Path) -> Forwarder:
        if self._forwarder is None:
            self._forwarder = open_forwarder(self._settings, root / REFUSED)
        return self._forwarder

    def _gives_up(self, silence: float) -> bool:
        if silence > SILENCE_SECONDS:
            raise LogUnavailableError(self._settings.log, f"nothing heard for {SILENCE_SECONDS:g} s")
        return self._stop()

    def close(self) -> None:
        if self._forwarder is not None:
            self._forwarder.close(1.0)


def _rings(folder: Path) -> Iterator[Ring]:
    for path in sorted(folder.glob("*.ring")):
        try:
            yield Ring.open(path)
        except RingError:  # killed before its head was written: there is nothing in it
            path.unlink(missing_ok=True)


def _left_end(ring: Ring) -> int:
    from .ring_arrays import left_end  # noqa: PLC0415  NumPy, only where a ring was left

    return left_end(ring)


def _is_empty(ring: Ring) -> bool:
    """Whether nothing of the ring waits any more: no batch is on its way, and there is none to follow."""
    return ring.state.end == ring.state.tail and _left_end(ring) == ring.state.tail
