from __future__ import annotations

import shutil
import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tasktape.events.codec import Codec
from tasktape.events.scalars import read_columns
from tasktape.producers import ring_arrays, ring_events
from tasktape.producers.drain import RingDrain
from tasktape.producers.ring import RECORD, SHIFT, VOID, Ring, RingError, RingIdentity, SeriesName
from tasktape.producers.ring_arrays import left_end, ready_end
from tasktape.producers.spool import Receipt
from tasktape.producers.spool_file import Record

IDENTITY = RingIdentity("session/1", "ann@host")
LOSS = SeriesName("task", 1, "loss", "train")
Point = tuple[str, int, str, str, int, float]


def ring_in(folder: Path, capacity: int = 16, names_bytes: int = 400) -> Ring:
    ring = Ring.create(folder / "a.ring", IDENTITY, capacity=capacity, names_bytes=names_bytes)
    ring.allow(capacity)
    return ring


def points_of(records: list[Record]) -> list[Point]:
    """The points of records, those repeated (same session and seq) once; a repeat must be the very same bytes."""
    first: dict[tuple[str, int], bytes] = {}
    found: list[Point] = []
    for record in records:
        assert record.value is not None
        columns = read_columns(record.value, Codec())
        identity = columns.meta.session, columns.meta.seq
        if identity in first:
            assert first[identity] == record.value
            continue
        first[identity] = record.value
        for index, step, value in zip(
            columns.index.tolist(), columns.steps.tolist(), columns.values.tolist(), strict=True
        ):
            found.append((columns.task, columns.run, *columns.series[index], step, value))
    return found


def drained(ring: Ring) -> list[Point]:
    """Everything in a ring whose writers are dead."""
    records: list[Record] = []

    def send(record: Record) -> Receipt:
        records.append(record)
        return Receipt(safe=True)

    drain = RingDrain(send, left_end)
    while drain.step(ring):
        pass
    return points_of(records)


def test_what_was_written_is_read_by_whoever_opens_the_file(tmp_path: Path) -> None:
    ring = ring_in(tmp_path)
    number = ring.number(LOSS)
    assert number == 0
    for step in range(5):
        ring.put(ring.take(), step, 1.5, step / 4, number)
    left = Ring.open(tmp_path / "a.ring")
    assert left.identity == IDENTITY
    assert drained(left) == [("task", 1, "loss", "train", step, step / 4) for step in range(5)]


def test_a_name_keeps_its_number_and_a_full_ring_of_names_says_so(tmp_path: Path) -> None:
    ring = ring_in(tmp_path, names_bytes=200)
    names = [SeriesName("t", 1, f'é/"{n}\n', "s") for n in range(9)]
    numbers = [ring.number(name) for name in names]
    fit = [number for number in numbers if number is not None]
    assert fit == list(range(len(fit)))
    assert 0 < len(fit) < 9
    assert [ring.number(name) for name in names] == numbers
    assert Ring.open(tmp_path / "a.ring").names == names[: len(fit)]


@pytest.mark.parametrize("damage", [b"", b"TTRING1\n", b"\0" * 10_000, b"x" * 10_000])
def test_a_file_that_is_no_ring_is_a_ring_error(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "a.ring").write_bytes(damage)
    with pytest.raises(RingError):
        Ring.open(tmp_path / "a.ring")


