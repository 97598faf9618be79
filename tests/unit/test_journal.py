from __future__ import annotations

import ctypes
import logging
import math
import threading
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasktape.events.codec import Codec
from tasktape.events.scalars import read_columns
from tasktape.producers import warn
from tasktape.producers.drain import Drain
from tasktape.producers.journal import Journal, Sizes
from tasktape.producers.numbers import LARGEST, as_step, as_value
from tasktape.producers.ring import Ring, RingIdentity
from tasktape.producers.scalar_writer import ScalarWriter
from tasktape.producers.spool import Receipt
from tasktape.producers.spool_file import Record

Row = tuple[str, str, int, float]


class Desk:
    """A journal with a writer and a drain, no thread, and a log that can be told to refuse."""

    def __init__(self, folder: Path | None, **sizes: Any) -> None:
        self.records: list[Record] = []
        self.takes = True
        self.wake = threading.Event()
        sizes = {"capacity": 64, "names_bytes": 4000, "patience": 0.05} | sizes
        self.journal = Journal(RingIdentity("s", "ann@host"), lambda: folder, self.wake.set, Sizes(**sizes))
        self.drain = Drain(self.journal, self.send, self.wake, lambda: None)
        self.writer = ScalarWriter("task", 1, lambda: self.journal)

    def send(self, record: Record) -> Receipt | None:
        if not self.takes:
            return None
        self.records.append(record)
        return Receipt(safe=True)

    def rows(self) -> list[Row]:
        found: list[Row] = []
        for record in self.records:
            columns = read_columns(record.value or b"", Codec())
            names = [columns.series[index] for index in columns.index.tolist()]
            rows = zip(names, columns.steps.tolist(), columns.values.tolist(), strict=True)
            found += [(*name, step, value) for name, step, value in rows]
        return found


@pytest.fixture(autouse=True)
def _warn_anew() -> Iterator[None]:
    warn.forget()
    yield
    warn.forget()


