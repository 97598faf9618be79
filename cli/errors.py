"""What people ask of the command line that can't be given: names nobody knows, and changes a state does not allow."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from ..dashboard.formatting import one_line
from ..events.errors import TasktapeError


class NotFoundError(TasktapeError):
    """There is no such task, queue, worker, column or status; `near` holds names that are close."""

    def __init__(self, kind: str, name: str, near: Sequence[str] = (), hint: str = "") -> None:
        meant = f" Did you mean {' or '.join(one_line(n, 60) for n in near)}?" if near else ""
        super().__init__(f"there is no {kind} {one_line(name, 80)!r}.{meant}{f' {hint}' if hint else ''}")
        self.kind = kind
        self.name = name
        self.near = tuple(near)


class AmbiguousError(NotFoundError):
    """More than one task fits."""

    def __init__(self, text: str, matches: Sequence[str]) -> None:
        shown = ", ".join(matches[:5]) + (" …" if len(matches) > 5 else "")  # noqa: PLR2004  enough to see
        TasktapeError.__init__(self, f"{one_line(text, 80)!r} fits more than one task: {shown}. Give the id.")
        self.kind = "task"
        self.name = text
        self.near = tuple(matches)


class RefusedError(TasktapeError):
    """The state of a task or queue does not allow the change."""


def near_matches(name: str, known: Iterable[str], count: int = 3) -> list[str]:
    """Names close to `name`: those that contain it, then those spelt alike, at most `count`."""
    names = sorted(set(known))
    folded = {one.casefold(): one for one in names}
    wanted = name.casefold()
    containing = [one for key, one in folded.items() if wanted and wanted in key]
    alike = [folded[key] for key in difflib.get_close_matches(wanted, folded, n=count)]
    return list(dict.fromkeys(containing + alike))[:count]
