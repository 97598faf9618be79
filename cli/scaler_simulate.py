"""`tasktape scaler simulate`: what a scaler's settings come to with a trace of tasks, before they cost anything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from ..dashboard.formatting import duration
from .options import Json
from .output import Column, note, plain, print_json, print_table, progress
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
  AND e.enqueued_at >= (SELECT max(enqueued_at) FROM entry_states) - to_seconds(86400 * {days})
"""
_CURVES: Final = (
    ("Machines", {"machines": "solid"}),
    ("Slots at work, of those there are", {"busy": "solid", "slots": "dot"}),
    ("Tasks waiting", {"waiting": "solid"}),
)
_COLORS: Final = ("#3b6fd4", "#d9822b", "#2f9e77", "#c44569")
_DASHES: Final = ("solid", "dot", "dash", "dashdot")
_POINTS: Final = 200
_LAYOUT: Final = {
    "height": 320,
    "margin": {"t": 10, "r": 10},
    "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom"},
    "showlegend": True,
    "hovermode": "x unified",
}

TraceName = Annotated[
    str,
    typer.Argument(
        metavar="[TRACE]",
        help="A file (.csv, .parquet or .jsonl) with the columns arrival, queue, duration (seconds); or "
        "poisson(RATE, HOURS), daily(PEAK, HOURS) with rates per hour, or bursts(SIZE, MINUTES, HOURS).",
    ),
]
Configs = Annotated[
    list[Path], typer.Option("--config", "-c", metavar="FILE", help="A scaler's settings; twice to compare two.")
]
FromLog = Annotated[
    bool, typer.Option("--from-log", help="The trace is what came into these queues by this log, with how long it ran.")
]
Days = Annotated[float, typer.Option("--days", min=0.0, help="So many of the log's last days, with --from-log.")]
Minutes = Annotated[float, typer.Option("--minutes", min=0.01, help="How long generated tasks run on average.")]
Boot = Annotated[str, typer.Option("--boot", metavar="SECONDS", help="How long machines boot: 90, or from-to: 60-120.")]
Interruptions = Annotated[
    float, typer.Option("--interruptions", min=0.0, metavar="RATE", help="Times an hour a spot machine is taken away.")
]
Seed = Annotated[int, typer.Option("--seed", help="Of all that is left to chance.")]
Html = Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write a page with figures there.")]


def simulate(
    trace: TraceName = "",
    config: Configs = [Path("scaler.toml")],  # noqa: B006  typer copies it
    days: Days = 30.0,
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
    $ tasktape scaler simulate --from-log --days 7
    """
    from ..scaler.config import read_config  # noqa: PLC0415  pydantic and NumPy, for those who need it
    from ..scaler.simulation import Hardware, Simulation  # noqa: PLC0415  the same

    hardware = Hardware(_range(boot), interruptions, seed)
    policies = [read_config(file) for file in config]
    told = _recorded(days, policies) if from_log else _trace(trace, policies[0], minutes, seed)
    outcomes = []
    for file, policy in zip(config, policies, strict=True):
        with progress(f"Simulating {len(told):,} tasks with {file}"):
            outcomes.append(Simulation(policy, told, hardware).run())
    names = _names(config)
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


def _recorded(days: float, policies: Sequence[ScalerSettings]) -> Trace:
    """What the log has recorded of the queues that all settings serve."""
    from ..scaler.traces import TraceError, served, trace_of  # noqa: PLC0415  see `simulate`

    with reading() as queries:
        table = queries.sql(_RECORDED.format(days=days))
    if not len(table):
        raise TraceError("this log has no task that came into a queue, ran and ended: generate a trace instead.")
    whole = trace_of(*(column.to_pylist() for column in table.columns))
    found = served(whole, [name for name in policies[0].queues if all(name in policy.queues for policy in policies)])
    if left := len(whole) - len(found):
        note(f"{left:,} tasks came into other queues, and are left out.")
    return found


def _names(files: Sequence[Path]) -> list[str]:
    """What settings are called: by their files' names, where these differ."""
    stems = [file.stem for file in files]
    return stems if len(set(stems)) == len(stems) else [str(file) for file in files]


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
        for reason, hours in outcome.held_back[queue].items():
            yield f"{queue}: held back by {reason}", duration(3600.0 * hours)
    if outcome.unserved:
        yield "tasks that no machine came for", f"{outcome.unserved:,}"
    if outcome.interrupted:
        yield "tasks interrupted and begun again", f"{outcome.interrupted:,}"
    yield "machines, half of the time at most", f"{outcome.machines_p50:,.0f}"
    yield "machines, most", f"{outcome.machines_max:,}"
    for resource, count in outcome.launches.items():
        yield f"launches of {resource}", f"{count:,}"
    yield "machine hours", f"{outcome.machine_hours:,.1f}"
    yield "cost", f"${outcome.cost:,.2f}"
    yield "utilisation", f"{outcome.utilisation:.1%}"
    yield "time simulated", duration(3600.0 * outcome.hours)
    yield "decisions of the policy", f"{outcome.decisions:,}"


def _seconds(value: float) -> str:
    return "" if isnan(value) else duration(value)


def _as_json(name: str, outcome: Outcome) -> dict[str, Any]:
    told = plain(outcome)
    return {"config": name, **{key: value for key, value in told.items() if key not in ("curves", "waited")}}


def _write(file: Path, names: Sequence[str], outcomes: Sequence[Outcome], tasks: int) -> None:
    from .page import page  # noqa: PLC0415  plotly, for those who need it

    figures = [(title, _over_time(names, outcomes, curves)) for title, curves in _CURVES]
    figures.append(("Tasks that waited for longer", _distribution(names, outcomes)))
    table = [["", *names], *_rows(outcomes)]
    lines = [f"{tasks:,} tasks in {duration(3600.0 * outcomes[0].hours)}"]
    file.write_text(page("Simulation of a scaler", lines, figures, table), encoding="utf-8")


def _over_time(names: Sequence[str], outcomes: Sequence[Outcome], curves: Mapping[str, str]) -> Figure:
    lines = [
        {
            "x": outcome.curves.moments / 3600.0,
            "y": getattr(outcome.curves, curve),
            "name": f"{name}: {curve}",
            "line": {"color": _COLORS[place % len(_COLORS)], "dash": dash, "shape": "vh", "width": 1.5},
        }
        for place, (name, outcome) in enumerate(zip(names, outcomes, strict=True))
        for curve, dash in curves.items()
    ]
    return {"data": lines, "layout": {**_LAYOUT, "xaxis": {"title": {"text": "hours"}}}}


def _distribution(names: Sequence[str], outcomes: Sequence[Outcome]) -> Figure:
    """The share of tasks that waited for longer than so many seconds."""
    import numpy as np  # noqa: PLC0415  the same

    shares = np.linspace(0.0, 1.0, _POINTS + 1)
    lines = []
    for place, (name, outcome) in enumerate(zip(names, outcomes, strict=True)):
        for number, (queue, waited) in enumerate(outcome.waited.items()):
            some = waited[waited > 0]
            seconds = np.quantile(some, shares) if len(some) else np.zeros(1)
            percents = 100.0 * (1.0 - shares) * len(some) / max(1, len(waited))
            look = {"color": _COLORS[place % len(_COLORS)], "dash": _DASHES[number % len(_DASHES)]}
            lines.append({"x": seconds, "y": percents[: len(seconds)], "name": f"{name}: {queue}", "line": look})
    axes = {"xaxis": {"title": {"text": "seconds"}}, "yaxis": {"title": {"text": "% of tasks"}}}
    return {"data": lines, "layout": {**_LAYOUT, **axes}}
