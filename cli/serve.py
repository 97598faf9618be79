"""`tasktape serve`: holds the projection, follows the log, and answers queries over Arrow Flight."""

from __future__ import annotations

from .output import note


def serve() -> None:
    """Hold the projection and serve it to commands, scripts and dashboards of this machine, until Ctrl-C.

    Where nobody serves, each command catches up by itself; with a server they answer at once.

    Examples:
    $ tasktape serve
    """
    from ..events.settings import load_settings  # noqa: PLC0415  see `reading`
    from ..projections import serve_projection  # noqa: PLC0415  the same

    settings = load_settings()
    with serve_projection(settings) as server:
        note(f"Serving the projection of {settings.log} at {server.location}. Ctrl-C stops it.")
        server.wait()
