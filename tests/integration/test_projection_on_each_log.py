"""The projection on the embedded log and on Kafka: catches up, goes on where it was, follows live, finds new queues."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasktape.events.base import Event, Stamper
from tasktape.events.log.port import Log
from tasktape.events.parts import TaskSpec
from tasktape.events.queue_events import EntryEnqueued, entry_id
from tasktape.events.settings import Settings
from tasktape.events.task_events import RunCompleted, RunStarted, TaskCreated
from tasktape.events.topics import TOPICS, queue_spec
from tasktape.events.wire import append_event
from tasktape.projections import open_queries, serving

SPEC = TaskSpec(project="p", name="n")


@pytest.fixture
def settings(log_url: str, home: Path) -> Settings:
    return Settings(home=home, log=log_url)


class Writer:
    """Says what happens to tasks, in one session."""

    def __init__(self, log: Log, settings: Settings) -> None:
        self.log = log
        self.codec = settings.codec()
        self.stamp = Stamper()
        log.create_topics(TOPICS)

    def say(self, *events: Event) -> None:
        for event in events:
            append_event(self.log, event, codec=self.codec)
        assert self.log.flush(30) == 0

    def run(self, task: str) -> None:
        self.say(
            TaskCreated(meta=self.stamp(), task=task, spec=SPEC),
            RunStarted(meta=self.stamp(), task=task, run=1),
            RunCompleted(meta=self.stamp(), task=task, run=1),
        )

    def enqueue(self, task: str, queue: str) -> None:
        self.log.create_topics([queue_spec(queue)])
        entry = entry_id(queue, task, 2)
        self.say(EntryEnqueued(meta=self.stamp(), task=task, queue=queue, entry=entry, run=2, spec=SPEC))


def statuses(settings: Settings, *, fresh: bool = True) -> dict[str, str]:
    with open_queries(settings, fresh=fresh) as queries:
        return {row.id: row.status for row in queries.tasks()}


def test_questions_know_what_was_on_the_log_when_they_were_asked(settings: Settings) -> None:
    with settings.open_log() as log:
        writer = Writer(log, settings)
        for number in range(20):
            writer.run(f"t{number}")
        assert statuses(settings) == {f"t{number}": "completed" for number in range(20)}
        writer.enqueue("t3", "late queue")
        assert statuses(settings)["t3"] == "queued"
        with open_queries(settings) as queries:
            assert [event.verdict for event in queries.events("t3")] == ["accepted"] * 4
            assert queries.dead_letters() == []


def test_who_serves_follows_and_finds_queues_that_are_new(settings: Settings, until: Callable[..., Any]) -> None:
    with settings.open_log() as log:
        writer = Writer(log, settings)
        writer.run("t1")
        with serving(settings):
            writer.run("t2")
            writer.enqueue("t1", "late")
            until(lambda: statuses(settings, fresh=False) == {"t1": "queued", "t2": "completed"})
            writer.run("t3")
            assert statuses(settings)["t3"] == "completed"
