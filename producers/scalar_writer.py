"""The way of one scalar into the journal: the few instructions that training pays for each `report_scalar`."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from types import CodeType
from typing import Any, Final

from .journal import Journal
from .numbers import as_step, as_value, clamp
from .ring import RECORD, SHIFT, Ring, SeriesName
from .text import as_name, shown
from .warn import warn_once

_clock = time.time
_pack = RECORD.pack_into


class _Binding:
    """What the fast path needs of a ring, in one object: it is read at once, so that two rings are never mixed."""

    __slots__ = ("base", "buffer", "mask", "numbers", "ring", "take")

    def __init__(self, ring: Ring) -> None:
        self.ring = ring
        self.take = ring.take
        self.buffer = ring.buffer
        self.base = ring.base
        self.mask = ring.mask
        self.numbers: dict[tuple[str, str], int] = {}


_UNBOUND: Final = _Binding.__new__(_Binding)
_UNBOUND.numbers = {}


class ScalarWriter:
    """Writes the scalars of one run of a task; `offset` is added to each step. Thread-safe.

    `journal` gives the process's journal. A forked child calls `unbind`, and goes on in the journal it then gets.
    """

    __slots__ = ("__weakref__", "_bound", "_journal", "_run", "_task", "offset")

    def __init__(self, task: str, run: int, journal: Callable[[], Journal]) -> None:
        self._task = task
        self._run = run
        self._journal = journal
        self._bound = _UNBOUND
        self.offset = 0

    def unbind(self) -> None:
        """Forget the ring: the next point asks for the journal anew."""
        self._bound = _UNBOUND

    def report(self, title: str, series: str, value: Any, step: Any = None) -> None:
        """Write a point. What is no number is warned about once, and ignored.

        Other types, a new series and a full ring have functions of their own, so that this one is all that most calls
        pay. The journal looks at `position` when one was taken and never written: it is -1 where this call holds none.
        """
        if type(value) is not float or type(step) is not int:
            position = -1
            self._report_converted(title, series, value, step)
            return
        bound = self._bound
        try:
            number = bound.numbers[title, series]
        except (KeyError, TypeError):
            position = -1
            self._report_first(title, series, value, step)
            return
        step += self.offset
        position = bound.take()
        if position >= bound.ring.limit and not self._journal().widen(bound.ring, position):
            position = -1
            self._bound = _UNBOUND
            self._report_first(title, series, value, step - self.offset)
            return
        at = bound.base + ((position & bound.mask) << SHIFT)
        try:
            _pack(bound.buffer, at, step, _clock(), value, number, position + 1)
        except (struct.error, OverflowError):
            bound.ring.put(position, clamp(step), _clock(), value, number)

    def _report_converted(self, title: str, series: str, value: Any, step: Any) -> None:
        try:
            value = value if type(value) is float else as_value(value)
        except Exception as error:  # noqa: BLE001  whatever a stranger's __float__ raises
            warn_once("scalar_value", f"{shown(value)} is no number ({error}): scalar {shown(title)} is left out.")
            return
        try:
            step = step if type(step) is int else as_step(step)
        except Exception as error:  # noqa: BLE001  the same
            warn_once("scalar_iteration", f"{shown(step)} is no iteration ({error}): reported at iteration 0.")
            step = 0
        self.report(title, series, value, step)

    def _report_first(self, title: Any, series: Any, value: float, step: int) -> None:
        """Report with a series that the ring does not know yet, or when there is no ring."""
        name = SeriesName(self._task, self._run, as_name(title), as_name(series))
        while (bound := self._bind()) is not None:
            number = self._journal().number(bound.ring, name)
            if number is not None:
                _remember(bound, title, series, number)
                if self._write(bound, number, value, step + self.offset):
                    return
            self._bound = _UNBOUND
        self._journal().drop()

    def _bind(self) -> _Binding | None:
        if self._bound is _UNBOUND:
            ring = self._journal().current()
            if ring is None:
                return None
            self._bound = _Binding(ring)
        return self._bound

    def _write(self, bound: _Binding, number: int, value: float, step: int) -> bool:
        position = bound.take()
        if position >= bound.ring.limit and not self._journal().widen(bound.ring, position):
            return False
        bound.ring.put(position, clamp(step), _clock(), value, number)
        return True


def _remember(bound: _Binding, title: Any, series: Any, number: int) -> None:
    """Make the next point of this series fast. Only text is a safe key: 1, 1.0 and True are equal, and other names."""
    if type(title) is str and type(series) is str:
        bound.numbers[title, series] = number


WRITING: Final[frozenset[CodeType]] = frozenset(
    function.__code__
    for function in (ScalarWriter.report, ScalarWriter._write)  # noqa: SLF001
)
"""The code that takes a position, and holds it until it is written."""
