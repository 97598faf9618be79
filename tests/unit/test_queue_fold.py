"""The queue fold against the table of the design, read literally by a model that knows no shortcuts."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from tasktape.events.base import Meta
from tasktape.events.parts import TaskSpec
from tasktape.events.queue_events import (
    EntryClaimed,
    EntryDequeued,
    EntryEnqueued,
    EntryEvent,
    EntryMoved,
    EntryTaken,
    QueueCreated,
    QueueDeleted,
    QueuePaused,
    QueueResumed,
    entry_id,
)
from tasktape.projections.queue_fold import Entry, QueueFold
from tasktape.projections.verdict import Verdict

SPEC = TaskSpec(project="p", name="n")
SECOND = 1_000_000
LEASE = 10


def meta(event_id: str) -> Meta:
    return Meta(event_id=event_id, occurred_at=datetime(2026, 1, 1, tzinfo=UTC), actor="a", session="s", seq=0)


class Script:
    """Writes one partition by hand: each call appends one event `at` so many seconds."""

    def __init__(self) -> None:
        self.fold = QueueFold("q", lease=LEASE)
        self.offset = 0

    def put(self, kind: type[EntryEvent], event_id: str, at: float, task: str = "t", **fields: object) -> Verdict:
        name = entry_id("q", task, 1)
        event = kind.model_validate(
            {"meta": meta(event_id), "task": task, "queue": "q", "entry": name, "run": 1, **fields}
        )
        self.offset += 1
        return self.fold.apply(event, partition=0, offset=self.offset - 1, timestamp_us=round(at * SECOND))

    def enqueue(self, event_id: str, at: float, task: str = "t", **fields: object) -> Verdict:
        return self.put(EntryEnqueued, event_id, at, task, spec=SPEC, **fields)

    def claim(self, event_id: str, at: float, worker: str) -> Verdict:
        return self.put(EntryClaimed, event_id, at, worker=worker)

    def take(self, event_id: str, at: float, worker: str, claim: str) -> Verdict:
        return self.put(EntryTaken, event_id, at, worker=worker, claim=claim)

    def entry(self, task: str = "t") -> Entry:
        found = self.fold.entry(entry_id("q", task, 1))
        assert found is not None
        return found


def test_the_first_claim_in_the_log_wins() -> None:
    q = Script()
    q.enqueue("e", 0)
    assert q.claim("c1", 1, "w1").accepted
    assert q.claim("c2", 1, "w2").reason == "w1 holds the entry"
    assert not q.take("t2", 2, "w2", "c2").accepted
    assert q.take("t1", 2, "w1", "c1").accepted
    assert (q.entry().state, q.entry().worker) == ("taken", "w1")


def test_a_claim_can_be_taken_over_only_when_older_than_the_lease() -> None:
    q = Script()
    q.enqueue("e", 0)
    q.claim("c1", 1, "w1")
    assert not q.claim("c2", 11, "w2").accepted
    assert q.claim("c3", 11.000001, "w2").accepted
    assert not q.take("t1", 12, "w1", "c1").accepted


def test_a_claim_is_taken_at_any_age_while_nobody_took_it_over() -> None:
    q = Script()
    q.enqueue("e", 0)
    q.claim("c1", 1, "w1")
    assert q.take("t1", 100_000, "w1", "c1").accepted


def test_a_copy_of_a_claim_that_did_not_count_does_not_count_later() -> None:
    q = Script()
    q.enqueue("e", 0)
    q.claim("c1", 1, "w1")
    q.claim("c2", 2, "w2")
    assert q.claim("c2", 100, "w2").kind == "duplicate"
    assert q.entry().worker == "w1"


def test_a_copy_of_a_claim_made_before_its_entry_does_not_count() -> None:
    q = Script()
    q.claim("c1", 0, "w1")
    q.enqueue("e", 1)
    assert q.claim("c1", 2, "w1").kind == "duplicate"
    assert q.entry().state == "waiting"


def test_a_copy_of_the_event_that_took_an_entry_is_a_duplicate_and_no_rejection() -> None:
    q = Script()
    q.enqueue("e", 0)
    q.claim("c", 1, "w")
    q.take("t", 2, "w", "c")
    assert q.take("t", 3, "w", "c").kind == "duplicate"


def test_an_entry_that_is_gone_never_comes_back() -> None:
    q = Script()
    q.enqueue("e", 0)
    q.put(EntryDequeued, "d", 1)
    assert not q.enqueue("again", 2).accepted
    assert q.entry().state == "dequeued"


def test_a_held_entry_can_be_neither_dequeued_nor_moved_until_the_claim_is_stale() -> None:
    q = Script()
    q.enqueue("e", 0)
    q.claim("c", 1, "w")
    assert not q.put(EntryDequeued, "d1", 2).accepted
    assert not q.put(EntryMoved, "m1", 2, rank=0.0).accepted
    assert q.put(EntryMoved, "m2", 20, rank=0.0).accepted
    assert (q.entry().state, q.entry().rank, q.entry().worker) == ("waiting", 0.0, "")
    assert not q.take("t", 21, "w", "c").accepted
    assert q.put(EntryDequeued, "d2", 22).accepted


def test_entries_wait_by_rank_then_by_time() -> None:
    q = Script()
    q.enqueue("a", 5, task="a")
    q.enqueue("b", 6, task="b")
    q.enqueue("c", 7, task="c", rank=5.5)
    assert [e.task for e in q.fold.waiting()] == ["a", "c", "b"]
    q.put(EntryMoved, "m", 8, task="b", rank=-1.0)
    assert [e.task for e in q.fold.waiting()] == ["b", "a", "c"]
    q.put(EntryClaimed, "k", 9, task="a", worker="w")
    assert [e.task for e in q.fold.waiting()] == ["b", "c"]
    assert [e.task for e in q.fold.claimed()] == ["a"]


def test_entries_of_higher_priority_wait_before_all_others() -> None:
    q = Script()
    q.enqueue("a", 5, task="a")
    q.enqueue("b", 6, task="b", priority=-1, rank=0.0)
    q.enqueue("c", 7, task="c", priority=2)
    q.enqueue("d", 8, task="d", priority=2, rank=1.0)
    assert [e.task for e in q.fold.waiting()] == ["d", "c", "a", "b"]
    q.put(EntryMoved, "m1", 9, task="b", priority=2)
    q.put(EntryMoved, "m2", 9, task="d", rank=100.0)
    assert [e.task for e in q.fold.waiting()] == ["c", "b", "d", "a"]


def test_a_move_to_another_queue_takes_the_priority_along() -> None:
    q = Script()
    q.enqueue("a", 0, task="a", priority=3)
    q.enqueue("b", 0, task="b", priority=3)
    q.put(EntryMoved, "m1", 1, task="a", to_queue="other")
    q.put(EntryMoved, "m2", 1, task="b", to_queue="other", priority=0)
    assert (q.entry("a").priority, q.entry("b").priority) == (3, 0)


def test_a_moved_entry_knows_its_next_id_by_queue_of_origin() -> None:
    q = Script()
    q.enqueue("e", 0, entry=entry_id("first/queue", "t", 1, 2), hop=2)
    q.put(EntryMoved, "m", 1, entry=entry_id("first/queue", "t", 1, 2), to_queue="other", rank=3.0)
    moved = q.fold.entry(entry_id("first/queue", "t", 1, 2))
    assert moved is not None
    assert (moved.state, moved.moved_to, moved.moved_rank) == ("moved", "other", 3.0)
    assert moved.next_hop_id == entry_id("first/queue", "t", 1, 3)
    assert moved.spec == SPEC


def test_the_committed_position_waits_for_the_note_of_a_dequeued_entry() -> None:
    q = Script()
    q.enqueue("a", 0, task="a")
    q.enqueue("b", 0, task="b")
    assert q.fold.commit_position(0) == 0
    q.put(EntryDequeued, "d", 1, task="a")
    assert [e.task for e in q.fold.unsettled()] == ["a"]
    assert q.fold.commit_position(0) == 0
    q.fold.note_left(entry_id("q", "a", 1))
    assert q.fold.commit_position(0) == 1
    q.put(EntryClaimed, "c", 2, task="b", worker="w")
    q.put(EntryTaken, "t", 2, task="b", worker="w", claim="c")
    assert q.fold.commit_position(0) == 5


def test_the_committed_position_waits_for_the_next_hop_of_a_moved_entry() -> None:
    q = Script()
    q.enqueue("e", 0)
    q.put(EntryMoved, "m", 1, to_queue="other")
    q.fold.note_left(entry_id("q", "t", 1))
    assert q.fold.commit_position(0) == 0
    q.fold.note_hop(entry_id("q", "t", 1))
    assert q.fold.commit_position(0) == 2
    assert q.fold.unsettled() == []
    assert q.entry().spec is None


def test_notes_may_be_read_before_what_they_are_about() -> None:
    q = Script()
    q.fold.note_left(entry_id("q", "t", 1))
    q.enqueue("e", 0)
    q.put(EntryDequeued, "d", 1)
    assert q.fold.commit_position(0) == 2


def test_records_that_say_nothing_move_the_committed_position_too() -> None:
    q = Script()
    q.fold.passed(3, 17)
    assert q.fold.commit_position(3) == 17


def test_an_event_of_another_queue_changes_nothing() -> None:
    q = Script()
    assert not q.enqueue("e", 0, queue="other").accepted
    assert q.fold.entry(entry_id("q", "t", 1)) is None


def test_pausing_is_known_and_does_not_judge_claims() -> None:
    q = Script()
    q.fold.apply_queue(QueuePaused(meta=meta("1"), queue="q"))
    assert not q.fold.apply_queue(QueueResumed(meta=meta("2"), queue="other")).accepted
    assert q.fold.paused
    q.enqueue("e", 0)
    assert q.claim("c", 1, "w").accepted
    q.fold.apply_queue(QueueResumed(meta=meta("3"), queue="q"))
    q.fold.apply_queue(QueueDeleted(meta=meta("4"), queue="q"))
    assert (q.fold.paused, q.fold.deleted) == (False, True)
    q.fold.apply_queue(QueueCreated(meta=meta("5"), queue="q"))
    assert not q.fold.deleted


def test_a_queue_that_is_deleted_and_created_again_is_not_paused() -> None:
    q = Script()
    q.fold.apply_queue(QueuePaused(meta=meta("1"), queue="q"))
    q.fold.apply_queue(QueueCreated(meta=meta("2"), queue="q"))
    assert q.fold.paused
    q.fold.apply_queue(QueueDeleted(meta=meta("3"), queue="q"))
    q.fold.apply_queue(QueueCreated(meta=meta("4"), queue="q"))
    assert not q.fold.paused


# The model: the whole history is kept, each question is answered by reading it again from the start.


@dataclass
class Record:
    event: EntryEvent
    partition: int
    offset: int
    at: int


@dataclass
class Model:
    """The design's table, one row per branch."""

    history: list[Record] = field(default_factory=list)

    def state(self, entry: str, partition: int) -> tuple[str, str, str, int, float, int]:
        """State, claim, worker, when it changed, rank and priority."""
        state, claim, worker, since, rank, priority, judged = "none", "", "", 0, 0.0, 0, set[str]()
        for record in self.history:
            event = record.event
            if record.partition != partition or event.entry != entry or event.meta.event_id in judged:
                continue
            judged.add(event.meta.event_id)
            free = state == "waiting" or (state == "claimed" and record.at - since > LEASE * SECOND)
            if isinstance(event, EntryEnqueued) and state == "none":
                state, since, priority = "waiting", record.at, event.priority
                rank = record.at / 1e6 if event.rank is None else event.rank
            elif isinstance(event, EntryClaimed) and free:
                state, claim, worker, since = "claimed", event.meta.event_id, event.worker, record.at
            elif isinstance(event, EntryTaken) and (state, claim, worker) == ("claimed", event.claim, event.worker):
                state, since = "taken", record.at
            elif isinstance(event, EntryDequeued) and free:
                state, claim, worker, since = "dequeued", "", "", record.at
            elif isinstance(event, EntryMoved) and free:
                state, claim, worker, since = "moved" if event.to_queue else "waiting", "", "", record.at
                priority = priority if event.priority is None else event.priority
                if not event.to_queue:
                    rank = record.at / 1e6 if event.rank is None else event.rank
        return state, claim, worker, since, rank, priority

    def waiting(self, enqueued: dict[str, int]) -> list[str]:
        """Entries that wait, best first: of those with the best priority the one with the least rank, and so on."""
        found = [(self.state(entry_id("q", t, 1, hop), TASKS.index(t) % 2), t, hop) for t in TASKS for hop in (0, 1)]
        states = {entry_id("q", t, 1, hop): state for state, t, hop in found if state[0] == "waiting"}
        order: list[str] = []
        while states:
            best = max(state[5] for state in states.values())
            equals = sorted(name for name, state in states.items() if state[5] == best)
            order.append(min(equals, key=lambda name: (states[name][4], enqueued[name])))
            del states[order[-1]]
        return order


