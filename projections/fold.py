"""What the projector asks of each of its folds: state is read for a batch, changed in memory, and written back.

Nothing is kept between batches, so memory is bounded, and a batch that could not be written leaves no trace.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from .arrival import Arrival
    from .tables import Tables
    from .verdict import Verdict


class Fold(Protocol):
    """A fold of some topics into some tables."""

    def load(self, tables: Tables, arrivals: Sequence[Arrival]) -> None:
        """Forget the last batch and read what this batch's events are about."""

    def apply(self, arrival: Arrival) -> Verdict:
        """Fold one event."""

    def save(self, tables: Tables) -> None:
        """Write what changed."""
