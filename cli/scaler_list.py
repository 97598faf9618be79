"""`tasktape scaler list`: scalers there are, who leads them, what their queues need, and their machines."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..dashboard.formatting import ago, one_line
from ..dashboard.worker_state import is_silent
from .options import Json
from .output import Column, console, plain, print_json, print_table
from .reading import reading
from .scaler_tables import MACHINE_COLUMNS, NEED_COLUMNS, machine_cells, need_cells, print_lacking

if TYPE_CHECKING:
    from ..projections.instance_rows import InstanceRow, NeedRow, ScalerRow

_SCALERS = (
    Column("SCALER", grow=True),
    Column("LED BY", grow=True),
    Column("SINCE", right=True),
    Column("MACHINES", right=True),
    Column("$/H", right=True),
    Column("SPENT", right=True),
    Column("HEARD OF", right=True),
)

Gone = Annotated[bool, typer.Option("--gone", help="Machines that are gone too.")]


def list_scalers(*, gone: Gone = False, as_json: Json = False) -> None:
    """List scalers: who leads each, what its queues need and what is in the way, and its machines.

    Examples:
    $ tasktape scaler list
    $ tasktape scaler list --gone --json
    """
    with reading() as queries:
        scalers, needs, machines = queries.scalers(), queries.needs(), queries.instances(gone=gone)
    if as_json:
        print_json([_as_json(scaler, needs, machines) for scaler in scalers])
        return
    now = datetime.now(UTC)
    empty = "No scalers: `tasktape scaler --config scaler.toml` starts one, `tasktape scaler init` writes its settings."
    print_table(_SCALERS, [_cells(scaler, now) for scaler in scalers], empty)
    for scaler in scalers:
        console().print(f"\n{one_line(scaler.name, 60)}" if len(scalers) > 1 else "", markup=False)
        own = [machine for machine in machines if machine.scaler == scaler.name]
        print_table(NEED_COLUMNS, [need_cells(need) for need in needs if need.scaler == scaler.name], "No decisions.")
        print_lacking(scaler.lacking)
        console().print()
        print_table(MACHINE_COLUMNS, [machine_cells(machine, machine, now) for machine in own], "No machines.")


def _cells(scaler: ScalerRow, now: datetime) -> list[str]:
    return [
        one_line(scaler.name, 60),
        one_line(scaler.led_by, 60),
        ago(scaler.led_since, now),
        f"{scaler.machines:,}",
        f"{scaler.hourly_cost:.2f}",
        f"{scaler.spent:.2f}",
        ago(scaler.decided_at, now) + (" (silent)" if is_silent(scaler, now) else ""),
    ]


def _as_json(scaler: ScalerRow, needs: list[NeedRow], machines: list[InstanceRow]) -> dict[str, Any]:
    return {
        **plain(scaler),
        "needs": [plain(need) for need in needs if need.scaler == scaler.name],
        "instances": [plain(machine) for machine in machines if machine.scaler == scaler.name],
    }
