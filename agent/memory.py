"""Memory that reading a long past took, for agents that then do nothing for weeks."""

from __future__ import annotations

import contextlib
import ctypes


def give_back() -> None:
    """Return free memory to the system; the C library keeps it for later, where that is glibc. Others do without."""
    with contextlib.suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