TASKS = ("a", "b", "c")
KINDS: tuple[type[EntryEvent], ...] = (EntryEnqueued, EntryClaimed, EntryTaken, EntryDequeued, EntryMoved)
workers = st.sampled_from(("w1", "w2"))
ranks = st.none() | st.sampled_from((0.0, 1.0, -1.0))
priorities = st.sampled_from((0, 0, 1, -1))


@st.composite
def entry_events(draw: st.DrawFn, event_id: str, earlier: list[EntryEvent]) -> EntryEvent:
    """An event on one of six entries; most that take name a claim that was really made."""
    task, hop = draw(st.sampled_from(TASKS)), draw(st.sampled_from((0, 0, 1)))
    name = entry_id("q", task, 1, hop)
    claims = [e for e in earlier if isinstance(e, EntryClaimed) and e.entry == name]
    claim = draw(st.sampled_from(claims)) if claims else None
    kinds: list[type[EntryEvent]] = [*KINDS, EntryEnqueued, EntryClaimed, *[EntryTaken for _ in range(4) if claim]]
    kind = draw(st.sampled_from(kinds))
    fields: dict[type, dict[str, object]] = {
        EntryEnqueued: {"spec": SPEC, "rank": draw(ranks), "priority": draw(priorities), "hop": hop},
        EntryClaimed: {"worker": draw(workers)},
        EntryTaken: {
            "worker": claim.worker if claim else draw(workers),
            "claim": claim.meta.event_id if claim else "none",
        },
        EntryDequeued: {},
        EntryMoved: {
            "to_queue": draw(st.sampled_from(("", "other"))),
            "rank": draw(ranks),
            "priority": draw(st.none() | priorities),
        },
    }
    return kind.model_validate(
        {"meta": meta(event_id), "task": task, "queue": "q", "entry": name, "run": 1, **fields[kind]}
    )


