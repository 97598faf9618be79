"""What one process needs to say things: folder, spool, sender, journal and drain, made together and closed in order."""

from __future__ import annotations

import contextlib
import threading
from itertools import count
from typing import TYPE_CHECKING, Final

from ..events.base import uuid7
from ..events.codec import Codec, header
from .drain import Drain
from .journal import Journal, Sizes
from .ring import RingIdentity
from .sender import Sender
from .spool import Spool
from .spool_file import Record
from .spool_folder import REFUSED, SpoolPlace, roots
from .sync import recover
from .text import counted
from .warn import LOGGER

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..events.base import Event
    from ..events.settings import Settings
    from .spool import Receipt

RECOVERY_SECONDS: Final = 15.0
_CODEC: Final = Codec()


class Parts:
    """The parts of one process. `tick` is called a few times a second, once `journal` or `start` was called."""

    def __init__(self, settings: Settings, actor: str, tick: Callable[[], object], sizes: Sizes | None = None) -> None:
        session = uuid7()
        self._events_session = f"{session}/0"
        self._numbers = count()
        self._settings = settings
        self._place = SpoolPlace(roots(settings), session)
        self._spool = Spool(self._place.path)
        wake = threading.Event()
        self._journal = Journal(RingIdentity(session, actor), self._place.path, wake.set, sizes)
        self._stopped = threading.Event()
        self.sender = Sender(settings, self._spool, self._place.root / REFUSED)
        self.drain = Drain(self._journal, self.sender.send, wake, tick)
        self._look_after_the_dead()

    def say(self, event: Event, *, is_ours: bool) -> Receipt | None:
        """Send an event. One of ours gets its number now, so that numbers and records are in the same order.

        Readers would take a record that comes late, behind many with larger numbers, for a copy.
        """
        with self.sender.in_order:
            if is_ours:
                numbered = event.meta.model_copy(update={"session": self._events_session, "seq": next(self._numbers)})
                event = event.model_copy(update={"meta": numbered})
            return self.sender.send(Record(event.topic_name, event.key, _CODEC.encode(event), header(event)))

    def journal(self) -> Journal:
        """The journal, with a drain at work."""
        self.drain.start()
        return self._journal

    def hasten(self) -> None:
        """Bring away points as they come, with a drain that is ready for the first."""
        self.drain.hasten()
        self.drain.start()

    def _look_after_the_dead(self) -> None:
        """Bring to the log what processes that died leave here, in a thread, for as long as this process lives."""
        with contextlib.suppress(RuntimeError):  # the interpreter is going down
            threading.Thread(target=self._recover, name="tasktape-recovery", daemon=True).start()

    def _recover(self) -> None:
        while not self._stopped.is_set():
            with contextlib.suppress(Exception):  # the log is away: the sender says so where it matters
                recover(self._settings, stop=self._stopped.is_set)
            self._stopped.wait(RECOVERY_SECONDS)

    def flush(self) -> bool:
        """Bring to the log or into the spool what was said before; whether all of it is there."""
        return self.drain.drain() and self.sender.settled()

    def close(self, timeout: float) -> bool:
        """Bring to the log what `timeout` seconds allow, and leave the rest to others, in one clear line.

        Returns whether everything is on the log.
        """
        self._stopped.set()
        self._journal.retire_all()
        self.drain.stop()
        if self.sender.finish(timeout) and not self._journal.rings:
            self._spool.close()
            self._place.remove()
            return True
        self._leave()
        return False

    def _leave(self) -> None:
        kept, lost = self._spool.waiting()
        rings = [ring for ring in self._journal.rings if ring.path is not None]
        lost_rings = len(self._journal.rings) - len(rings)
        self._spool.close()
        self._place.release()
        if kept or rings:
            LOGGER.warning(
                "not on the log %s yet: %s. They wait in %s, and go there with the next task or agent on this machine, "
                "or now with `tasktape sync`.",
                self._settings.log,
                _said(kept, len(rings)),
                self._place.root,
                extra={"action": "left_behind"},
            )
        if lost or lost_rings:
            LOGGER.error(
                "lost with this process, since neither the log nor a disk had room: %s. Free some space at %s.",
                _said(lost, lost_rings),
                self._settings.home,
                extra={"action": "lost"},
            )

    def abandon(self) -> None:
        """Let go, in a forked child, of the parent's lock, so that it ends with the parent. Nothing else is touched."""
        self._place.release()


def _said(events: int, journals: int) -> str:
    parts = [counted(events, "event")] * bool(events) + [counted(journals, "journal")] * bool(journals)
    return " and ".join(parts)