def test_points_come_out_as_they_went_in_and_in_order(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    expected: list[Row] = []
    for step in range(1000):
        row = ("loss", f"series {step % 3}", step, step / 7)
        desk.writer.report(row[0], row[1], row[3], row[2])
        expected.append(row)
        if step % 100 == 99:
            assert desk.drain.drain()
    assert desk.rows() == expected


def test_a_ring_that_is_not_drained_is_followed_by_another_and_order_is_kept(tmp_path: Path) -> None:
    desk = Desk(tmp_path, most_rings=20)
    for step in range(1000):
        desk.writer.report("loss", "train", float(step), step)
    assert len(list(tmp_path.glob("*.ring"))) == 16
    assert desk.drain.drain()
    assert [row[2] for row in desk.rows()] == list(range(1000))
    assert len(list(tmp_path.glob("*.ring"))) == 1


def test_more_names_than_a_ring_holds_need_more_rings_and_lose_nothing(tmp_path: Path) -> None:
    desk = Desk(tmp_path, names_bytes=500, most_rings=100)
    names = [f"metric {number}" for number in range(200)]
    for number, name in enumerate(names):
        desk.writer.report(name, "s", float(number), number)
    desk.writer.report(names[0], "s", 0.5, 1)
    assert desk.drain.drain()
    assert [row[0] for row in desk.rows()] == [*names, names[0]]
    assert len(desk.journal.rings) == 1


def test_a_name_of_any_length_fits_and_stays_different_from_others(tmp_path: Path) -> None:
    desk = Desk(tmp_path, names_bytes=200_000)
    for name in ("😀" * 10_000, "x" * 10_000, "x" * 10_001, "x" * 10_001 + "y", "\ud800", ""):
        desk.writer.report(name, "s", 1.0, 0)
    assert desk.drain.drain()
    titles = [row[0] for row in desk.rows()]
    assert titles[:2] == ["😀" * 10_000, "x" * 10_000]
    assert len(set(titles)) == 6
    assert max(map(len, titles)) == 10_000
    assert titles[4] == "\\ud800"


def test_when_neither_disk_nor_log_take_more_points_are_dropped_after_a_wait_with_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    desk = Desk(tmp_path, most_rings=2)
    desk.takes = False
    for step in range(300):
        desk.writer.report("loss", "train", float(step), step)
    assert [record.action for record in caplog.records] == ["scalars_dropped"]  # type: ignore[attr-defined]
    desk.takes = True
    assert desk.drain.drain()
    assert [row[2] for row in desk.rows()] == list(range(128))
    assert "172 scalars were dropped" in caplog.text
    desk.writer.report("loss", "train", 0.0, 300)
    assert desk.drain.drain()
    assert desk.rows()[-1][2] == 300


def test_a_writer_waits_for_a_drain_that_makes_progress_and_loses_nothing(tmp_path: Path) -> None:
    desk = Desk(tmp_path, most_rings=2, patience=30.0)
    done = threading.Event()

    def drain_on_demand() -> None:
        while not done.is_set():
            desk.wake.wait(0.01)
            desk.drain.drain()

    thread = threading.Thread(target=drain_on_demand)
    thread.start()
    for step in range(5000):
        desk.writer.report("loss", "train", float(step), step)
    done.set()
    thread.join()
    assert desk.drain.drain()
    assert [row[2] for row in desk.rows()] == list(range(5000))


def test_without_a_folder_scalars_wait_in_memory_and_one_warning_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    desk = Desk(tmp_path / "gone")
    for step in range(100):
        desk.writer.report("loss", "train", float(step), step)
    assert [record.action for record in caplog.records] == ["ring_in_memory"]  # type: ignore[attr-defined]
    assert desk.drain.drain()
    assert len(desk.rows()) == 100


def test_many_threads_report_at_once_and_every_point_arrives_once(tmp_path: Path) -> None:
    desk = Desk(tmp_path, capacity=256, most_rings=64, patience=30.0)
    stop = threading.Event()

    def keep_draining() -> None:
        while not stop.is_set():
            desk.wake.wait(0.001)
            desk.drain.drain(thorough=False)

    def report(thread: int) -> None:
        for step in range(3000):
            desk.writer.report(f"thread {thread}", f"s{step % 5}", float(step), step)

    drain = threading.Thread(target=keep_draining)
    drain.start()
    threads = [threading.Thread(target=report, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stop.set()
    drain.join()
    assert desk.drain.drain()
    counted = Counter((row[0], row[2]) for row in desk.rows())
    assert counted == {(f"thread {number}", step): 1 for number in range(6) for step in range(3000)}


def test_a_position_that_an_exception_left_unwritten_holds_up_nothing(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.writer.report("loss", "train", 0.0, 0)
    desk.journal.rings[0].take()
    desk.writer.report("loss", "train", 1.0, 1)
    assert desk.drain.drain()
    assert [row[2] for row in desk.rows()] == [0, 1]


def test_a_position_that_a_thread_is_about_to_write_is_waited_for(tmp_path: Path) -> None:
    """A thread is stopped between taking its position and writing it; what lies behind waits for it."""
    desk = Desk(tmp_path)
    desk.writer.report("loss", "train", 0.0, 0)
    taken, go_on = threading.Event(), threading.Event()

    ring = desk.journal.rings[0]
    bound = desk.writer._bound
    original, slow_take = bound.take, threading.local()

    def take() -> int:
        position = original()
        if getattr(slow_take, "on", False):
            taken.set()
            go_on.wait(30)
        return position

    bound.take = take

    def report() -> None:
        slow_take.on = True
        desk.writer.report("loss", "train", 1.0, 1)

    thread = threading.Thread(target=report)
    thread.start()
    assert taken.wait(30)
    desk.writer.report("loss", "train", 2.0, 2)
    assert not desk.drain.drain()
    assert ring.state.tail == 1
    go_on.set()
    thread.join()
    assert desk.drain.drain()
    assert [row[2] for row in desk.rows()] == [0, 1, 2]


def test_an_interrupt_at_any_instruction_leaves_a_journal_that_goes_on(tmp_path: Path) -> None:
    """Exceptions are thrown into a reporting thread at random moments, as Control-C is into the main one."""
    desk = Desk(tmp_path, capacity=1024, most_rings=4, patience=30.0)
    reported: list[int] = []
    stop = threading.Event()

    def report() -> None:
        step = 0
        while not stop.is_set():
            try:
                step += 1
                desk.writer.report("loss", "train", float(step), step)
                reported.append(step)
            except KeyboardInterrupt:
                continue

    thread = threading.Thread(target=report)
    thread.start()
    for _ in range(200):
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(thread.ident or 0), ctypes.py_object(KeyboardInterrupt)
        )
        desk.drain.drain()
    stop.set()
    thread.join()
    while not desk.drain.drain():
        pass
    steps = [row[2] for row in desk.rows()]
    assert len(steps) == len(set(steps))
    assert set(reported) <= set(steps)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (True, 1.0),
        (3, 3.0),
        ("2.5", 2.5),
        (Decimal("0.25"), 0.25),
        (np.float32(0.5), 0.5),
        (np.int64(4), 4.0),
        (np.array([1.5]), 1.5),
        (np.array(2.5), 2.5),
        pytest.param(10**400, math.inf, id="huge"),
        pytest.param(-(10**400), -math.inf, id="-huge"),
        (math.inf, math.inf),
    ],
)
def test_whatever_float_takes_is_a_value(tmp_path: Path, value: Any, expected: float) -> None:
    desk = Desk(tmp_path)
    desk.writer.report("t", "s", value, 1)
    assert desk.drain.drain()
    assert desk.rows() == [("t", "s", 1, expected)]


def test_nan_is_kept(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.writer.report("t", "s", math.nan, 1)
    assert desk.drain.drain()
    assert math.isnan(desk.rows()[0][3])


@pytest.mark.parametrize("value", [None, "high", [1, 2], object(), np.zeros(3), 1j])
def test_what_is_no_number_is_left_out_with_one_warning(
    tmp_path: Path, value: Any, caplog: pytest.LogCaptureFixture
) -> None:
    desk = Desk(tmp_path)
    for _ in range(3):
        desk.writer.report("t", "s", value, 1)
    desk.writer.report("t", "s", 0.5, 2)
    assert desk.drain.drain()
    assert desk.rows() == [("t", "s", 2, 0.5)]
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (None, 0),
        (-3, -3),
        (2.9, 2),
        (-2.9, -2),
        (True, 1),
        ("7", 7),
        (np.int32(5), 5),
        (np.float32(5.5), 5),
        (2**63 - 1, 2**63 - 1),
        (2**63, 2**63 - 1),
        (-(2**70), -(2**63)),
        (1e300, 2**63 - 1),
        (math.nan, 0),
        (math.inf, 0),
        ("first", 0),
    ],
)
def test_any_iteration_has_a_place(tmp_path: Path, step: Any, expected: int) -> None:
    desk = Desk(tmp_path)
    desk.writer.report("t", "s", 1.0, 5)
    desk.writer.report("t", "s", 2.0, step)
    assert desk.drain.drain()
    assert desk.rows() == [("t", "s", 5, 1.0), ("t", "s", expected, 2.0)]


