from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasktape.events.base import Stamper
from tasktape.events.codec import CONFLUENT
from tasktape.events.log import open_log
from tasktape.events.report_events import SingleValueReported
from tasktape.events.scalars import read_columns
from tasktape.events.settings import Settings
from tasktape.producers.outbox import Outbox
from tasktape.producers.sync import sync

Until = Callable[[Callable[[], Any]], Any]


def say_something(settings: Settings) -> Outbox:
    stamp = Stamper()
    outbox = Outbox(settings, stamp)
    outbox.emit(SingleValueReported(meta=stamp(), task="t", run=1, name="score", value=0.5))
    outbox.report_scalar("t", 1, "loss", "train", 0.25, 3)
    return outbox


def values_on(settings: Settings) -> list[bytes]:
    with open_log(settings.log) as log:
        ends = log.end_positions(["tasktape.metrics"])
        found: list[bytes] = []
        with log.read(dict.fromkeys(ends, 0)) as reader:
            while any(reader.positions()[source] < end for source, end in ends.items()):
                found += [record.value or b"" for record in reader.poll(1.0)]
    return found


@pytest.mark.registry
def test_with_a_schema_registry_all_that_is_said_is_in_its_framing(home: Path, registry_url: str) -> None:
    settings = Settings(home=home, schema_registry=registry_url)
    outbox = say_something(settings)
    assert outbox.synced(30)
    values = values_on(settings)
    assert [value[:1] for value in values] == [CONFLUENT] * 2
    score = settings.codec().decode(values[0])
    assert isinstance(score, SingleValueReported)
    assert score.value == 0.5
    assert read_columns(values[1], settings.codec()).values.tolist() == [0.25]
    outbox.close()


@pytest.mark.registry
def test_while_the_schema_registry_is_away_everything_waits_in_the_spool(home: Path, registry_url: str) -> None:
    outbox = say_something(Settings(home=home, schema_registry="http://127.0.0.1:1"))
    assert outbox.flush()
    assert not outbox.synced(0.1)
    outbox.close(0)
    settings = Settings(home=home, schema_registry=registry_url)
    assert sync(settings).records == 2
    assert [value[:1] for value in values_on(settings)] == [CONFLUENT] * 2
