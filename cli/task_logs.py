"""`tasktape tasks logs`: a task's console, and with `-f` what it goes on to say, straight from the log."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Final

import typer

from ..projections.rows import ConsoleRow, TaskRow
from .lookup import find_task
from .options import Json, TaskId
from .output import console, note, print_json, print_json_line, terminal_line
from .reading import reading

if TYPE_CHECKING:
    from ..events.base import Event
    from ..events.codec import Codec
    from ..events.log import Log, LogRecord, Positions, Reader

_CONSOLE: Final = "tasktape.console"
_TASKS: Final = "tasktape.tasks"
_FINAL: Final = frozenset({"RunCompleted", "RunFailed", "RunStopped", "TaskReset"})
_ENDED: Final = ("completed", "failed", "stopped", "published")
_LINGER: Final = 1.0
"""Seconds to wait for last lines after a run's final event: lines and final event lie in different topics."""

Follow = Annotated[bool, typer.Option("--follow", "-f", help="Go on with new lines until the run ends.")]
Tail = Annotated[int, typer.Option("--tail", "-n", min=0, metavar="LINES", help="The last so many lines; 0 for all.")]
Run = Annotated[int | None, typer.Option("--run", min=1, help="Only this run.")]


def task_logs(task: TaskId, tail: Tail = 0, run: Run = None, *, follow: Follow = False, as_json: Json = False) -> None:
    """Print a task's console output.

    Examples:
    $ tasktape tasks logs digits --tail 50
    $ tasktape tasks logs -f 0199a3c2
    """
    with reading() as queries:
        found = find_task(queries, task)
        lines = queries.console(found.id, tail or None, run=run)
        positions = queries.positions()
    if as_json and not follow:
        print_json(lines)
        return
    for line in lines:
        _print(line, as_json=as_json)
    if follow and found.status not in _ENDED:
        _follow(found, positions, run, as_json=as_json)
    elif not lines:
        note(f"{found.name!r} has written nothing{f' in run {run}' if run else ''}.")


def _print(line: ConsoleRow, *, as_json: bool) -> None:
    if as_json:
        print_json_line(line)
    else:
        console().print(terminal_line(line.text), soft_wrap=True)


def _follow(task: TaskRow, known: Positions, run: int | None, *, as_json: bool) -> None:
    from ..events.settings import load_settings  # noqa: PLC0415  see `reading`

    settings = load_settings()
    with settings.open_log() as log, log.read(_partitions(log, task.id, known)) as reader:
        for event in _events(reader, task.id, settings.codec()):
            for line in _lines(event):
                if run in {None, line.run}:
                    _print(line, as_json=as_json)


def _partitions(log: Log, task_id: str, known: Positions) -> Positions:
    """Where to go on in the partitions that hold the task's console and its life."""
    from ..events.log import TopicPartition, partition_of  # noqa: PLC0415  see `reading`

    topics = log.topics()
    sources = [TopicPartition(topic, partition_of(task_id, topics[topic].partitions)) for topic in (_CONSOLE, _TASKS)]
    return {source: known.get(source, 0) for source in sources}


def _events(reader: Reader, task_id: str, codec: Codec) -> Iterator[Event]:
    """The task's events as they come; ends a while after a final event of a run, when nothing more comes."""
    ended = False
    while True:
        records = reader.poll(_LINGER)
        if ended and not records:
            return
        for event in filter(None, (_read(record, codec) for record in records if record.key == task_id)):
            ended = ended or type(event).__name__ in _FINAL
            yield event


def _read(record: LogRecord, codec: Codec) -> Event | None:
    """Event of a record, None for one that can't be read: `doctor` counts those."""
    from ..events.errors import DecodeError  # noqa: PLC0415  see `reading`
    from ..events.wire import read_event  # noqa: PLC0415  the same

    try:
        return read_event(record, codec=codec)
    except DecodeError:
        return None


def _lines(event: Event) -> list[ConsoleRow]:
    from ..events.base import from_us  # noqa: PLC0415  see `reading`
    from ..events.report_events import ConsoleWritten  # noqa: PLC0415  the same

    if not isinstance(event, ConsoleWritten):
        return []
    return [
        ConsoleRow(event.run, from_us(line.at), line.stream, line.text, 0, index)
        for index, line in enumerate(event.lines)
    ]
