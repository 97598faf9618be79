"""Processes that report are killed, cut off, forked, starved of disk: what they have said arrives, and arrives once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasktape.events.codec import Codec
from tasktape.events.errors import LogUnavailableError
from tasktape.events.log import open_log
from tasktape.events.report_events import SingleValueReported
from tasktape.events.scalars import read_columns
from tasktape.events.settings import Settings, load_settings
from tasktape.events.settings_sources import read_settings
from tasktape.producers.spool_folder import SpoolFolder, roots, spool_folders
from tasktape.producers.sync import sync
from tasktape.tests.kafka.broker import Broker

Until = Callable[[Callable[[], Any]], Any]

BEGIN = """
import os, signal, sys, time
from tasktape.events.base import Stamper
from tasktape.events.report_events import SingleValueReported
from tasktape.events.settings import load_settings
from tasktape.producers.outbox import Outbox

stamp = Stamper()
outbox = Outbox(load_settings(), stamp)

def say(task, number):
    outbox.emit(SingleValueReported(meta=stamp(), task=task, run=1, name=str(number), value=number))

def report(task, steps, title="loss"):
    for step in steps:
        outbox.report_scalar(task, 1, title, "train", step / 3, step)

def tell(word):
    print(word, flush=True)

def hear():
    return sys.stdin.readline()
"""

KILL = """
tell("killing")
os.killpg(0, signal.SIGKILL)
"""


def start(code: str, **environment: str) -> subprocess.Popen[str]:
    """Run a script that has an outbox, in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", BEGIN + code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
        start_new_session=True,
    )


def run(code: str, **environment: str) -> tuple[int, str, str]:
    """Run such a script to its end; return its exit code and what it wrote."""
    process = start(code, **environment)
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


class Heard:
    """What a log holds about one task, repeats left out as every reader does."""

    def __init__(self, url: str, task: str = "t") -> None:
        self.task = task
        self.numbers: list[int] = []
        self.points: Counter[tuple[str, int]] = Counter()
        self.repeats = 0
        self._seen: dict[tuple[str, int], bytes] = {}
        with open_log(url) as log:
            if "tasktape.metrics" not in log.topics():
                return
            ends = log.end_positions(["tasktape.metrics"])
            with log.read(dict.fromkeys(ends, 0)) as reader:
                while any(reader.positions()[source] < end for source, end in ends.items()):
                    for record in reader.poll(1.0):
                        if record.key == task:
                            self._hear(record.value or b"")

    def _hear(self, value: bytes) -> None:
        event = Codec().decode(value)
        identity = event.meta.session, event.meta.seq
        if identity in self._seen:
            assert self._seen[identity] == value, "a repeat says something else"
            self.repeats += 1
            return
        self._seen[identity] = value
        if isinstance(event, SingleValueReported):
            self.numbers.append(int(event.value))
            return
        columns = read_columns(value, Codec())
        titles = [columns.series[index][0] for index in columns.index.tolist()]
        self.points.update(zip(titles, columns.steps.tolist(), strict=True))


def all_of(steps: int, title: str = "loss") -> dict[tuple[str, int], int]:
    return {(title, step): 1 for step in range(steps)}


def spools() -> list[Path]:
    return [folder for place in load_settings().home.glob("spool/*") for folder in spool_folders(place)]


@pytest.mark.parametrize("steps", [1, 50_000])
def test_sigkill_of_the_whole_group_right_after_the_last_call_loses_nothing(log_url: str, steps: int) -> None:
    code, out, err = run(f"say('t', 1)\nreport('t', range({steps}))\nsay('t', 2)\n{KILL}", TASKTAPE_LOG=log_url)
    assert (code, out) == (-signal.SIGKILL, "killing\n"), err
    assert spools(), "the process was to leave something behind"
    sync(read_settings(log=log_url))
    heard = Heard(log_url)
    assert heard.numbers == [1, 2]
    assert heard.points == all_of(steps)
    assert not spools()


def test_killed_again_and_again_while_it_is_brought_on_everything_arrives_once(log_url: str) -> None:
    """Three processes die while they report and drain, and three more while they bring on what the others left."""
    for part in range(3):
        steps = range(part * 40_000, (part + 1) * 40_000)
        code, _, err = run(f"report('t', {steps!r})\n{KILL}", TASKTAPE_LOG=log_url)
        assert code == -signal.SIGKILL, err
    left = spools()
    assert len(left) == 3
    for delay in (0.0, 0.01, 0.05):
        rescue = start(
            "from tasktape.producers.sync import sync\n"
            "import threading\n"
            "settings = load_settings()\n"
            f"threading.Timer({delay}, lambda: os.kill(os.getpid(), signal.SIGKILL)).start()\n"
            "sync(settings)\nhear()\n",
            TASKTAPE_LOG=log_url,
        )
        assert rescue.wait(60) == -signal.SIGKILL
        rescue.communicate()
    sync(read_settings(log=log_url))
    assert Heard(log_url).points == all_of(120_000)


