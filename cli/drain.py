"""`tasktape agent drain`: asks a worker, wherever it is, to take nothing new, finish, and leave."""

from __future__ import annotations

from typing import Annotated

import typer

from ..dashboard.formatting import one_line
from .appending import append
from .errors import NotFoundError, near_matches
from .options import Json, Reason
from .output import note, print_json
from .reading import reading

Worker = Annotated[str, typer.Argument(metavar="WORKER", help="The worker, as `tasktape workers list` names it.")]


def drain(worker: Worker, reason: Reason = "", *, as_json: Json = False) -> None:
    """Have a worker take nothing new, finish what it runs, and leave.

    Examples:
    $ tasktape agent drain lab-3:4711-a1b2c3
    $ tasktape agent drain lab-3:4711-a1b2c3 --reason "new driver"
    """
    from ..events.base import Stamper  # noqa: PLC0415  see `reading`
    from ..events.worker_events import DrainRequested  # noqa: PLC0415  the same

    with reading() as queries:
        living = [known.id for known in queries.workers() if not known.stopped_at]
    if worker not in living:
        raise NotFoundError("worker", worker, near_matches(worker, living), "`tasktape workers list` shows who lives.")
    append(DrainRequested(meta=Stamper()(), worker=worker, reason=reason), f"Asking {worker}")
    if as_json:
        print_json({"worker": worker, "reason": reason})
    else:
        note(f"Asked {one_line(worker)} to finish what it runs and leave: `tasktape workers list` shows how far it is.")
