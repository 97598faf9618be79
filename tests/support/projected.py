"""A log on which tests speak, and its projection, which reads each event in a batch of its own."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from tasktape.events import task_events
from tasktape.events.base import Event, Meta, to_us
from tasktape.events.codec import Codec
from tasktape.events.log.memory import MemoryLog
from tasktape.events.parts import TaskSpec
from tasktape.events.topics import TOPICS
from tasktape.projections.database import Database
from tasktape.projections.projector import Projector
from tasktape.projections.query import Queries
from tasktape.projections.source import DatabaseSource

CODEC = Codec()
E = TypeVar("E", bound=Event)
START = datetime(2026, 1, 1, tzinfo=UTC)


class Projected:
    """Says one event a second from `START` on, in a session, and answers at once what came of it."""

    def __init__(self) -> None:
        self.log = MemoryLog(clock=lambda: to_us(START) + self.said * 1_000_000)
        self.log.create_topics(TOPICS)
        self.database = Database.in_memory("")
        self.projector = Projector(self.log, self.database, CODEC)
        self.ask = Queries(DatabaseSource(self.database))
        self.said = 0
        self.session = "s"

    def say(self, kind: type[E], /, **fields: Any) -> E:
        self.said += 1
        moment = START + timedelta(seconds=self.said)
        meta = Meta(event_id=f"e{self.said}", occurred_at=moment, actor="a", session=self.session, seq=self.said)
        event = kind.model_validate({"meta": meta, **fields})
        self.log.append(event.topic_name, event.key, CODEC.encode(event))
        self.projector.catch_up()
        return event

    def task(self, task: str, run: int = 0) -> None:
        self.say(task_events.TaskCreated, task=task, spec=TaskSpec(project="p", name=task))
        for number in range(1, run + 1):
            self.say(task_events.RunStarted, task=task, run=number)

    def close(self) -> None:
        self.projector.close()
        self.database.close()