@given(torn=st.data(), whole=st.integers(0, 40))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
def test_a_write_cut_off_anywhere_is_not_there_and_hurts_no_other(
    tmp_path: Path, torn: st.DataObject, whole: int
) -> None:
    """SIGKILL leaves what `pack_into` had done by then: zeroes first, then the record's bytes in order."""
    shutil.rmtree(tmp_path)
    tmp_path.mkdir()
    ring = ring_in(tmp_path)
    number = ring.number(LOSS)
    assert number is not None
    for step in range(whole):
        if step - ring.state.tail == ring.capacity:
            ring.intend(step - 3)
            ring.advance()
        ring.put(ring.take(), step, 1.0, float(step), number)
    room = ring.capacity - (whole - ring.state.tail)
    expected = [("task", 1, "loss", "train", step, float(step)) for step in range(ring.state.tail, whole)]
    for position in range(whole, whole + torn.draw(st.integers(0, room), "writers at work")):
        slot = ring.base + ((position & ring.mask) << SHIFT)
        data = RECORD.pack(position, 1.0, float(position), number, position + 1)
        zeroed, written = torn.draw(st.integers(0, 32)), torn.draw(st.integers(0, 32))
        if written:
            zeroed = 32
        ring.buffer[slot : slot + zeroed] = bytes(zeroed)
        ring.buffer[slot : slot + written] = data[:written]
        if bytes(ring.buffer[slot : slot + 32]) == data:
            expected.append(("task", 1, "loss", "train", position, float(position)))
    assert drained(Ring.open(tmp_path / "a.ring")) == expected


@settings(deadline=None)
@given(text=st.text(max_size=8), cut=st.integers(0, 100))
def test_a_name_cut_off_while_it_was_written_is_not_there(text: str, cut: int) -> None:
    ring = Ring.create(None, IDENTITY, capacity=4, names_bytes=400)
    ring.number(LOSS)
    before = bytes(ring.buffer)
    ring.number(SeriesName(text, 2, text, text))
    after = bytes(ring.buffer)
    changed = [place for place in range(len(before)) if before[place] != after[place]]
    text_first = [place for place in changed if place >= changed[0] + 8] + [p for p in changed if p < changed[0] + 8][
        ::-1
    ]
    ring.buffer[:] = before
    for place in text_first[:cut]:
        ring.buffer[place : place + 1] = after[place : place + 1]
    names = Ring(ring.buffer, None).names
    assert names[:1] == [LOSS]
    assert names[1:] in ([], [SeriesName(text, 2, text, text)])


@settings(deadline=None)
@given(cut=st.integers(0, 28), states=st.lists(st.integers(0, 50), min_size=1, max_size=6))
def test_a_state_cut_off_while_it_was_written_leaves_the_one_before(cut: int, states: list[int]) -> None:
    ring = Ring.create(None, IDENTITY, capacity=4, names_bytes=400)
    for end in states[:-1]:
        ring.intend(end)
    before, known = bytes(ring.buffer), ring.state
    ring.intend(states[-1])
    after = bytes(ring.buffer)
    changed = [place for place in range(len(before)) if before[place] != after[place]]
    ring.buffer[:] = before
    for place in [place for place in changed if place < changed[0] + cut]:
        ring.buffer[place : place + 1] = after[place : place + 1]
    reopened = Ring(ring.buffer, None).state
    assert reopened in (known, ring.state)


def test_a_live_batch_ends_at_the_first_record_that_is_not_there(tmp_path: Path) -> None:
    ring = ring_in(tmp_path)
    number = ring.number(LOSS) or 0
    positions = [ring.take() for _ in range(4)]
    for position in (positions[0], positions[1], positions[3]):
        ring.put(position, position, 1.0, 0.0, number)
    assert (ready_end(ring), left_end(ring)) == (2, 4)


def test_records_behind_the_end_of_the_memory_are_found_when_the_last_slot_was_never_written(tmp_path: Path) -> None:
    ring = ring_in(tmp_path, capacity=4)
    number = ring.number(LOSS) or 0
    for _ in range(3):
        ring.put(ring.take(), 0, 1.0, 0.0, number)
    ring.intend(3)
    ring.advance()
    ring.take()
    ring.put(ring.take(), 7, 1.0, 0.5, number)
    assert drained(Ring.open(tmp_path / "a.ring")) == [("task", 1, "loss", "train", 7, 0.5)]


def test_void_slots_hold_no_point(tmp_path: Path) -> None:
    ring = ring_in(tmp_path)
    number = ring.number(LOSS) or 0
    ring.put(ring.take(), 0, 0.0, 0.0, VOID)
    ring.put(ring.take(), 1, 1.0, 1.0, number)
    assert drained(ring) == [("task", 1, "loss", "train", 1, 1.0)]


