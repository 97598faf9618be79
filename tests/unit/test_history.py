from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from tasktape.dashboard.history import changes, describe
from tasktape.events.base import Event, Meta
from tasktape.events.catalogue import EVENT_TYPES
from tasktape.events.instance_events import InstanceRequested, InstanceTerminated, Placement
from tasktape.events.parts import Artifact, Configuration, Parameter, TaskSpec
from tasktape.events.queue_events import EntryMoved
from tasktape.events.task_events import (
    ArtifactUploaded,
    ConfigurationSet,
    ParametersSet,
    RunFailed,
    RunStarted,
    TaskCreated,
    TaskEdited,
)

META = Meta(event_id="e", occurred_at=datetime(2025, 1, 1, tzinfo=UTC), actor="a", session="s", seq=0)
ARTIFACT = Artifact(name="table", type="pandas", uri="file:///x", size=1500, sha256="0")


def made(kind: type[Event], **content: Any) -> Event:
    return kind.model_validate({"meta": META, "task": "t", **content})


@pytest.mark.parametrize(
    ("event", "told"),
    [
        (made(TaskCreated, spec=TaskSpec(project="p", name="n")), "p / n"),
        (made(TaskEdited, field="comment", old='""', new='"hi"'), 'comment: "" → hi'),
        (
            made(
                ParametersSet,
                parameters=[Parameter(name="General/lr", value="0.2"), Parameter(name="General/kept", value="1")],
                old=[Parameter(name="General/lr", value="0.1"), Parameter(name="General/kept", value="1")],
                removed=["General/old"],
                reason="tuned",
            ),
            "General/lr: 0.1 → 0.2, General/old: (unset) → (unset) · tuned",
        ),
        (
            made(ConfigurationSet, configuration=Configuration(name="c", text="abc"), old_text=None),
            "c: (unset) → 3 characters",
        ),
        (
            InstanceRequested(
                meta=META,
                scaler="lab",
                instance="i",
                provider="aws",
                resource="gpu",
                queues=["train"],
                placement=Placement(instance_type="g5.xlarge", zone="a", spot=True),
                reason="2 waiting in train",
            ),
            'provider aws, resource gpu, queues ["train"], slots 1, spot, g5.xlarge, a · 2 waiting in train',
        ),
        (InstanceTerminated(meta=META, scaler="lab", instance="i", reason="it was ended"), "it was ended"),
        (made(RunStarted, run=2, worker="w", entry="q/t/2/0"), "run 2, worker w"),
        (made(RunFailed, run=1, reason="exception", message="no\nmore"), "run 1 · no · exception"),
        (made(ArtifactUploaded, run=1, artifact=ARTIFACT), "run 1 · table (pandas, 1.5 KB)"),
        (
            made(EntryMoved, queue="a", entry="a/t/1/0", run=1, to_queue="b", rank=2.5),
            "run 1, queue a · to_queue b, rank 2.5",
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Event) else "",
)
def test_an_event_is_told_in_a_few_words(event: Event, told: str) -> None:
    assert describe(type(event).__name__, event.model_dump_json()) == told


def test_an_edit_names_its_old_and_new_value() -> None:
    event = made(TaskEdited, field="script.branch", old='"main"', new='"dev"')
    assert changes("TaskEdited", event.model_dump_json()) == [("script.branch", "main", "dev")]


def test_what_is_no_edit_changes_nothing() -> None:
    assert changes("RunStarted", '{"run": 1}') == []


@pytest.mark.parametrize("kind", sorted(EVENT_TYPES))
def test_no_event_type_is_beyond_words(kind: str) -> None:
    place = {"title": "t", "series": 1 if kind == "ScalarsReported" else "s", "iteration": 1}
    fields = {"spec": {"project": "p", "name": "n"}, "configuration": {"name": "c", "text": ""}, "parameters": []}
    parts = {"artifact": ARTIFACT.model_dump(), "model": {"name": "m", "direction": "output", "size": 0}}
    edit = {"field": "comment", "old": '""', "new": '""'} if kind == "TaskEdited" else {}
    assert "\n" not in describe(kind, json.dumps({**fields, **parts, **place, **edit, "reason": "a\nb"}))


def test_an_empty_body_is_told_as_nothing() -> None:
    assert describe("TaskArchived", "") == ""