def test_a_log_that_is_away_from_start_to_end_gets_everything_later(log_url: str, tmp_path: Path) -> None:
    """The process ends by itself, with exit code 0 and clear warnings, and never sees the log."""
    is_embedded = log_url.startswith("sqlite")
    url = f"sqlite://{tmp_path}/file/log.db" if is_embedded else log_url
    (tmp_path / "file").write_text("a file is no folder")
    code, out, err = run(
        "say('t', 1)\nreport('t', range(5000))\nsay('t', 2)\ntell('done')",
        TASKTAPE_LOG=url,
        TASKTAPE_KAFKA_SECURITY_PROTOCOL="ssl",  # which the broker does not speak
    )
    assert (code, out) == (0, "done\n"), err
    assert err.count("does not answer") == is_embedded
    assert err.count("tasktape sync") == 1
    if is_embedded:
        with pytest.raises(LogUnavailableError):
            sync(read_settings(log=url))
        (tmp_path / "file").unlink()
    assert sync(read_settings(log=url)).processes == 1
    heard = Heard(url)
    assert (heard.numbers, heard.points) == ([1, 2], all_of(5000))


def test_a_process_that_outlives_an_outage_of_its_log_needs_no_help(tmp_path: Path, until: Until) -> None:
    url = f"sqlite://{tmp_path}/gone/log.db"
    (tmp_path / "gone").write_text("a file is no folder")
    process = start("say('t', 1)\nreport('t', range(100))\noutbox.flush()\ntell('said')\nhear()", TASKTAPE_LOG=url)
    assert process.stdout is not None
    assert process.stdout.readline() == "said\n"
    assert spools()
    (tmp_path / "gone").unlink()
    (tmp_path / "gone").mkdir()
    until(lambda: (tmp_path / "gone" / "log.db").exists() and Heard(url).points == all_of(100))
    assert Heard(url).numbers == [1]
    process.communicate("\n", timeout=60)
    assert process.returncode == 0


