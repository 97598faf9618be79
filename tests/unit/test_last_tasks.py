"""The memory of a script's last task: one process at a time has it, for 72 hours, and trouble with it costs nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tasktape.events.log import TopicPartition
from tasktape.events.log.memory import MemoryLog
from tasktape.events.log.port import Delivery
from tasktape.events.settings import Settings
from tasktape.events.topics import TopicSpec
from tasktape.producers.last_tasks import Horizon, LastTask, Slot
from tasktape.producers.replay import Replayed

KEY = ("project", "name", "training")
HOUR = 3_600_000_000
NOW = 1_000 * HOUR


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


def take(settings: Settings, *key: str) -> Slot:
    slot = Slot.take(settings, *(key or KEY))
    assert slot is not None
    return slot


@pytest.mark.parametrize(("age", "known"), [(0, True), (71 * HOUR, True), (72 * HOUR, False), (-1, False)])
def test_a_task_is_remembered_for_72_hours(settings: Settings, age: int, known: bool) -> None:
    slot = take(settings)
    last = LastTask(task="t1", at=NOW - age, known=Replayed(position=7), on_log=True)
    slot.write(last)
    slot.release()
    assert take(settings).read(NOW) == (last if known else None)


def test_a_shorter_note_replaces_a_longer_one_whole(settings: Settings) -> None:
    slot = take(settings)
    slot.write(LastTask(task="t" * 10_000, at=NOW))
    slot.write(LastTask(task="u", at=NOW))
    assert slot.read(NOW) == LastTask(task="u", at=NOW)


def test_two_at_once_do_not_share_it(settings: Settings) -> None:
    first = take(settings)
    assert Slot.take(settings, *KEY) is None
    assert Slot.take(settings, "another", *KEY[1:]) is not None
    first.release()
    assert Slot.take(settings, *KEY) is not None


def test_it_is_free_again_when_its_process_was_killed(settings: Settings) -> None:
    code = (
        "import sys, time; from pathlib import Path\n"
        "from tasktape.events.settings import Settings; from tasktape.producers.last_tasks import Slot\n"
        f"slot = Slot.take(Settings(home=Path({str(settings.home)!r})), *{KEY!r})\n"
        "print(slot is not None, flush=True); time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "True\n"
        assert Slot.take(settings, *KEY) is None
        holder.kill()
    assert Slot.take(settings, *KEY) is not None


def test_a_damaged_note_is_none(settings: Settings) -> None:
    take(settings).release()
    (file,) = (settings.home / "last").iterdir()
    file.write_text('{"task": 5')
    assert take(settings).read(NOW) is None


def test_a_home_that_cannot_be_written_gives_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    settings = Settings(home=tmp_path / "file" / "home")
    assert Slot.take(settings, *KEY) is None
    assert Horizon(settings).start("topic") == 0


def test_the_horizon_is_where_the_emptiest_partition_ended(settings: Settings) -> None:
    log = MemoryLog("horizon")
    log.create_topics([TopicSpec("topic", partitions=2)])
    for partition, count in ((0, 3), (1, 2)):
        for _ in range(count):
            log.append("topic", "key", b"value", partition=partition)
    log.flush()
    settings.home.mkdir()
    before = Horizon(settings)
    before.look(log, ["topic"])
    seen = Horizon(settings)
    assert (seen.start("topic"), before.start("topic")) == (2, 0)
    assert [seen.end(TopicPartition("topic", number)) for number in range(3)] == [3, 2, 0]


@pytest.mark.parametrize("key", ["a", "b", "c", "d"])
def test_the_horizon_knows_the_partition_of_a_key_once_somebody_has_looked(settings: Settings, key: str) -> None:
    log = MemoryLog("partition")
    log.create_topics([TopicSpec("topic", partitions=5)])
    settings.home.mkdir()
    before = Horizon(settings)
    before.look(log, ["topic"])
    places: list[Delivery] = []
    log.append("topic", key, b"value", on_delivery=places.append)
    log.flush()
    assert before.partition("topic", key) is None
    assert Horizon(settings).partition("topic", key) == TopicPartition("topic", places[0].partition)
