"""`tasktape scaler plan`: what a scaler would do now, and why; it does nothing."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ..dashboard.formatting import one_line
from .options import Json
from .output import console, note, plain, print_json, print_table, progress
from .scaler import CONFIG, Config
from .scaler_tables import MACHINE_COLUMNS, NEED_COLUMNS, machine_cells, need_cells, placed, print_lacking

if TYPE_CHECKING:
    from ..scaler.planning import Planned
    from ..scaler.policy import Action


def plan(config: Config = CONFIG, *, as_json: Json = False) -> None:
    """Show what a scaler with these settings would do now, and why. Nothing is done, and nothing is said on the log.

    Examples:
    $ tasktape scaler plan --config scaler.toml
    $ tasktape scaler plan --config scaler.toml --json
    """
    from ..events.settings import load_settings, without_credentials  # noqa: PLC0415  see `reading`
    from ..scaler.config import read_config  # noqa: PLC0415  the same
    from ..scaler.planning import plan_now  # noqa: PLC0415  the same

    settings, scaler = load_settings(), read_config(config)
    with progress(f"Reading {without_credentials(settings.log)}"):
        planned = plan_now(settings, scaler)
    if as_json:
        print_json(_as_json(scaler.name, planned))
    else:
        _print(planned)


def _print(planned: Planned) -> None:
    needs, actions = planned.plan.needs, planned.plan.actions
    print_table(NEED_COLUMNS, [need_cells(need) for need in needs], "No queues: the settings name none.")
    print_lacking(planned.plan.lacking)
    console().print()
    for action in actions:
        console().print(one_line(said(action), 400), markup=False)
    if not actions:
        note("Nothing to do.")
    console().print()
    now = datetime.now(UTC)
    print_table(MACHINE_COLUMNS, [machine_cells(one, one.placement, now) for one in planned.machines], "No machines.")


def said(action: Action) -> str:
    """What would be done, in a sentence."""
    from ..scaler.policy import Launch  # noqa: PLC0415  see `reading`

    if isinstance(action, Launch):
        return f"launch {', '.join(filter(None, [action.resource, placed(action.placement)]))}: {action.reason}"
    return f"{type(action).__name__.lower()} {action.instance}: {action.reason}"


def _as_json(name: str, planned: Planned) -> dict[str, Any]:
    return {
        "scaler": name,
        "needs": planned.plan.needs,
        "lacking": planned.plan.lacking,
        "actions": [{"action": type(one).__name__.lower(), **plain(one)} for one in planned.plan.actions],
        "machines": planned.machines,
    }
