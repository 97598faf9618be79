"""What a fold says of an event: accepted, rejected with a reason, or a duplicate of one judged before."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple


class Verdict(NamedTuple):
    """A fold's judgement of one event; `reason` is empty unless it is rejected."""

    kind: Literal["accepted", "rejected", "duplicate"]
    reason: str = ""

    @property
    def accepted(self) -> bool:
        """Whether the event counts."""
        return self.kind == "accepted"


ACCEPTED: Final = Verdict("accepted")
DUPLICATE: Final = Verdict("duplicate")


def rejected(reason: str) -> Verdict:
    """Return the verdict on an event that changes nothing."""
    return Verdict("rejected", reason)