def test_a_step_beyond_64_bits_is_refused_before_it_is_committed(tmp_path: Path) -> None:
    ring = ring_in(tmp_path)
    with pytest.raises((struct.error, OverflowError)):
        ring.put(ring.take(), 2**63, 1.0, 1.0, 0)
    assert not ring.committed(0)


def test_names_end_at_one_that_is_damaged() -> None:
    ring = Ring.create(None, IDENTITY, capacity=4, names_bytes=400)
    ring.number(LOSS)
    before = bytes(ring.buffer)
    ring.number(LOSS._replace(title="accuracy"))
    last = max(place for place in range(len(before)) if before[place] != ring.buffer[place])
    ring.buffer[last - 3 : last - 2] = b"?"
    assert Ring(ring.buffer, None).names == [LOSS]


def test_a_batch_in_doubt_is_sent_again_as_it_was_whatever_was_written_since(tmp_path: Path) -> None:
    ring = ring_in(tmp_path)
    number = ring.number(LOSS) or 0
    sent: list[Record] = []

    def send(record: Record) -> Receipt:
        sent.append(record)
        return Receipt(safe=len(sent) > 1)

    ring.put(ring.take(), 0, 1.0, 0.0, number)
    assert not RingDrain(send, ready_end).step(ring)
    assert ring.state.tail == 0
    ring.put(ring.take(), 1, 1.0, 1.0, number)
    left = Ring.open(tmp_path / "a.ring")
    heir = RingDrain(send, left_end)
    assert heir.step(left)
    assert sent[0] == sent[1]
    assert heir.step(left)
    assert points_of(sent) == [("task", 1, "loss", "train", step, float(step)) for step in range(2)]


SERIES = [
    SeriesName(task, run, title, "s") for task in "ab" for run in (1, 2) for title in ("loss", "é", ":monitor:cpu")
]
STEPS = st.integers(-(2**63), 2**63 - 1) | st.integers(0, 9)
VALUES = st.floats() | st.floats(width=32) | st.sampled_from([0.0, -0.0, 3.4028235677973366e38])
SLOTS = st.tuples(STEPS, st.floats(0, 4e9), VALUES, st.sampled_from([*range(len(SERIES)), VOID]), st.booleans())


def ring_with(slots: list[tuple[int, float, float, int, bool]], drained: int) -> Ring:
    """A ring of 16 records after as many were drained; each slot's last word says whether it was written whole."""
    ring = Ring.create(None, IDENTITY, capacity=16, names_bytes=2000)
    ring.allow(16)
    for name in SERIES:
        ring.number(name)
    for _ in range(drained):
        ring.put(position := ring.take(), 0, 1.0, 0.0, 0)
        ring.intend(position + 1)
        ring.advance()
    for step, time, value, series, is_whole in slots:
        position = ring.take()
        if is_whole:
            ring.put(position, step, time, value, series)
    return ring


@given(slots=st.lists(SLOTS, max_size=16), drained=st.integers(0, 40))
@settings(max_examples=300, deadline=None)
def test_a_few_records_make_the_same_batch_with_numpy_and_without(
    slots: list[tuple[int, float, float, int, bool]], drained: int
) -> None:
    ring = ring_with(slots, drained)
    first = next((place for place, slot in enumerate(slots) if not slot[-1]), len(slots))
    expected = drained + min(first, 16 - drained % 16)
    assert ring_events.ready_end(ring) == ring_arrays.ready_end(ring) == expected
    assert ring_events.has_more(ring) == any(slot[-1] for slot in slots)
    ring.intend(drained + min(len(slots), 16 - drained % 16))
    batches = ring_events.batch(ring)
    assert batches == ring_arrays.batch(ring) or (batches is None and any(slot[2] != slot[2] for slot in slots))


