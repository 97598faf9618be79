"""`tasktape agent`: claims what waits in queues and runs it here."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from .lookup import DEFAULT_QUEUE
from .options import named

Queues = Annotated[
    list[str] | None,
    typer.Option("--queue", "-q", metavar="QUEUE", help="Queues to serve, best first; by default `default`."),
]
More = Annotated[list[str] | None, typer.Argument(metavar="[QUEUE]...", help="More queues to serve, in order.")]
Environment = Annotated[
    Literal["venv", "current"],
    typer.Option("--env", help="Run tasks in virtual environments of their own, or in the agent's own."),
]
Docker = Annotated[
    str | None,
    typer.Option(
        metavar="[IMAGE]",
        help="Run tasks in Docker containers, of their own image, else of this one (arguments may follow, quoted).",
    ),
]
Podman = Annotated[str | None, typer.Option(metavar="[IMAGE]", help="The same with Podman.")]
LogFormat = Annotated[Literal["text", "json"], typer.Option("--log-format", help="What the agent says of itself.")]
Services = Annotated[bool, typer.Option("--services", help="Run any number of long-lived tasks at once.")]


def agent(
    queue: Queues = None,
    more: More = None,
    *,
    services: Services = False,
    environment: Environment = "venv",
    docker: Docker = None,
    podman: Podman = None,
    log_format: LogFormat = "text",
) -> None:
    """Serve queues: claim tasks, build their environments, run them, send heartbeats, watch other workers.

    Ctrl-C or SIGTERM once: hand back what has not started, finish what runs. Twice: stop now.

    Examples:
    $ tasktape agent --queue default
    $ tasktape agent --queue gpu default
    $ tasktape agent --queue services --services
    $ tasktape agent --queue gpu --docker "nvcr.io/nvidia/pytorch:26.01-py3 --gpus all --ipc=host"
    """
    from ..agent.main import run_agent  # noqa: PLC0415  see `reading`
    from ..agent.places import Housing  # noqa: PLC0415  the same
    from ..events.settings import load_settings  # noqa: PLC0415  the same

    housing = Housing(environment, _engine(docker, podman), docker or podman or "")
    queues = [named(name) for name in (*(queue or ()), *(more or ()))] or [DEFAULT_QUEUE]
    raise typer.Exit(run_agent(load_settings(), queues, services, housing=housing, log_format=log_format))


def _engine(docker: str | None, podman: str | None) -> Literal["docker", "podman"] | None:
    if docker is not None and podman is not None:
        raise typer.BadParameter("choose one of --docker and --podman.")
    if docker is not None:
        return "docker"
    return None if podman is None else "podman"
