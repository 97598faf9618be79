"""`tasktape sync`: brings to the log what processes that died or were cut off left on this machine."""

from __future__ import annotations

from .options import Json
from .output import note, print_json, progress


def sync(*, as_json: Json = False) -> None:
    """Bring to the log what was reported while it was away, or by processes that died.

    Agents and the next task on this machine do this too; this command does it now.

    Examples:
    $ tasktape sync
    """
    from ..events.settings import load_settings  # noqa: PLC0415  see `reading`
    from ..producers.sync import sync as bring  # noqa: PLC0415  the same

    settings = load_settings()
    with progress(f"Bringing what is left on this machine to {settings.log}") as say:
        brought = bring(settings, lambda records: say(f"{records:,} records"))
    if as_json:
        print_json(brought)
    else:
        note(str(brought))
