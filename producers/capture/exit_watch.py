"""Sees how the process ends: in order, by an exception nobody caught, with an exit code, or asked to terminate.

The process ends exactly as it would have: what was there before (`sys.exit`, signal handlers, excepthooks) does its
work as ever. `os._exit` and SIGKILL can't be seen from inside.
"""

from __future__ import annotations

import atexit
import builtins
import contextlib
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Collection
from dataclasses import replace
from functools import partial
from types import FrameType
from typing import Any, Final

from ..ending import Ending, Uninstall, ending_of
from ..session import process
from ..types import TaskStatusEnum
from .exit_code import has_returned, outermost_frame, unseen_exit
from .nudge import MOMENT, nudge
from .patches import Patches, safely

SIGNAL_SECONDS: Final = 5.0
"""How long a process that was told to terminate may take to say so."""

_TERMINATED: Final = Ending(TaskStatusEnum.stopped, reason="terminated", message="the process was sent SIGTERM")


class ExitWatch:
    """Calls `end(ending)` at the end of the process that installed it, once."""

    def __init__(self, end: Callable[[Ending], object]) -> None:
        self._end = end
        self._pid = os.getpid()
        self._program = outermost_frame()
        self._earlier_error = _uncaught()
        self._left: SystemExit | None = None
        self._thread_error: BaseException | None = None
        self._terminated = False
        self._speaker: threading.Thread | None = None
        self._patches = Patches()
        self._put_back: list[Uninstall] = []

    def install(self) -> Uninstall:
        """Begin to watch."""
        self._patches.before(sys, "exit", self._leaves)
        if hasattr(builtins, "exit"):
            self._patches.before(type(builtins.exit), "__call__", lambda _, code=None: self._leaves(code))
        self._patches.before(threading, "excepthook", self._thread_ends)
        self._watch_termination()
        atexit.register(self._at_exit)
        return self.uninstall

    def uninstall(self) -> None:
        """Watch no more."""
        atexit.unregister(self._at_exit)
        self._patches.undo()
        while self._put_back:
            self._put_back.pop()()

    def ending(self) -> Ending:
        """How the program, which is over, ended."""
        error = self._error()
        ending = ending_of(error)
        if self._terminated and (error is None or isinstance(error, SystemExit | KeyboardInterrupt)):
            return _TERMINATED
        if isinstance(error, SystemExit) and ending.traceback and self._thread_error is not None:
            return replace(ending, traceback="".join(traceback.format_exception(self._thread_error)))
        return ending

    def _error(self) -> BaseException | None:
        if has_returned(self._program):
            return None
        uncaught = _uncaught()
        if uncaught is not None and uncaught is not self._earlier_error:
            return uncaught
        return self._left or unseen_exit()

    def _at_exit(self) -> None:
        if os.getpid() != self._pid:
            return
        safely("end", lambda: self._end(self.ending()))
        if isinstance(_uncaught(), KeyboardInterrupt):
            _note_interrupt()

    def _leaves(self, code: Any = None) -> None:
        """Note the code the program asks to leave with; only the main thread's leads out of it."""
        if threading.current_thread() is threading.main_thread():
            self._left = SystemExit(code)

    def _thread_ends(self, args: Any) -> None:
        self._thread_error = args.exc_value

    def _watch_termination(self) -> None:
        """Notice SIGTERM, unless the program ignores it, or this is not the thread that may set handlers."""
        if threading.current_thread() is not threading.main_thread():
            return
        before = signal.getsignal(signal.SIGTERM)
        if before is signal.SIG_IGN or before is None:
            return

        def handle(number: int, frame: FrameType | None) -> None:
            self._terminated = True
            if callable(before):
                before(number, frame)
            else:
                self._die(number)

        signal.signal(signal.SIGTERM, handle)
        self._put_back.append(lambda: _restore_handler(handle, before))
        self._put_back.append(nudge(signal.SIGTERM, lambda: self._terminated))

    def _die(self, number: int) -> None:
        """Say that the run is stopped, then end by the signal as if nobody had noticed it.

        Said by another thread: this one may hold any lock where the signal came, and goes on after a moment so that it
        lets go of it. A forked child, such as a worker of a pool that is closed, only says what it has not said yet;
        where it does so already it goes on with that.
        """
        if self._speaker is None:
            is_child, session = os.getpid() != self._pid, process.session
            if is_child and session is not None and session.outbox.after_close(partial(_die_of, number)):
                return
            last_words = (_flush,) if is_child else (self._end, _TERMINATED)
            self._speaker = threading.Thread(target=_speak, args=(number, *last_words), daemon=True)
            self._speaker.start()
        self._speaker.join(MOMENT)
        if not self._speaker.is_alive():
            _die_of(number)


def _speak(number: int, *last_words: Any) -> None:
    """Say the last words, for so long at the most, and have the main thread die: only that may undo a handler."""
    speaker = threading.Thread(target=safely, args=("end", *last_words), daemon=True)
    speaker.start()
    speaker.join(SIGNAL_SECONDS)
    signal.pthread_kill(threading.main_thread().ident or 0, number)


def _die_of(number: int) -> None:
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def _flush() -> None:
    """Deliver what this process has reported, if it has."""
    if process.session is not None:
        process.session.outbox.flush(SIGNAL_SECONDS)


class _HeldSignals(threading.local):
    """Keeps SIGTERM back while this thread forks: the interpreter forgets in the child what came before it is ready."""

    mask: Collection[int] = ()

    def hold(self) -> None:
        self.mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

    def let_go(self) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self.mask)


_held = _HeldSignals()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_held.hold, after_in_parent=_held.let_go, after_in_child=_held.let_go)


def _uncaught() -> BaseException | None:
    """The exception that the interpreter last found nobody to catch."""
    return getattr(sys, "last_value", None)


def _note_interrupt() -> None:
    """Let the interpreter end by SIGINT, as it does after an interrupt unless code was compiled and run since."""
    with contextlib.suppress(KeyboardInterrupt):
        exec("raise KeyboardInterrupt")  # noqa: S102  this is how the interpreter takes note of one


def _restore_handler(handle: Any, before: Any) -> None:
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is handle:
        signal.signal(signal.SIGTERM, before)