def test_more_than_a_few_records_are_left_to_numpy(tmp_path: Path) -> None:
    ring = ring_in(tmp_path, capacity=1024)
    number = ring.number(LOSS) or 0
    for step in range(ring_events.FEW + 1):
        ring.put(ring.take(), step, 1.0, 0.0, number)
    assert ring_events.ready_end(ring) is None
    ring.intend(ring_arrays.ready_end(ring))
    assert ring_events.batch(ring) is None
    assert [batch.last_step for batch in ring_arrays.batch(ring)] == [ring_events.FEW]


class Crashes(RuleBasedStateMachine):
    """A ring that is written, drained, killed and taken over at any moment loses no point and repeats none unseen."""

    def __init__(self) -> None:
        super().__init__()
        self.ring = Ring.create(None, IDENTITY, capacity=8, names_bytes=2000)
        self.ring.allow(8)
        self.sent: list[Record] = []
        self.reported: list[Point] = []
        self.unsafe: list[Receipt] = []
        self.refuse = False
        self.drain = RingDrain(self.send, ready_end)

    def send(self, record: Record) -> Receipt | None:
        if self.refuse:
            return None
        self.sent.append(record)
        self.unsafe.append(Receipt())
        return self.unsafe[-1]

    @rule(task=st.sampled_from("ab"), run=st.integers(1, 2), series=st.sampled_from(["x", "y"]), step=st.integers(0, 9))
    def report(self, task: str, run: int, series: str, step: int) -> None:
        position = self.ring.take()
        if position < min(self.ring.state.tail + 8, self.ring.limit):
            number = self.ring.number(SeriesName(task, run, "t", series))
            assert number is not None
            self.ring.put(position, step, 1.0, float(position), number)
            self.reported.append((task, run, "t", series, step, float(position)))
        else:
            self.close()

    def close(self) -> None:
        """A full ring: its successor begins where it ended, empty."""
        self.finish()
        self.ring = Ring.create(None, RingIdentity(f"{self.ring.identity.session}+", "a"), capacity=8, names_bytes=2000)
        self.ring.allow(8)
        self.drain = RingDrain(self.send, ready_end)

    @rule(refuse=st.booleans())
    def step(self, refuse: bool) -> None:
        self.refuse = refuse
        if self.drain.step(self.ring):
            self.ring.allow(self.ring.state.tail + 8)

    @rule()
    def settle(self) -> None:
        for receipt in self.unsafe:
            receipt.safe = True

    @rule()
    def kill(self) -> None:
        """Another process goes on with the bytes as they are; it drains before anybody writes."""
        left = Ring(self.ring.buffer, None)
        self.drain = RingDrain(self.send, left_end)
        self.ring = left
        self.close()

    def finish(self) -> None:
        self.refuse = False
        drain = RingDrain(self.send, left_end) if self.ring.limit == 0 else self.drain
        for _ in range(20):
            self.settle()
            drain.step(self.ring)
        self.settle()
        drain.step(self.ring)

    @invariant()
    def nothing_appears_that_was_not_reported(self) -> None:
        assert set(points_of(self.sent)) <= set(self.reported)

    def teardown(self) -> None:
        self.finish()
        assert sorted(points_of(self.sent)) == sorted(self.reported)


TestCrashes = Crashes.TestCase
TestCrashes.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def test_a_full_ring_of_a_usual_size_goes_to_the_log_in_four_records_of_eleven_bytes_a_point(tmp_path: Path) -> None:
    ring = Ring.create(tmp_path / "a.ring", IDENTITY)
    ring.allow(ring.capacity)
    number = ring.number(LOSS)
    assert number is not None
    for step in range(ring.capacity):
        ring.put(ring.take(), step, 1e9 + step * 1e-6, step / 3, number)
    records: list[Record] = []

    def send(record: Record) -> Receipt:
        records.append(record)
        return Receipt(safe=True)

    drain = RingDrain(send, ready_end)
    while drain.step(ring):
        pass
    assert len(records) == 4
    assert sum(len(record.value or b"") for record in records) < 11.1 * ring.capacity
