"""Tables of machines and of what queues need, alike in `scaler plan` and `scaler list`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..dashboard.formatting import ago, one_line
from .output import Column, console

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from ..events.instance_events import Placement, QueueNeed
    from ..projections.instance_fold import InstanceState
    from ..projections.instance_rows import InstanceRow, NeedRow

NEED_COLUMNS: Final = (
    Column("QUEUE", grow=True),
    Column("WAITING", right=True),
    Column("STUCK", right=True),
    Column("FREE", right=True),
    Column("BOOTING", right=True),
    Column("LAUNCHED", right=True),
    Column("MISSING", right=True),
    Column("HELD BACK BY", grow=True),
)
MACHINE_COLUMNS: Final = (
    Column("INSTANCE", grow=True),
    Column("STATUS"),
    Column("RESOURCE", grow=True),
    Column("PLACEMENT", grow=True),
    Column("MACHINE", grow=True),
    Column("WORKER", grow=True),
    Column("$/H", right=True),
    Column("ASKED FOR", right=True),
    Column("WHY", grow=True),
)


def need_cells(need: QueueNeed | NeedRow) -> Sequence[str]:
    """A queue's row; what is 0 is left empty, but for what waits."""
    counts = (need.stuck, need.free, need.booting, need.launched, need.missing)
    numbers = (f"{count:,}" if count else "" for count in counts)
    return [one_line(need.queue, 60), f"{need.waiting:,}", *numbers, one_line(need.held_back_by, 120)]


def machine_cells(machine: InstanceState | InstanceRow, where: Placement | InstanceRow, now: datetime) -> Sequence[str]:
    """A machine's row."""
    return [
        machine.instance,
        machine.status,
        one_line(machine.resource, 40),
        one_line(placed(where), 60),
        one_line(machine.machine, 40),
        one_line(machine.worker, 40),
        f"{where.hourly_cost:.2f}" if where.hourly_cost else "",
        ago(machine.requested_at, now),
        one_line(machine.reason, 80),
    ]


def print_lacking(lacking: Mapping[str, str]) -> None:
    """Print what keeps resources below their minimum."""
    for resource, reason in lacking.items():
        console().print(one_line(f"{resource}: fewer than its minimum; {reason}", 300), markup=False)


def placed(where: Placement | InstanceRow) -> str:
    """What a machine is and where, as far as that is known."""
    return ", ".join(filter(None, ["spot" * where.spot, where.instance_type, where.zone, where.subnet]))