def test_the_offset_is_added_to_each_iteration(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    for offset in (0, 100, LARGEST):
        desk.writer.offset = offset
        desk.writer.report("t", "s", 1.0, 5)
        desk.writer.report("t", f"first at {offset}", 1.0, 5)
    assert desk.drain.drain()
    assert [row[2] for row in desk.rows()] == [5, 5, 105, 105, LARGEST, LARGEST]


@pytest.mark.parametrize("name", [None, 1, 1.0, True, ("a", 1), ["a"], {"a": 1}, b"x"])
def test_titles_that_are_no_text_are_taken_as_text(tmp_path: Path, name: Any) -> None:
    desk = Desk(tmp_path)
    desk.writer.report("1", "s", 0.5, 0)
    desk.writer.report(name, name, 1.0, 1)
    desk.writer.report(name, name, 1.0, 2)
    assert desk.drain.drain()
    assert desk.rows()[1:] == [(str(name), str(name), step, 1.0) for step in (1, 2)]


@settings(deadline=None)
@given(st.floats() | st.integers() | st.booleans() | st.decimals(allow_nan=False))
def test_values_are_what_float_makes_of_them(value: Any) -> None:
    try:
        expected = float(value)
    except OverflowError:
        expected = math.copysign(math.inf, value)
    assert np.array_equal(as_value(value), expected, equal_nan=True)


@settings(deadline=None)
@given(st.integers() | st.none() | st.floats(allow_nan=False, allow_infinity=False))
def test_steps_always_fit_into_64_bits(step: Any) -> None:
    assert -(2**63) <= as_step(step) <= LARGEST


def test_the_last_iteration_of_each_task_is_known_without_the_machines_own_curves(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.writer.report("loss", "train", 1.0, 40)
    desk.writer.report("loss", "train", 1.0, 30)
    desk.writer.report(":monitor:machine", "cpu", 1.0, 900)
    assert desk.drain.drain()
    assert desk.drain.last_steps == {"task": 40}


def test_ring_files_are_ready_to_be_taken_over(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.writer.report("loss", "train", 1.0, 40)
    (path,) = tmp_path.glob("*.ring")
    ring = Ring.open(path)
    assert ring.committed(0)
    assert ring.identity.session == "s/1"


def test_in_haste_the_first_point_that_nobody_has_seen_wakes_the_drain_and_no_other(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.writer.report("loss", "test", 0.5, 0)
    assert not desk.wake.is_set()
    desk.drain.hasten()
    for first in (1, 40):
        desk.writer.report("loss", "test", 0.5, first)
        assert desk.wake.is_set()
        desk.wake.clear()
        for step in range(first + 1, first + 39):
            desk.writer.report("loss", "test", 0.5, step)
        assert not desk.wake.is_set()
        assert desk.drain.drain()
    assert desk.rows() == [("loss", "test", step, 0.5) for step in range(79)]


def test_in_haste_nothing_is_lost_when_the_ring_is_full_either(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.drain.hasten()
    for step in range(200):
        desk.writer.report("loss", "test", 0.5, step)
    assert desk.drain.drain()
    assert desk.rows() == [("loss", "test", step, 0.5) for step in range(200)]
