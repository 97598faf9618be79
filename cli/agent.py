"""`tasktape agent`: claims what waits in queues and runs it here."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

from .options import DEFAULT_QUEUE, named

if TYPE_CHECKING:
    from ..agent.devices import Capacity

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
Preemptible = Annotated[
    bool,
    typer.Option("--preemptible", help="SIGTERM means that the machine goes: hand back at once what runs."),
]
MaxIdle = Annotated[
    float | None,
    typer.Option("--max-idle-min", min=0.01, metavar="MINUTES", help="Leave after so long with nothing to do."),
]
MetricsPort = Annotated[
    int | None,
    typer.Option(
        "--metrics-port", min=0, max=65535, help="Serve metrics for Prometheus at this port; 0: any free one."
    ),
]
MetricsHost = Annotated[
    str, typer.Option("--metrics-host", metavar="ADDRESS", help="Serve them at this address of the machine.")
]
Services = Annotated[bool, typer.Option("--services", help="Run any number of light, long-lived tasks at once.")]
Slots = Annotated[int | None, typer.Option("--slots", min=1, help="Run so many tasks at once; by default one.")]
Fairness = Annotated[
    bool, typer.Option("--order-fairness", help="Take from each queue in turn, not all of the first one first.")
]
Gpus = Annotated[
    str | None,
    typer.Option(
        metavar="0,1,…", help="GPUs to share out, each task its own: as many tasks at once; `none` hides all."
    ),
]
GpusPerTask = Annotated[
    int, typer.Option("--gpus-per-task", min=1, help="How many of them each task gets; more where it asks for more.")
]
Cpus = Annotated[
    float | None,
    typer.Option("--cpus", min=0, help="Processors for tasks that ask for some; by default all of the machine's."),
]
MemoryGb = Annotated[
    float | None,
    typer.Option("--memory-gb", min=0, help="Memory (GiB) for tasks that ask for some; by default the machine's."),
]
SERVICES_SLOTS: Final = 1000


def agent(
    queue: Queues = None,
    more: More = None,
    *,
    slots: Slots = None,
    services: Services = False,
    order_fairness: Fairness = False,
    gpus: Gpus = None,
    gpus_per_task: GpusPerTask = 1,
    cpus: Cpus = None,
    memory_gb: MemoryGb = None,
    environment: Environment = "venv",
    docker: Docker = None,
    podman: Podman = None,
    log_format: LogFormat = "text",
    preemptible: Preemptible = False,
    max_idle_min: MaxIdle = None,
    metrics_port: MetricsPort = None,
    metrics_host: MetricsHost = "127.0.0.1",
) -> None:
    """Serve queues: claim tasks, build their environments, run them, send heartbeats, watch other workers.

    Ctrl-C or SIGTERM once: hand back what has not started, finish what runs. Twice: hand back what runs, too. From
    elsewhere, `tasktape agent drain WORKER` does what the first Ctrl-C does.

    Examples:
    $ tasktape agent --queue default
    $ tasktape agent --queue gpu default
    $ tasktape agent --queue gpu --gpus 0,1,2,3 --gpus-per-task 2
    $ tasktape agent --queue one --queue two --order-fairness --slots 4
    $ tasktape agent --queue services --services
    $ tasktape agent --queue gpu --docker "nvcr.io/nvidia/pytorch:26.01-py3 --gpus all --ipc=host"
    """
    from ..agent.main import run_agent  # noqa: PLC0415  see `reading`
    from ..agent.onlookers import Address  # noqa: PLC0415  the same
    from ..agent.places import Housing  # noqa: PLC0415  the same
    from ..agent.settings_apart import settings_apart  # noqa: PLC0415  the same

    housing = Housing(environment, _engine(docker, podman), docker or podman or "")
    queues = [named(name) for name in (*(queue or ()), *(more or ()))] or [DEFAULT_QUEUE]
    capacity = _capacity(slots or (SERVICES_SLOTS if services else None), gpus, gpus_per_task, cpus, memory_gb)
    raise typer.Exit(
        run_agent(
            settings_apart(),
            queues,
            capacity,
            fair=order_fairness,
            housing=housing,
            log_format=log_format,
            preemptible=preemptible,
            metrics_at=None if metrics_port is None else Address(metrics_host, metrics_port),
            max_idle=60.0 * max_idle_min if max_idle_min is not None else inf,
        )
    )


def _capacity(
    slots: int | None, gpus: str | None, per_task: int, cpus: float | None, memory_gb: float | None
) -> Capacity:
    from ..agent.devices import GpusError, capacity  # noqa: PLC0415  the same
    from ..agent.load import machine_hardware  # noqa: PLC0415  the same

    try:
        found = capacity(slots, gpus, per_task)
    except GpusError as error:
        raise typer.BadParameter(str(error), param_hint="--gpus") from error
    return found._replace(hardware=machine_hardware(found.gpus, cpus, memory_gb))


def _engine(docker: str | None, podman: str | None) -> Literal["docker", "podman"] | None:
    if docker is not None and podman is not None:
        raise typer.BadParameter("choose one of --docker and --podman.")
    if docker is not None:
        return "docker"
    return None if podman is None else "podman"
