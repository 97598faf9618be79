"""What this worker owes the log: appended, and appended again under the same id for as long as its fate is in doubt.

A delivery report with an error proves nothing: the record may lie on the log all the same. Readers judge an id once, so
repeating is safe, and a claim, a start or a loss counts only once it has been read back.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf
from typing import Final, Literal, TypeAlias

from ..events.base import Event
from ..events.log.port import Headers
from ..projections.verdict import Verdict

FIRST_PAUSE: Final = 0.05
LONGEST_PAUSE: Final = 2.0

_SESSION: Final = "session"
_SEQ: Final = "seq"

Until = Literal["delivered", "read"]


@dataclass(frozen=True, slots=True)
class Tombstone:
    """Removes a worker's record from the compacted topic of workers, as far as it was known: up to an event of its own.

    A tombstone may arrive late, when the worker has woken up and said what it runs now: that is not to be forgotten.
    """

    id: str
    worker: str
    session: str
    seq: int

    @property
    def headers(self) -> Headers:
        """Headers of the record: the last event of the worker that it knows of."""
        return ((_SESSION, self.session.encode()), (_SEQ, str(self.seq).encode()))


def last_known(headers: Headers) -> tuple[str, int] | None:
    """Session and sequence number of the last event of its worker that a tombstone knows of; None if it names none."""
    found = dict(headers)
    try:
        return found[_SESSION].decode(), int(found[_SEQ])
    except (KeyError, ValueError):
        return None


Message: TypeAlias = Event | Tombstone


def message_id(message: Message) -> str:
    """Id under which a message's fate is followed."""
    return message.id if isinstance(message, Tombstone) else message.meta.event_id


@dataclass(slots=True)
class _Debt:
    message: Message
    until: Until
    due: float = -inf
    pause: float = FIRST_PAUSE


class Appends:
    """The ledger of open appends. Pure: whoever holds it appends what `due` gives and reports what became of it."""

    def __init__(self) -> None:
        self._open: dict[str, _Debt] = {}
        self._verdicts: dict[str, Verdict] = {}

    def owe(self, message: Message, until: Until) -> str:
        """Owe a message until it is delivered, or until it was read back; returns its id."""
        key = message_id(message)
        self._open[key] = _Debt(message, until)
        return key

    def due(self, now: float) -> Iterator[Message]:
        """Give what is to be appended now, first or again; each is not due again until its failure is reported."""
        for debt in [debt for debt in self._open.values() if debt.due <= now]:
            debt.due = inf
            yield debt.message

    def next_due(self) -> float:
        """Moment of the next append; infinite where none is planned."""
        return min((debt.due for debt in self._open.values()), default=inf)

    def delivered(self, key: str) -> None:
        """Learn that the message is on the log."""
        debt = self._open.get(key)
        if debt is not None and debt.until == "delivered":
            del self._open[key]

    def failed(self, key: str, now: float) -> None:
        """Learn that the message may not be on the log: it is due again after a pause that grows."""
        debt = self._open.get(key)
        if debt is not None:
            debt.due = now + debt.pause
            debt.pause = min(2 * debt.pause, LONGEST_PAUSE)

    def read_back(self, key: str, verdict: Verdict) -> None:
        """Learn what the log's readers say of the message; copies read later change nothing."""
        debt = self._open.pop(key, None)
        if debt is not None and debt.until == "read":
            self._verdicts[key] = verdict

    def renounce(self) -> None:
        """Owe nothing any more: what was to be appended would no longer count."""
        self._open.clear()
        self._verdicts.clear()

    def is_open(self, key: str) -> bool:
        """Whether the message is still owed."""
        return key in self._open

    def awaits(self, key: str) -> bool:
        """Whether the reading back of this message is awaited."""
        debt = self._open.get(key)
        return debt is not None and debt.until == "read"

    def take_verdict(self, key: str) -> Verdict | None:
        """Return, once, what readers say of a message that was to be read back; None until then."""
        return self._verdicts.pop(key, None)

    def __len__(self) -> int:
        return len(self._open)
