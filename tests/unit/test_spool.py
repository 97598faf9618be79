from __future__ import annotations

import os
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tasktape.events.settings import Settings
from tasktape.producers import warn
from tasktape.producers.spool import Receipt, Spool
from tasktape.producers.spool_file import Record, SpoolError, SpoolFile, frame
from tasktape.producers.spool_folder import SpoolFolder, SpoolPlace, left_behind, roots

texts = st.text(max_size=6)
records = st.builds(
    Record,
    texts,
    st.none() | texts,
    st.none() | st.binary(max_size=40),
    st.lists(st.tuples(texts, st.binary(max_size=5)), max_size=2).map(tuple),
)


@pytest.fixture(autouse=True)
def _warn_anew() -> Iterator[None]:
    warn.forget()
    yield
    warn.forget()


def record(number: int, size: int = 0) -> Record:
    return Record("topic", f"key {number}", b"x" * size, (("type", b"T"),))


def front(spool: Spool, most: int = 1000) -> list[Record]:
    return spool.front(most, 1 << 30)


class Disk:
    """A folder that can be full."""

    def __init__(self, folder: Path) -> None:
        self.folder: Path | None = folder

    def __call__(self) -> Path | None:
        return self.folder


@settings(deadline=None)
@given(sent=st.lists(records, max_size=8))
def test_records_come_back_as_they_went_in_from_another_process_too(
    sent: list[Record], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("spool")
    spool = Spool(lambda: folder)
    assert all((receipt := spool.append(each)) is not None and receipt.safe for each in sent)
    assert front(spool) == sent
    spool.close()
    assert front(Spool.open(folder)) == sent


@settings(deadline=None)
@given(sent=st.lists(records, min_size=1, max_size=4), data=st.data())
def test_a_file_cut_off_or_damaged_at_its_end_keeps_what_lies_before(
    sent: list[Record], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("spool") / "00000001.spool"
    file = SpoolFile.create(path)
    ends = [file.end]
    for each in sent:
        file.append(frame(each))
        ends.append(file.end)
    file.close()
    content = bytearray(path.read_bytes())
    cut = data.draw(st.integers(ends[0], len(content)))
    damaged = content[:cut] + bytearray(data.draw(st.binary(max_size=30)))
    path.write_bytes(damaged)
    whole = sum(1 for end in ends[1:] if damaged[:end] == content[:end] and end <= len(damaged))
    assert list(SpoolFile.open(path).records())[:whole] == sent[:whole]
    if cut in ends and len(damaged) == cut:
        assert list(SpoolFile.open(path).records()) == sent[:whole]


def test_what_is_written_after_a_torn_end_is_found(tmp_path: Path) -> None:
    spool = Spool(lambda: tmp_path)
    spool.append(record(1))
    spool.close()
    (path,) = tmp_path.glob("*.spool")
    path.write_bytes(path.read_bytes() + frame(record(2))[:-3])
    heir = Spool.open(tmp_path)
    heir.append(record(3))
    assert front(heir) == [record(1), record(3)]
    heir.close()
    assert front(Spool.open(tmp_path)) == [record(1), record(3)]


@pytest.mark.parametrize("content", [b"", b"TTSPOOL1", b"x" * 100])
def test_a_file_that_is_no_spool_file_is_an_error_and_is_passed_over(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "00000001.spool"
    path.write_bytes(content)
    with pytest.raises(SpoolError):
        SpoolFile.open(path)
    assert not Spool.open(tmp_path)


def test_acknowledged_records_do_not_come_back_and_their_files_go(tmp_path: Path) -> None:
    spool = Spool(lambda: tmp_path, file_bytes=1000)
    for number in range(50):
        spool.append(record(number, 60))
    files = len(list(tmp_path.iterdir()))
    spool.acknowledge(33)
    assert len(list(tmp_path.iterdir())) < files
    spool.close()
    heir = Spool.open(tmp_path)
    assert front(heir) == [record(number, 60) for number in range(33, 50)]
    heir.acknowledge(17)
    assert not heir
    assert len(list(tmp_path.iterdir())) <= 1


def test_the_front_is_as_large_as_was_asked_for(tmp_path: Path) -> None:
    spool = Spool(lambda: tmp_path)
    for number in range(9):
        spool.append(record(number, 100))
    assert len(front(spool, most=4)) == 4
    assert len(spool.front(100, 250)) == 3


def test_while_the_disk_is_full_records_wait_in_memory_and_reach_it_later_in_order(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    disk = Disk(tmp_path)
    spool = Spool(disk, file_bytes=1)
    spool.append(record(0))
    disk.folder = None
    waiting = [spool.append(record(number)) for number in range(1, 4)]
    assert [receipt and receipt.safe for receipt in waiting] == [False] * 3
    assert [entry.action for entry in caplog.records] == ["spool_in_memory"]  # type: ignore[attr-defined]
    assert spool._in_memory
    disk.folder = tmp_path
    spool.append(record(4))
    assert [receipt and receipt.safe for receipt in waiting] == [True] * 3
    assert not spool._in_memory
    spool.close()
    assert front(Spool.open(tmp_path)) == [record(number) for number in range(5)]


def test_memory_is_bounded_and_what_does_not_fit_is_refused() -> None:
    spool = Spool(lambda: None, memory_bytes=10_000)
    receipts = [spool.append(record(number, 1000)) for number in range(20)]
    taken = [receipt for receipt in receipts if receipt is not None]
    assert receipts == [*taken, *[None] * (20 - len(taken))]
    assert 8 <= len(taken) <= 9
    assert spool._in_memory <= 10_000
    spool.acknowledge(2)
    assert taken[1].safe
    assert spool.append(record(99, 1000)) is not None


class Model(RuleBasedStateMachine):
    """A spool with a disk that fills up and empties, and that changes owners, is still a queue."""

    def __init__(self) -> None:
        super().__init__()
        import tempfile  # noqa: PLC0415  one folder for each run of the machine

        self.folder = Path(tempfile.mkdtemp())
        self.disk = Disk(self.folder)
        self.spool = Spool(self.disk, file_bytes=200)
        self.queue: deque[Record] = deque()
        self.receipts: list[Receipt] = []
        self.number = 0

    @rule(size=st.integers(0, 150))
    def append(self, size: int) -> None:
        self.number += 1
        receipt = self.spool.append(record(self.number, size))
        assert receipt is not None
        self.receipts.append(receipt)
        self.queue.append(record(self.number, size))

    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        number = data.draw(st.integers(0, len(self.queue)))
        self.spool.acknowledge(number)
        for _ in range(number):
            self.queue.popleft()

    @rule(full=st.booleans())
    def fill(self, full: bool) -> None:
        self.disk.folder = None if full else self.folder
        self.spool.settle()

    @rule()
    def new_owner(self) -> None:
        in_memory = self.spool._in_memory
        self.disk.folder = self.folder
        if in_memory:
            assert self.spool.settle()
        self.spool.close()
        self.spool = Spool.open(self.folder)
        self.spool._file_bytes = 200
        self.disk = Disk(self.folder)
        self.spool._folder = self.disk

    @invariant()
    def is_the_queue(self) -> None:
        assert front(self.spool) == list(self.queue)
        assert bool(self.spool) == bool(self.queue)
        assert sum(self.spool.waiting()) == len(self.queue)

    @invariant()
    def receipts_say_what_is_safe(self) -> None:
        unsafe = sum(1 for receipt in self.receipts if not receipt.safe)
        assert bool(unsafe) == bool(self.spool._in_memory)

    def teardown(self) -> None:
        import shutil  # noqa: PLC0415  as above

        self.spool.close()
        shutil.rmtree(self.folder)


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)


def test_a_folder_belongs_to_its_process_until_that_lets_go(tmp_path: Path) -> None:
    folder = SpoolFolder.create(tmp_path, "a")
    assert SpoolFolder.take_over(tmp_path / "a") is None
    assert list(left_behind(tmp_path)) == []
    folder.release()
    (heir,) = left_behind(tmp_path)
    assert SpoolFolder.take_over(tmp_path / "a") is None
    heir.remove()
    assert not list(tmp_path.iterdir())


def test_a_folder_is_free_as_soon_as_its_process_is_dead_also_while_a_forked_child_lives(tmp_path: Path) -> None:
    script = f"""
import os, sys, time
from pathlib import Path
from tasktape.events.settings import Settings
from tasktape.producers.spool_folder import SpoolFolder
folder = SpoolFolder.create(Path({str(tmp_path)!r}), "a")
if os.fork() == 0:
    folder.release()  # as the outbox does in a child
    print("ready", flush=True)
    time.sleep(60)
time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, start_new_session=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        assert SpoolFolder.take_over(tmp_path / "a") is None
        process.kill()
        process.wait()
        folder = SpoolFolder.take_over(tmp_path / "a")
        assert folder is not None
        folder.remove()
    finally:
        os.killpg(process.pid, 9)
        process.communicate()


def test_folders_are_private_and_no_half_made_one_is_ever_seen(tmp_path: Path) -> None:
    root, _ = roots(Settings(home=tmp_path))
    folder = SpoolFolder.create(root, "a")
    assert (folder.path.stat().st_mode & 0o777, (folder.path / "lock").stat().st_mode & 0o777) == (0o700, 0o600)
    (root / "half").mkdir()
    folder.release()
    assert [each.path.name for each in left_behind(root)] == ["a"]


def test_where_the_home_cannot_be_written_the_temporary_folder_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    (tmp_path / "home").write_text("a file is no folder")
    home, elsewhere = roots(Settings(home=tmp_path / "home"))
    place = SpoolPlace((home, elsewhere), "a")
    assert place.path() == elsewhere / "a"
    assert place.path() == elsewhere / "a"
    assert len(caplog.records) == 1
    assert "TASKTAPE_HOME" in caplog.text
    place.remove()
