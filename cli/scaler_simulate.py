"""`tasktape scaler simulate`: what a scaler's settings come to with a trace of tasks, before they cost anything."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from ..dashboard.formatting import duration
from .options import Json
from .output import Column, note, plain, print_json, print_table
from .reading import reading

if TYPE_CHECKING:
    from ..producers.figures import Figure
    from ..scaler.outcome import Outcome
    from ..scaler.settings import ScalerSettings
    from ..scaler.traces import Trace

_RECORDED: Final = """
SELECT epoch(e.enqueued_at), e.queue, epoch(r.ended_at) - epoch(r.started_at)
FROM entry_states e JOIN runs r ON r.task = e.task AND r.run = e.run
WHERE e.hop = 0 AND r.ended_at IS NOT NULL AND r.started_at IS NOT NULL
"""
_CURVES: Final = (("machines", "solid"), ("busy", "dot"))
_COLORS: Final = ("#3b6fd4", "#d9822b", "#2f9e77", "#c44569")
_POINTS: Final = 200

TraceName = Annotated[
    str,
    typer.Argument(
        metavar="[TRACE]",
        help="A CSV or Parquet file with the columns arrival, queue, duration (seconds); or poisson(RATE, HOURS), "
        "daily(PEAK, HOURS) with rates per hour, or bursts(SIZE, MINUTES, HOURS).",
    ),
]
Configs = Annotated[
    list[Path], typer.Option("--config", "-c", metavar="FILE", help="A scaler's settings; twice to compare two.")
]
FromLog = Annotated[bool, typer.Option("--from-log", help="The tasks that this log has recorded are the trace.")]
Minutes = Annotated[float, typer.Option("--minutes", min=0.0, help="How long generated tasks run on average.")]
Boot = Annotated[str, typer.Option("--boot", metavar="SECONDS", help="How long machines boot: 90, or from-to: 60-120.")]
Interruptions = Annotated[
    float, typer.Option("--interruptions", min=0.0, metavar="RATE", help="Times an hour a spot machine is taken away.")
]
Seed = Annotated[int, typer.Option("--seed", help="Of all that is left to chance.")]
Html = Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write a page with figures there.")]


def simulate(
    trace: TraceName = "",
    config: Configs = [Path("scaler.toml")],  # noqa: B006  typer copies it
    minutes: Minutes = 10.0,
    boot: Boot = "60-120",
    interruptions: Interruptions = 0.0,
    seed: Seed = 0,
    html: Html = None,
    *,
    from_log: FromLog = False,
    as_json: Json = False,
) -> None:
    """Let a scaler's policy loose on a trace of tasks, in simulated time: waiting times, machines, cost, utilisation.

    Examples:
    $ tasktape scaler simulate "daily(400, 168)" --minutes 25 --config scaler.toml
    $ tasktape scaler simulate tasks.csv --config now.toml --config cheaper.toml --html compared.html
    $ tasktape scaler simulate --from-log
    """
    from ..scaler.config import read_config  # noqa: PLC0415  pydantic and NumPy, for those who need it
    from ..scaler.simulation import Hardware, Simulation  # noqa: PLC0415  the same

    policies = [read_config(file) for file in config]
    told = _recorded() if from_log else _trace(trace, policies[0], minutes, seed)
    hardware = Hardware(_range(boot), interruptions, seed)
    outcomes = [Simulation(policy, told, hardware).run() for policy in policies]
    names = [str(file) for file in config]
    if html is not None:
        _write(html, names, outcomes, len(told))
    if as_json:
        print_json([_as_json(name, outcome) for name, outcome in zip(names, outcomes, strict=True)])
        return
    columns = [Column("", grow=True), *(Column(name, right=True) for name in names)]
    print_table(columns, _rows(outcomes), "")
    if html is not None:
        note(f"Written to {html}.")


def _trace(text: str, policy: ScalerSettings, minutes: float, seed: int) -> Trace:
    from ..scaler.traces import generated, read_trace  # noqa: PLC0415  see `simulate`

    if not text:
        raise typer.BadParameter("a trace is needed: a file, a generator such as 'poisson(60, 24)', or --from-log.")
    return generated(text, list(policy.queues), minutes, seed) or read_trace(Path(text))


def _recorded() -> Trace:
    from ..scaler.traces import trace_of  # noqa: PLC0415  see `simulate`

    with reading() as queries:
        table = queries.sql(_RECORDED)
    arrivals, queues, seconds = (column.to_pylist() for column in table.columns)
    return trace_of(arrivals, queues, seconds)


def _range(text: str) -> tuple[float, float]:
    least, _, most = text.partition("-")
    try:
        found = float(least), float(most or least)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is neither seconds nor from-to, such as 60-120.") from error
    return found


def _rows(outcomes: Sequence[Outcome]) -> list[list[str]]:
    told = [dict(_figures(outcome)) for outcome in outcomes]
    names = list(dict.fromkeys(name for figures in told for name in figures))
    return [[name, *(figures.get(name, "") for figures in told)] for name in names]


def _figures(outcome: Outcome) -> Iterator[tuple[str, str]]:
    for queue, waits in outcome.waits.items():
        yield f"{queue}: tasks", f"{waits.tasks:,}"
        for name in ("p50", "p95", "p99", "longest"):
            yield f"{queue}: waiting, {name}", _seconds(getattr(waits, name))
    if outcome.unserved:
        yield "tasks that no machine came for", f"{outcome.unserved:,}"
    if outcome.interrupted:
        yield "tasks interrupted and begun again", f"{outcome.interrupted:,}"
    yield "machines, p50", f"{outcome.machines_p50:,.0f}"
    yield "machines, most", f"{outcome.machines_max:,}"
    for resource, count in outcome.launches.items():
        yield f"launches of {resource}", f"{count:,}"
    yield "machine hours", f"{outcome.machine_hours:,.1f}"
    yield "cost", f"${outcome.cost:,.2f}"
    yield "utilisation", f"{outcome.utilisation:.1%}"
    yield "time", duration(3600.0 * outcome.hours)
    yield "decisions", f"{outcome.decisions:,}"


def _seconds(value: float) -> str:
    return "" if isnan(value) else f"{value:,.1f} s"


def _as_json(name: str, outcome: Outcome) -> dict[str, Any]:
    told = plain(outcome)
    return {"config": name, **{key: value for key, value in told.items() if key not in ("curves", "waited")}}


def _write(file: Path, names: Sequence[str], outcomes: Sequence[Outcome], tasks: int) -> None:
    from .page import page  # noqa: PLC0415  plotly, for those who need it

    figures = [
        ("Machines, and slots at work", _over_time(names, outcomes, _CURVES)),
        ("Tasks waiting", _over_time(names, outcomes, (("waiting", "solid"),))),
        ("How long tasks waited", _distribution(names, outcomes)),
    ]
    table = [["", *names], *_rows(outcomes)]
    lines = [f"{tasks:,} tasks in {duration(3600.0 * outcomes[0].hours)}"]
    file.write_text(page("Simulation of a scaler", lines, figures, table), encoding="utf-8")


def _over_time(names: Sequence[str], outcomes: Sequence[Outcome], curves: Sequence[tuple[str, str]]) -> Figure:
    lines = []
    for place, (name, outcome) in enumerate(zip(names, outcomes, strict=True)):
        for curve, dash in curves:
            line = {"color": _COLORS[place % len(_COLORS)], "dash": dash, "shape": "hv"}
            hours = outcome.curves.moments / 3600.0
            lines.append({"x": hours, "y": getattr(outcome.curves, curve), "name": f"{name}: {curve}", "line": line})
    return {"data": lines, "layout": {"xaxis": {"title": {"text": "hours"}}, "height": 360}}


def _distribution(names: Sequence[str], outcomes: Sequence[Outcome]) -> Figure:
    import numpy as np  # noqa: PLC0415  the same

    shares = np.linspace(0.0, 100.0, _POINTS + 1)
    lines = [
        {"x": np.percentile(waited, shares), "y": shares, "name": f"{name}: {queue}"}
        for name, outcome in zip(names, outcomes, strict=True)
        for queue, waited in outcome.waited.items()
        if len(waited)
    ]
    axes = {"xaxis": {"title": {"text": "seconds"}}, "yaxis": {"title": {"text": "% of tasks waited less"}}}
    return {"data": lines, "layout": {**axes, "height": 360}}