@st.composite
def histories(draw: st.DrawFn) -> list[Record]:
    now, records = 0, list[Record]()
    for offset in range(draw(st.integers(0, 40))):
        now += draw(st.sampled_from((0, 1, SECOND, 6 * SECOND, LEASE * SECOND)))
        reused = draw(st.integers(0, 5 * offset)) if offset else offset
        event = draw(entry_events(str(min(reused, offset)), [r.event for r in records]))
        records.append(Record(event, TASKS.index(event.task) % 2, offset, now))
    return records


FEW = settings(max_examples=40)


def folded(records: list[Record]) -> QueueFold:
    fold = QueueFold("q", lease=LEASE)
    for record in records:
        fold.apply(record.event, partition=record.partition, offset=record.offset, timestamp_us=record.at)
    return fold


@FEW
@given(histories())
def test_every_entry_ends_as_the_designs_table_says(history: list[Record]) -> None:
    fold = folded(history)
    for task in TASKS:
        for hop in (0, 1):
            name = entry_id("q", task, 1, hop)
            expected = Model(history).state(name, TASKS.index(task) % 2)
            found = fold.entry(name)
            if found is None:
                assert expected[0] == "none"
            elif found.state == "taken":
                assert (found.state, found.worker, found.changed_us) == (expected[0], expected[2], expected[3])
            else:
                claim = found.claim if found.state == "claimed" else ""
                assert (found.state, claim, found.worker, found.changed_us, found.rank, found.priority) == expected


