"""`tasktape doctor`: what answers, which versions, how far readers are behind, what waits on this machine."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import typer

from ..dashboard.formatting import number, one_line, size
from ..dashboard.worker_state import worker_state
from ..events.errors import SettingsError, TasktapeError
from ..producers.text import counted
from . import exit_codes
from .options import Json
from .output import console, note, print_json, progress
from .version import versions

if TYPE_CHECKING:
    from ..events.settings import Settings

State = Literal["ok", "warning", "failure", "not used", "not checked"]
_STYLES = {
    "ok": "green",
    "warning": "yellow",
    "failure": "red",
    "not used": "bright_black",
    "not checked": "bright_black",
}
_PROBE = b"tasktape doctor"


@dataclass(frozen=True)
class Finding:
    """What became of one check; `figures` are for programs."""

    check: str
    state: State
    message: str
    hint: str = ""
    figures: dict[str, Any] = field(default_factory=dict)


def doctor(*, as_json: Json = False) -> None:
    """Check what tasktape needs: the log, the blob store, the registry, the projection; and say how they are.

    Ends with 0 when nothing has failed, 4 when the log does not answer, else 1.

    Examples:
    $ tasktape doctor
    $ tasktape doctor --json
    """
    findings = list(_findings())
    if as_json:
        print_json({"versions": versions(), "findings": findings})
    else:
        _print(findings)
    failed = [finding.check for finding in findings if finding.state == "failure"]
    if failed:
        raise typer.Exit(exit_codes.LOG_UNAVAILABLE if "log" in failed else exit_codes.FAILURE)


def _findings() -> Iterator[Finding]:
    from ..events.settings import load_settings  # noqa: PLC0415  see `reading`

    try:
        settings = load_settings()
    except SettingsError as error:
        yield Finding("settings", "failure", str(error), "`tasktape init` writes a new settings file.")
        return
    log_answers = True
    for name, check in CHECKS.items():
        if name in NEED_THE_LOG and not log_answers:
            yield Finding(name, "not checked", "needs the log")
            continue
        with progress(f"Checking {name}"):
            finding = _guarded(name, check, settings)
        log_answers = log_answers and (name, finding.state) != ("log", "failure")
        yield finding


def _guarded(name: str, check: Callable[[Settings], Finding], settings: Settings) -> Finding:
    try:
        return check(settings)
    except (TasktapeError, OSError) as error:
        return Finding(name, "failure", str(error))


def _settings(settings: Settings) -> Finding:
    from ..events.settings_sources import settings_file  # noqa: PLC0415  see `reading`

    variables = sorted(name for name in os.environ if name.startswith("TASKTAPE_"))
    message = f"from {settings_file() or 'defaults'}" + (f", then {', '.join(variables)}" if variables else "")
    figures = {"file": settings_file(), "variables": variables, "home": settings.home}
    if not _writable(settings):
        return Finding(
            "settings",
            "failure",
            f"{settings.home} can't be written.",
            "Set TASKTAPE_HOME to a folder of yours.",
            figures,
        )
    return Finding("settings", "ok", message, figures=figures)


def _writable(settings: Settings) -> bool:
    there = next(folder for folder in (settings.home, *settings.home.parents) if folder.exists())
    return os.access(there, os.W_OK | os.X_OK)


def _log(settings: Settings) -> Finding:
    from ..events.settings import without_credentials  # noqa: PLC0415  see `reading`
    from ..events.topics import TOPICS  # noqa: PLC0415  the same

    started = time.monotonic()
    with settings.open_log() as log:
        topics = log.topics()
        records = sum(log.end_positions(topics).values())
    took = (time.monotonic() - started) * 1000
    url = without_credentials(settings.log)
    figures = {"url": url, "topics": len(topics), "records": records, "milliseconds": round(took, 1)}
    missing = [topic.name for topic in TOPICS if topic.name not in topics]
    if missing and topics:
        return Finding(
            "log",
            "warning",
            f"{url} lacks {', '.join(missing)}.",
            "The first task creates them, or `tasktape init`.",
            figures,
        )
    text = f"{url} answers in {took:.0f} ms: {counted(len(topics), 'topic')}, {counted(records, 'record')}"
    return Finding("log", "ok", text, figures=figures)


def _blobs(settings: Settings) -> Finding:
    store = settings.blob_store()
    ref = store.put_bytes(_PROBE, name="doctor")
    with store.open(ref) as blob:
        intact = blob.read() == _PROBE
    store.delete(ref)
    message = f"{settings.blobs} takes and gives back"
    return Finding("blob store", "ok" if intact else "failure", message, figures={"url": settings.blobs})


def _registry(settings: Settings) -> Finding:
    if not settings.schema_registry:
        return Finding("schema registry", "not used", "events carry their schema's fingerprint")
    from confluent_kafka.schema_registry import SchemaRegistryClient  # noqa: PLC0415  see `reading`

    from ..events.settings import without_credentials  # noqa: PLC0415  the same

    url = without_credentials(settings.schema_registry)
    try:
        subjects = SchemaRegistryClient(
            {"url": settings.schema_registry, "timeout": 5, "max.retries": 0}
        ).get_subjects()
    except Exception as error:  # noqa: BLE001  whichever HTTP library the client was built on
        return Finding(
            "schema registry", "failure", f"{url} does not answer: {error}", "Check TASKTAPE_SCHEMA_REGISTRY."
        )
    return Finding("schema registry", "ok", f"{url} holds {counted(len(subjects), 'subject')}", figures={"url": url})


def _projection(settings: Settings) -> Finding:
    from ..events.log.port import lag  # noqa: PLC0415  see `reading`
    from ..projections import open_queries  # noqa: PLC0415  the same

    with settings.open_log() as log:
        ends = log.end_positions(log.topics())
    with open_queries(settings, fresh=False) as queries:
        known, dead = queries.positions(), len(queries.dead_letters(limit=1000))
    behind = lag(ends, known)
    figures = {"behind": behind, "dead_letters": dead}
    message = f"{counted(behind, 'record')} behind the log"
    if dead:
        hint = "SELECT * FROM dead_letters in the projection names each with its place and error."
        return Finding("projection", "warning", f"{message}; {number(dead)} could not be read", hint, figures)
    return Finding("projection", "ok", message, figures=figures)


def _queues(settings: Settings) -> Finding:
    """How far the agents of each queue have come, as standard tools see it: the lag of their consumer group."""
    from ..events.groups import agents_group  # noqa: PLC0415  see `reading`
    from ..events.log.port import lag  # noqa: PLC0415  the same
    from ..events.queue_events import queue_of_topic, queue_topic  # noqa: PLC0415  the same
    from ..projections import open_queries  # noqa: PLC0415  the same

    with open_queries(settings, fresh=True) as queries:
        known = {queue.name: queue for queue in queries.queues()}
    with settings.open_log() as log:
        names = sorted({queue_of_topic(topic) for topic in log.topics() if topic.startswith(queue_topic(""))})
        lags = {name: lag(log.end_positions([queue_topic(name)]), log.committed(agents_group(name))) for name in names}
    figures = {
        name: {
            "lag": lag,
            "waiting": known[name].waiting if name in known else 0,
            "workers": len(known[name].workers) if name in known else 0,
        }
        for name, lag in lags.items()
    }
    said = (
        f"{name}: {counted(one['workers'], 'worker')}, {number(one['waiting'])} waiting, lag {number(one['lag'])}"
        for name, one in figures.items()
    )
    return Finding("queues", "ok", "; ".join(said) or "none", figures=figures)


def _workers(settings: Settings) -> Finding:
    from ..projections import open_queries  # noqa: PLC0415  see `reading`

    with open_queries(settings, fresh=True) as queries:
        workers, queues = queries.workers(), queries.queues()
    now = datetime.now(UTC)
    states = [worker_state(worker, now) for worker in workers]
    figures = {state: states.count(state) for state in ("busy", "idle", "silent")}
    deleted = [queue.name for queue in queues if queue.deleted]
    if deleted:
        hint = f"`tasktape queues clear {deleted[0]}` empties it, `tasktape queues create {deleted[0]}` brings it back."
        return Finding("workers", "warning", f"tasks wait in deleted queues: {', '.join(deleted)}", hint, figures)
    unserved = [queue.name for queue in queues if queue.waiting and not queue.workers]
    if unserved:
        hint = f"`tasktape agent --queue {unserved[0]}` serves it."
        return Finding("workers", "warning", f"nobody serves {', '.join(unserved)}", hint, figures)
    text = ", ".join(f"{count} {state}" for state, count in figures.items() if count) or "none"
    return Finding("workers", "ok", text, figures=figures)


def _spool(settings: Settings) -> Finding:
    from ..producers.spool_folder import roots  # noqa: PLC0415  see `reading`

    here, elsewhere = roots(settings)
    files = _files(here) + _files(elsewhere)
    waiting = sum(path.stat().st_size for path in files)
    others = len(_files(here.parent)) - len(_files(here))
    figures = {"files": len(files), "bytes": waiting, "files_for_other_logs": others}
    said = [f"{size(waiting)} in {counted(len(files), 'file')} wait to reach the log"] * bool(waiting)
    said += [f"{counted(others, 'file')} of processes that had another log set"] * bool(others)
    if not said:
        return Finding("spool", "ok", "nothing waits on this machine", figures=figures)
    hint = "`tasktape sync` brings to the log that is set what was said to it."
    return Finding("spool", "warning", "; ".join(said), hint, figures)


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


CHECKS: dict[str, Callable[[Settings], Finding]] = {
    "settings": _settings,
    "log": _log,
    "blob store": _blobs,
    "schema registry": _registry,
    "projection": _projection,
    "queues": _queues,
    "workers": _workers,
    "spool": _spool,
}


NEED_THE_LOG = ("projection", "queues", "workers")


def _print(findings: list[Finding]) -> None:
    from rich.table import Table  # noqa: PLC0415  see `output.console`
    from rich.text import Text  # noqa: PLC0415  the same

    grid = Table.grid(padding=(0, 2))
    for finding in findings:
        message = Text(one_line(finding.message, 1000), overflow="fold")
        if finding.hint:
            message.append(f"\n{finding.hint}", style="bright_black")
        grid.add_row(Text(finding.state, style=_STYLES[finding.state]), finding.check, message)
    console().print(grid)
    note(", ".join(f"{name} {version}" for name, version in versions().items() if version))
