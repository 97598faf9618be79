"""How the main program was left, told from what the interpreter still knows when it is about to end.

`SystemExit` is gone by then, and with it the code, unless `sys.exit` was used. What is left is the outermost frame: the
instruction it stopped at says whether it came to its end. For `raise SystemExit(…)` the source says with which codes
the program may leave at all.
"""

from __future__ import annotations

import ast
import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from types import FrameType
from typing import Final

from .imports import own_modules

_DYNAMIC: Final = object()


def outermost_frame() -> FrameType | None:
    """The frame the main thread's program began in."""
    frame = sys._current_frames().get(threading.main_thread().ident or 0)  # noqa: SLF001  the documented way to it
    while frame is not None and frame.f_back is not None:
        frame = frame.f_back
    return frame


def has_returned(frame: FrameType | None) -> bool:
    """Whether a frame that is over came to its end, and was not left by an exception."""
    import opcode  # noqa: PLC0415  only at the very end

    if frame is None or frame.f_lasti < 0:
        return True
    return opcode.opname[frame.f_code.co_code[frame.f_lasti]].startswith("RETURN")


def unseen_exit() -> SystemExit:
    """The `SystemExit` a program was left with that did not call `sys.exit`, as far as its source allows to tell.

    It has a code other than 0 where every `raise SystemExit` in the user's own modules has one; else 0.
    """
    codes = set(_codes(filter(None, (getattr(module, "__file__", None) for module in own_modules().values()))))
    if not codes or codes & {_DYNAMIC, None, 0}:
        return SystemExit(0)
    return SystemExit(codes.pop() if len(codes) == 1 else 1)


def _codes(files: Iterable[str]) -> Iterable[object]:
    """Arguments of all `raise SystemExit` in the files."""
    for file in files:
        try:
            tree = ast.parse(Path(file).read_bytes())
        except (OSError, SyntaxError, ValueError):
            continue
        yield from (_code(node.exc) for node in ast.walk(tree) if isinstance(node, ast.Raise) and _is_exit(node.exc))


def _is_exit(raised: ast.expr | None) -> bool:
    name = raised.func if isinstance(raised, ast.Call) else raised
    return isinstance(name, ast.Name) and name.id == "SystemExit"


def _code(raised: ast.expr | None) -> object:
    if not isinstance(raised, ast.Call) or not raised.args:
        return None
    argument = raised.args[0]
    if isinstance(argument, ast.JoinedStr):
        return 1
    return argument.value if isinstance(argument, ast.Constant) else _DYNAMIC