@FEW
@given(histories())
def test_what_waits_is_what_the_entries_say(history: list[Record]) -> None:
    fold = folded(history)
    known = [fold.entry(entry_id("q", task, 1, hop)) for task in TASKS for hop in (0, 1)]
    waiting = [e for e in known if e is not None and e.state == "waiting"]
    assert [e.id for e in fold.waiting()] == Model(history).waiting({e.id: e.enqueued_us for e in waiting})
    assert {e.id for e in fold.claimed()} == {e.id for e in known if e is not None and e.state == "claimed"}


@FEW
@given(histories(), st.randoms(use_true_random=False))
def test_partitions_may_be_read_in_any_interleaving(history: list[Record], random: object) -> None:
    by_partition = [[r for r in history if r.partition == p] for p in (0, 1)]
    mixed: list[Record] = []
    while any(by_partition):
        mixed.append(random.choice([records for records in by_partition if records]).pop(0))  # type: ignore[attr-defined]
    one, other = folded(history), folded(mixed)
    assert list(one.waiting()) == list(other.waiting())
    for task in TASKS:
        assert one.entry(entry_id("q", task, 1)) == other.entry(entry_id("q", task, 1))


@FEW
@given(histories(), st.data())
def test_copies_of_any_record_anywhere_later_change_nothing(history: list[Record], data: st.DataObject) -> None:
    copied = list(history)
    for _ in range(data.draw(st.integers(0, 5))):
        if copied:
            source = data.draw(st.integers(0, len(copied) - 1))
            target = data.draw(st.integers(source + 1, len(copied)))
            at = copied[target - 1].at
            copied.insert(target, Record(copied[source].event, copied[source].partition, 0, at))
    one, other = folded(history), folded(copied)
    for task in TASKS:
        for hop in (0, 1):
            name = entry_id("q", task, 1, hop)
            assert _fate(one.entry(name)) == _fate(other.entry(name))


def _fate(entry: Entry | None) -> object:
    return entry and (entry.state, entry.worker, entry.claim, entry.changed_us, entry.rank, entry.priority)


@FEW
@given(histories(), st.sets(st.sampled_from(TASKS)))
def test_the_committed_position_stops_at_the_first_entry_still_needed(history: list[Record], noted: set[str]) -> None:
    fold = folded(history)
    for task in noted:
        for hop in (0, 1):
            fold.note_left(entry_id("q", task, 1, hop))
    for partition in (0, 1):
        needed = [
            entry.offset
            for task in TASKS
            for hop in (0, 1)
            if TASKS.index(task) % 2 == partition
            and (entry := fold.entry(entry_id("q", task, 1, hop))) is not None
            and (not entry.gone or entry.state == "moved" or (entry.state == "dequeued" and task not in noted))
        ]
        read = max((r.offset + 1 for r in history if r.partition == partition), default=0)
        assert fold.commit_position(partition) == min(needed, default=read)