@pytest.mark.kafka
def test_a_broker_that_is_killed_frozen_and_restarted_while_a_process_reports_gets_everything_in_order(
    broker: Broker, until: Until
) -> None:
    process = start(
        "for number in range(400):\n"
        "    say('t', number)\n"
        "    report('t', range(number * 100, (number + 1) * 100))\n"
        "    if number in (100, 200, 300):\n"
        "        tell(number)\n"
        "        hear()\n"
        "tell(outbox.synced(60))",
        TASKTAPE_LOG=broker.url,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    for harm in (broker.kill, broker.freeze, broker.stop):
        assert process.stdout.readline().strip() in {"100", "200", "300"}
        if harm == broker.kill:
            until(lambda: broker.alive)
        harm()
        assert broker.state() in {"T", "t"} if harm == broker.freeze else not broker.alive
        process.stdin.write("\n")
        process.stdin.flush()
        if harm == broker.freeze:
            until(spools)
            broker.resume()
        else:
            broker.restart()
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (0, "True\n"), err
    heard = Heard(broker.url)
    assert heard.numbers == list(range(400))
    assert heard.points == all_of(40_000)


def test_the_spool_of_a_dead_parent_is_free_while_its_forked_child_lives(home: Path) -> None:
    url = f"sqlite://{home}/log.db"
    process = start("report('t', range(10))\nif os.fork() == 0:\n    tell('child')\n    time.sleep(60)\ntime.sleep(60)")
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "child\n"
        process.kill()
        process.wait()
        assert sync(load_settings()).processes == 1
        assert Heard(url).points == all_of(10)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def test_what_workers_of_a_pool_report_arrives_also_when_they_end_without_ceremony(home: Path) -> None:
    url = f"sqlite://{home}/log.db"
    code, _, err = run(
        "import multiprocessing\n"
        "report('t', range(10), 'parent')\n"
        "def work(number):\n"
        "    report('t', range(number * 10, number * 10 + 10), 'child')\n"
        "    if number % 2:\n"
        "        os._exit(0)\n"
        "context = multiprocessing.get_context('fork')\n"
        "workers = [context.Process(target=work, args=(number,)) for number in range(4)]\n"
        "[worker.start() for worker in workers]\n"
        "[worker.join() for worker in workers]\n"
    )
    assert code == 0, err
    assert Heard(url).points == all_of(10, "parent") | all_of(40, "child")


NAMESPACE = ["unshare", "--user", "--map-root-user", "--mount"]


def may_mount() -> bool:
    try:
        return subprocess.run([*NAMESPACE, "true"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


@pytest.mark.skipif(not may_mount(), reason="needs user namespaces, to mount a small disk: run as root, or allow them")
def test_on_a_full_disk_training_goes_on_and_everything_arrives_once_there_is_room(tmp_path: Path) -> None:
    """Home and log are on a disk of 5 MB that fills up while a process reports, and has room again later."""
    script = tmp_path / "script.py"
    script.write_text(
        BEGIN
        + """
from pathlib import Path
home = load_settings().home
say("t", 0)
report("t", range(100))
assert outbox.flush()
ballast = home / "ballast"
size = 0
with ballast.open("wb", buffering=0) as file:
    try:
        while True:
            size += file.write(b"x" * 4096)
    except OSError as error:
        tell(f"full {error.errno}")
for number in range(1, 200):
    say("t", number)
    report("t", range(number * 500, number * 500 + 500))
tell(f"still on the log: {outbox.synced(0.5)}")
ballast.unlink()
tell(f"on the log in the end: {outbox.synced(60)}")
outbox.close()
from tasktape.events.log import open_log
from tasktape.events.codec import Codec
from tasktape.events.scalars import read_columns
numbers, steps, seen = [], [], set()
with open_log(load_settings().log) as log:
    ends = log.end_positions(["tasktape.metrics"])
    with log.read(dict.fromkeys(ends, 0)) as reader:
        while any(reader.positions()[source] < end for source, end in ends.items()):
            for record in reader.poll(1.0):
                event = Codec().decode(record.value)
                if (event.meta.session, event.meta.seq) not in seen:
                    seen.add((event.meta.session, event.meta.seq))
                    if isinstance(event, SingleValueReported):
                        numbers.append(int(event.value))
                    else:
                        steps += read_columns(record.value, Codec()).steps.tolist()
tell(numbers == list(range(200)))
tell(sorted(steps) == sorted([*range(100), *range(500, 100_000)]))
"""
    )
    home = tmp_path / "disk"
    home.mkdir()
    shell = f"mount -t tmpfs -o size=5m tmpfs {home} && exec {sys.executable} {script}"
    done = subprocess.run(
        [*NAMESPACE, "sh", "-c", shell],
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
        env=os.environ | {"TASKTAPE_HOME": str(home)},
    )
    expected = ["full 28", "still on the log: False", "on the log in the end: True", "True", "True"]
    assert done.stdout.splitlines() == expected, done.stderr
    assert done.returncode == 0, done.stderr
    assert "Free some" in done.stderr
    assert done.stderr.count("Free some") <= 3, done.stderr


def test_a_home_that_cannot_be_written_costs_a_warning_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log is away too, so that the spool is needed: it goes to the machine's temporary folder."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for name in ("file", "away"):
        (tmp_path / name).write_text("a file is no folder")
    settings = Settings(home=tmp_path / "file" / "home", log=f"sqlite://{tmp_path}/away/log.db")
    code, out, err = run(
        "say('t', 1)\nreport('t', range(100))\nsay('t', 2)\ntell('done')",
        TASKTAPE_HOME=str(settings.home),
        TASKTAPE_LOG=settings.log,
        TMPDIR=str(tmp_path),
    )
    assert (code, out) == (0, "done\n"), err
    assert err.count("can't be written") == 1
    assert len(spool_folders(roots(settings)[1])) == 1
    (tmp_path / "away").unlink()
    assert sync(settings).processes == 1
    heard = Heard(settings.log)
    assert (heard.numbers, heard.points) == ([1, 2], all_of(100))


def test_what_two_take_over_at_once_only_one_gets() -> None:
    code, _, err = run(f"report('t', range(10))\n{KILL}")
    assert code == -signal.SIGKILL, err
    (path,) = spools()
    first = SpoolFolder.take_over(path)
    assert first is not None
    assert sync(load_settings()).processes == 0
    first.release()
    assert sync(load_settings()).processes == 1
