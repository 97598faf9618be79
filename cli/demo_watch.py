"""What the demo sees while it waits: its tasks' events, folded into one line each. Pure; the log is passed in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ..events.base import Event
    from ..events.codec import Codec
    from ..events.log import Log, Reader

TOPICS: Final = ("tasktape.tasks", "tasktape.metrics")
ENDINGS: Final = {"RunCompleted": "completed", "RunFailed": "failed", "RunStopped": "stopped"}
PROJECT: Final = "examples"
NAME: Final = "digits"


@dataclass
class Seen:
    """What was seen of one task; `accuracy` is the last one on the validation set."""

    task: str
    name: str
    status: str = "queued"
    iteration: int = 0
    accuracy: float | None = None

    @property
    def ended(self) -> bool:
        """Whether its run is over."""
        return self.status in ENDINGS.values()


@dataclass
class Watch:
    """The tasks of one demo by id. The script's own task is the first `examples/digits` that this person creates."""

    actor: str
    seen: dict[str, Seen] = field(default_factory=dict)

    def add(self, task: str, name: str) -> None:
        """Watch a task too."""
        self.seen.setdefault(task, Seen(task, name))

    def all_ended(self) -> bool:
        """Whether there are tasks, and all their runs are over."""
        return bool(self.seen) and all(seen.ended for seen in self.seen.values())

    def apply(self, event: Event) -> bool:
        """Take an event in; return whether anything that is shown has changed."""
        kind = type(event).__name__
        if kind == "TaskCreated" and not self.seen:
            return self._first(event)
        seen = self.seen.get(event.key)
        if seen is None:
            return False
        if kind in ENDINGS:
            seen.status = ENDINGS[kind]
        elif kind == "RunStarted":
            seen.status = "in_progress"
        elif kind == "ScalarsReported":
            _progress(seen, event)
        else:
            return False
        return True

    def _first(self, event: Event) -> bool:
        from ..events.task_events import TaskCreated  # noqa: PLC0415  pydantic costs 75 ms

        ours = isinstance(event, TaskCreated) and event.meta.actor == self.actor
        if not isinstance(event, TaskCreated) or not ours or (event.spec.project, event.spec.name) != (PROJECT, NAME):
            return False
        self.add(event.task, event.spec.name)
        return True


def _progress(seen: Seen, event: Event) -> None:
    from ..events.report_events import ScalarsReported  # noqa: PLC0415  see above
    from ..events.scalars import columns_of  # noqa: PLC0415  NumPy

    if not isinstance(event, ScalarsReported):
        return
    columns = columns_of(event)
    if ("accuracy", "validation") not in columns.series:
        return
    chosen = columns.index == columns.series.index(("accuracy", "validation"))
    if chosen.any():
        seen.iteration = int(columns.steps[chosen][-1]) + 1
        seen.accuracy = float(columns.values[chosen][-1])


def open_reader(log: Log) -> Reader:
    """A reader of all that comes from now on."""
    return log.read(log.end_positions(TOPICS))


def events(reader: Reader, codec: Codec, timeout: float) -> Iterator[Event]:
    """The next events; records that can't be read are somebody else's."""
    from ..events.errors import DecodeError  # noqa: PLC0415  see above
    from ..events.wire import read_event  # noqa: PLC0415  the same

    for record in reader.poll(timeout):
        try:
            yield read_event(record, codec=codec)
        except DecodeError:
            continue
