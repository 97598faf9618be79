"""Python's garbage collector looks through all objects time and again while modules are imported, and finds nothing."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collector_paused() -> Iterator[None]:
    """Have it wait until the end, unless it is switched off anyway: a tenth less for imports and `Task.init`."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
