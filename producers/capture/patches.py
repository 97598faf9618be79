"""Wraps functions and methods of libraries so that calls are seen, and takes the wrappers away again.

A wrapper looks like what it wraps to `inspect` and `pickle`, hands results and exceptions on untouched, and only the
outermost of nested calls is seen: a library that calls itself has done one thing.
"""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType, ModuleType
from typing import Any, Final

from ..warn import warn_once
from .imports import OWN, own_modules

Function = Callable[..., Any]
_MISSING: Final = object()


class Patches:
    """All wrappers of one installation. They do nothing more once `undo` was called."""

    def __init__(self) -> None:
        self._undo: list[Callable[[], None]] = []
        self._within = threading.local()
        self.active = True

    def after(self, owner: Any, name: str, seen: Function, *shown_in: str) -> None:
        """Call `seen(result, *args, **kwargs)` after each call of `owner.name` that went well."""

        def make(original: Function) -> Function:
            def wrapper(*args: Any, **kwargs: Any) -> Any:
                with self.outermost() as outermost:
                    result = original(*args, **kwargs)
                    if outermost:
                        safely(name, seen, result, *args, **kwargs)
                return result

            return wrapper

        self.wrap(owner, name, make, *shown_in)

    def before(self, owner: Any, name: str, seen: Function) -> None:
        """Call `seen(*args, **kwargs)` before each call of `owner.name`, in which other calls are seen as ever."""
        self._see(owner, name, seen, covers=False)

    def around(self, owner: Any, name: str, seen: Function) -> None:
        """Call `seen(*args, **kwargs)` before each call of `owner.name`, whose inner calls are not seen then."""
        self._see(owner, name, seen, covers=True)

    def _see(self, owner: Any, name: str, seen: Function, *, covers: bool) -> None:
        def make(original: Function) -> Function:
            def wrapper(*args: Any, **kwargs: Any) -> Any:
                with self.outermost() as outermost:
                    if outermost:
                        safely(name, seen, *args, **kwargs)
                    if covers:
                        return original(*args, **kwargs)
                return original(*args, **kwargs)

            return wrapper

        self.wrap(owner, name, make)

    def wrap(self, owner: Any, name: str, make: Callable[[Function], Function], *shown_in: str) -> None:
        """Replace `owner.name` by `make(original)`; nothing happens where a class or module has no such function.

        Modules of the user's own that hold the function under a name of theirs get the wrapper too, and so do the
        packages it is `shown_in`.
        """
        original = getattr(owner, name, None)
        if not callable(original):
            return
        made = make(original)

        @functools.wraps(original)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            return (made if self.active else original)(*args, **kwargs)

        before = vars(owner).get(name, _MISSING)
        setattr(owner, name, wrapper)
        self._undo.append(lambda: _restore(owner, name, wrapper, before))
        if isinstance(owner, ModuleType):
            _rebind(original, wrapper, shown_in)
            self._undo.append(lambda: _rebind(wrapper, original, shown_in))

    @contextmanager
    def outermost(self) -> Iterator[bool]:
        """Tell whether no other call of this thread is being seen, and be that call until the block ends."""
        if getattr(self._within, "call", False):
            yield False
            return
        self._within.call = True
        try:
            yield True
        finally:
            self._within.call = False

    def undo(self) -> None:
        """Take all wrappers away; one that somebody else has wrapped since stays there, and does nothing."""
        self.active = False
        while self._undo:
            self._undo.pop()()


def safely(what: str, call: Function, *args: Any, **kwargs: Any) -> Any:
    """Call something that must not disturb the user's program: trouble is told once, as a warning."""
    try:
        return call(*args, **kwargs)
    except Exception as error:  # noqa: BLE001  whatever it is, training goes on
        warn_once(f"capture_{what}", f"{what} is not captured here: {type(error).__name__}: {error}")
        return None


def caller(*skipped: str) -> str:
    """Name of the top-level package that calls, past our own frames and those of the packages `skipped`."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001  who calls is nowhere else to be seen
    while frame is not None and (package := str(frame.f_globals.get("__name__", "")).partition(".")[0]):
        if package != OWN and package not in skipped:
            return package
        frame = frame.f_back
    return ""


def _restore(owner: Any, name: str, wrapper: Function, before: Any) -> None:
    if vars(owner).get(name) is not wrapper:
        return
    if before is _MISSING:
        delattr(owner, name)
    else:
        setattr(owner, name, before)


def _rebind(old: Function, new: Function, shown_in: Iterable[str]) -> None:
    """Let names that mean `old` mean `new`, in the user's own modules (as after `from library import …`) and others."""
    others = (sys.modules[name] for name in shown_in if name in sys.modules)
    for module in [*own_modules().values(), *others]:
        for name, value in list(vars(module).items()):
            if value is old:
                setattr(module, name, new)
