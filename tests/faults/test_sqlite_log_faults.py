"""Many processes on one embedded log, and what happens when they are killed or stopped, or the disk is full."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tasktape.events.errors import AppendError, LogUnavailableError
from tasktape.events.log import Delivery, Log, open_log
from tasktape.events.log.sqlite import SqliteLog
from tasktape.events.topics import TopicSpec
from tasktape.testing import append_all, records_on

WORKERS = Path(__file__).with_name("log_workers.py")


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite://{tmp_path}/log.db"


@pytest.fixture
def log(url: str) -> Iterator[Log]:
    with open_log(url) as opened:
        opened.create_topics([TopicSpec("facts", 4), TopicSpec("claims", 4)])
        yield opened


def start(url: str, *job: str) -> subprocess.Popen[str]:
    """Start a process that does one job."""
    return subprocess.Popen([sys.executable, str(WORKERS), url, *job], stdout=subprocess.PIPE, text=True)


def numbers_by_key(log: Log) -> dict[str | None, list[int]]:
    found = defaultdict(list)
    for record in records_on(log, ["facts"]):
        found[record.key].append(int(record.value or b""))
    return found


def test_twenty_processes_write_follow_and_claim_at_once(log: Log, url: str, tmp_path: Path) -> None:
    writers = [["write", f"writer {number}", "200"] for number in range(8)]
    followers = [["follow", "1600"]] * 6
    claimers = [["claim", f"claimer {number}", "25"] for number in range(6)]
    jobs = [*writers, *followers, *claimers]
    command = [sys.executable, str(WORKERS), url, "all", str(tmp_path), json.dumps(jobs)]
    ended = subprocess.run(command, capture_output=True, text=True, check=True, timeout=150)
    assert json.loads(ended.stdout) == [0] * 20
    assert [(tmp_path / f"{number}.err").read_text() for number in range(20)] == [""] * 20

    said = [json.loads((tmp_path / f"{number}.out").read_text()) for number in range(20)]
    written, followed, claimed = said[:8], said[8:14], said[14:]
    assert written == [[]] * 8
    assert followed == [{f"writer {number}": [True, 200] for number in range(8)}] * 6
    assert sorted(entry for entries in claimed for entry in entries) == sorted(f"entry {n}" for n in range(25))
    assert numbers_by_key(log) == {f"writer {number}": list(range(200)) for number in range(8)}


def test_a_writer_killed_in_the_middle_loses_nothing_it_was_told_is_delivered(log: Log, url: str) -> None:
    for round_ in range(3):
        with start(url, "write_for_ever", f"round {round_}") as process:
            assert process.stdout is not None
            acknowledged = [int(process.stdout.readline()) for _ in range(50 + 70 * round_)]
            process.kill()
            acknowledged += [int(line) for line in process.stdout if line.endswith("\n")]
            assert process.wait() == -signal.SIGKILL
        found = numbers_by_key(log)[f"round {round_}"]
        assert found[: len(acknowledged)] == acknowledged
        assert found == list(range(len(found)))
        assert len(found) - len(acknowledged) <= 1
    with closing(sqlite3.connect(url.removeprefix("sqlite://"))) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


HOLD_THE_LOCK = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
connection.execute("INSERT INTO records VALUES (9223372036854775807, 1, 'torn', NULL, NULL)")
print("holds", flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("frozen", [False, True])
def test_a_process_that_dies_with_the_write_lock_holds_up_the_others_no_longer(
    log: Log, url: str, frozen: bool
) -> None:
    command = [sys.executable, "-c", HOLD_THE_LOCK, url.removeprefix("sqlite://")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "holds\n"
        if frozen:
            holder.send_signal(signal.SIGSTOP)
        log.append("facts", "waits", b"0")
        assert log.flush(0.3) == 1
        holder.kill()
        assert holder.wait() == -signal.SIGKILL
    assert log.flush(30) == 0
    assert numbers_by_key(log) == {"waits": [0]}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for 2 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("a small file system can be mounted by root alone")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path) -> Path:
    """Take all the room there is."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        while True:
            try:
                file.write(bytes(4096))
            except OSError:
                return ballast


def test_a_full_disk_refuses_aloud_and_takes_records_again_when_there_is_room(small_disk: Path) -> None:
    with SqliteLog(small_disk / "log.db") as log:
        log.create_topics([TopicSpec("facts", 1)])
        deliveries: list[Delivery] = []
        for number in range(300):
            if number == 20:
                ballast = fill(small_disk)
            if number == 280:
                ballast.unlink()
            deliveries += append_all(log, "facts", [("k", b"%04d" % number * 500)])
        outcomes = [type(delivery.error) for delivery in deliveries]
        assert AppendError in outcomes
        assert outcomes[:20] == outcomes[280:] == [type(None)] * 20
        assert "full" in str(next(delivery.error for delivery in deliveries if delivery.error))
        delivered = [number for number, outcome in enumerate(outcomes) if outcome is type(None)]
        assert [int((record.value or b"")[:4]) for record in records_on(log, ["facts"])] == delivered


def test_a_full_disk_has_no_room_for_a_new_log_and_says_so(small_disk: Path) -> None:
    ballast = fill(small_disk)
    with pytest.raises(LogUnavailableError, match=r"full|No space left"):
        SqliteLog(small_disk / "home" / "log.db")
    ballast.unlink()
    SqliteLog(small_disk / "home" / "log.db").close()


def test_a_disk_that_became_read_only_refuses_aloud(small_disk: Path) -> None:
    with SqliteLog(small_disk / "log.db") as log:
        log.create_topics([TopicSpec("facts", 1)])
        append_all(log, "facts", [("k", b"0")])
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(LogUnavailableError):
        SqliteLog(small_disk / "log.db")
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    with SqliteLog(small_disk / "log.db") as log:
        assert [record.value for record in records_on(log, ["facts"])] == [b"0"]
