"""Wakes the main thread for a signal that came as it began to wait: the interpreter would see to it only afterwards.

Python's handlers run in the main thread, between its instructions. What comes after the last of them and before a call
that waits is noticed when that call returns, which may be never.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Final

from ..ending import Uninstall

MOMENT: Final = 0.25
"""How long the handler has to begin, in seconds."""
_OVER: Final = b"\0"
_NOBODY: Final = -1


def nudge(number: int, is_seen: Callable[[], bool]) -> Uninstall:
    """Send a signal to the main thread, which calls this, once more when `is_seen` does not say that it was handled.

    A program that has a wakeup descriptor of its own keeps it, and is not helped.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    if not _put(writer, instead_of=_NOBODY):
        os.close(reader)
        os.close(writer)
        return lambda: None
    _ours.add(writer)
    watcher = threading.Thread(target=_watch, args=(reader, number, is_seen), name="tasktape-signals", daemon=True)
    watcher.start()
    return partial(_end, writer)


def _end(writer: int) -> None:
    """Where another thread than the main one ends it, it stays: signals must not be written to what is closed."""
    if writer in _ours and _put(_NOBODY, instead_of=writer):
        _ours.remove(writer)
        with suppress(OSError):
            os.write(writer, _OVER)
        os.close(writer)


_ours: Final[set[int]] = set()


def _forget() -> None:
    """Let go in a forked child, before it gets any signal: what it gets is none of its parent's business."""
    while _ours:
        _put(_NOBODY, instead_of=_ours.pop())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def _put(descriptor: int, *, instead_of: int) -> bool:
    """Have signals written to a descriptor, if they were to this one; only the main thread may say so."""
    if threading.current_thread() is not threading.main_thread():
        return False
    before = signal.set_wakeup_fd(descriptor, warn_on_full_buffer=False)
    if before != instead_of:
        signal.set_wakeup_fd(before)
    return before == instead_of


def _watch(reader: int, number: int, is_seen: Callable[[], bool]) -> None:
    main = threading.main_thread().ident or 0
    try:
        while (came := os.read(reader, 64)) and _OVER not in came:
            if number in came:
                time.sleep(MOMENT)
                if not is_seen():
                    signal.pthread_kill(main, number)
    finally:
        os.close(reader)
