"""The port's guarantees about reading, positions and topics, on each log."""

from __future__ import annotations

import threading

import pytest

from tasktape.events.errors import TopicMismatchError, UnknownTopicError
from tasktape.events.log import Log, LogRecord, TopicPartition
from tasktape.events.log.past import past, past_in_batches
from tasktape.events.topics import TopicSpec
from tasktape.testing import append_all, records_on
from tasktape.tests.contract.promises import elsewhere, forget_before, make_gap, promise, take


@pytest.fixture
def log(any_log: Log, topic: str) -> Log:
    """A log of each kind with a topic of two partitions, 20 records in each."""
    any_log.create_topics([TopicSpec(topic, 2)])
    for number in range(20):
        for partition in range(2):
            any_log.append(topic, f"{number}", b"%d" % number, partition=partition)
    any_log.flush()
    return any_log


@pytest.fixture
def first(topic: str) -> TopicPartition:
    """The topic's first partition."""
    return TopicPartition(topic, 0)


@pytest.fixture
def second(topic: str) -> TopicPartition:
    """The topic's second partition."""
    return TopicPartition(topic, 1)


@promise(
    "A reader starts exactly at the positions given and sees every record from there on, in each partition in order."
)
def test_a_reader_starts_exactly_where_it_is_told(log: Log, first: TopicPartition, second: TopicPartition) -> None:
    with log.read({first: 7, second: 19}) as reader:
        found = take(reader, 14)
    assert [record.offset for record in found if record.source == first] == list(range(7, 20))
    assert [record.offset for record in found if record.source == second] == [19]


@promise(
    "A reader starts exactly at the positions given and sees every record from there on, in each partition in order."
)
def test_a_reader_at_the_end_sees_only_what_comes(log: Log, first: TopicPartition) -> None:
    with log.read({first: 20}) as reader:
        assert reader.poll() == []
        append_all(log, first.topic, [])
        log.append(first.topic, "new", b"new", partition=0)
        log.flush()
        assert [record.value for record in take(reader, 1)] == [b"new"]


@promise("A position before the first kept record starts at that record.")
def test_reading_starts_at_the_first_kept_record(log: Log, first: TopicPartition) -> None:
    forget_before(log, {first: 12})
    with log.read({first: 3}) as reader:
        assert [record.offset for record in take(reader, 8)] == list(range(12, 20))


@promise("Gaps may occur.")
def test_gaps_are_passed_over(log: Log, first: TopicPartition) -> None:
    make_gap(log, first)
    log.append(first.topic, "after", b"after", partition=0)
    log.flush()
    with log.read({first: 19}) as reader:
        before, *_, after = take(reader, 2)
        found = [record.offset for record in records_on(log, [first.topic]) if record.source == first]
    assert before.offset == 19
    assert after.value != b"gone"
    assert sorted(set(range(found[-1] + 1)) - set(found))


@promise("A reader follows: records appended later, by any process, arrive without reopening.")
def test_a_reader_follows_what_another_process_appends(log: Log, first: TopicPartition) -> None:
    code = f'for number in range(3): log.append({first.topic!r}, "k", b"%d" % number, partition=0)'
    with log.read({first: 20}) as reader:
        for _ in range(2):
            assert reader.poll() == []
            assert elsewhere(log.url, code).returncode == 0
            assert [record.value for record in take(reader, 3)] == [b"0", b"1", b"2"]


@promise("`poll` returns as soon as there is something, at most `limit` records, and nothing after `timeout`.")
def test_poll_returns_as_soon_as_there_is_something(log: Log, first: TopicPartition) -> None:
    longer_than_a_test_may_take = 600.0
    later = threading.Timer(0.05, lambda: log.append(first.topic, "k", b"later", partition=0))
    with log.read({first: 20}) as reader:
        later.start()
        assert [record.value for record in reader.poll(longer_than_a_test_may_take)] == [b"later"]
    later.join()


@promise("`poll` returns as soon as there is something, at most `limit` records, and nothing after `timeout`.")
def test_poll_returns_at_most_limit_records(log: Log, topic: str) -> None:
    with log.read(log.start_positions([topic])) as reader:
        sizes: list[int] = []
        while sum(sizes) < 40:
            sizes.append(len(reader.poll(30, limit=7)))
    assert max(sizes) <= 7


@promise("`poll` returns as soon as there is something, at most `limit` records, and nothing after `timeout`.")
def test_poll_returns_nothing_after_its_timeout(log: Log, topic: str) -> None:
    with log.read(log.end_positions([topic])) as reader:
        assert list(reader.poll(0.05)) == []


@promise("`wake`, which any thread may call, ends the `poll` that waits, else the next one, within a second.")
def test_a_reader_that_waits_can_be_woken(log: Log, topic: str) -> None:
    longer_than_a_test_may_take = 600.0
    with log.read(log.end_positions([topic])) as reader:
        later = threading.Timer(0.05, reader.wake)
        later.start()
        assert list(reader.poll(longer_than_a_test_may_take)) == []
        later.join()
        reader.wake()
        assert list(reader.poll(longer_than_a_test_may_take)) == []


@promise("`is_at_end` says whether all is returned that was there at the opening, and all it has heard of since.")
def test_a_reader_is_at_its_end_when_all_that_was_there_is_returned(log: Log, topic: str) -> None:
    with log.read(log.start_positions([topic])) as reader:
        found: list[LogRecord] = []
        while not reader.is_at_end():
            found += reader.poll(0.1, limit=7)
        assert len(found) == 40
        log.append(topic, "later", b"later", partition=1)
        log.flush()
        assert [record.value for record in take(reader, 1)] == [b"later"]
        assert reader.is_at_end()


@promise("`is_at_end` says whether all is returned that was there at the opening, and all it has heard of since.")
def test_a_reader_is_at_its_end_where_there_is_nothing_to_read(
    log: Log, first: TopicPartition, second: TopicPartition
) -> None:
    forget_before(log, {first: 20})
    with log.read({first: 0, second: 20}) as reader:
        while not reader.is_at_end():
            assert list(reader.poll(0.1)) == []


@promise("`positions` says, for each partition, the offset of the next record to be returned.")
def test_a_reader_opened_where_another_was_goes_on_without_loss_or_repeat(log: Log, topic: str) -> None:
    positions = log.start_positions([topic])
    found: list[LogRecord] = []
    while len(found) < 40:
        with log.read(positions) as reader:
            found += reader.poll(30, limit=3)
            positions = reader.positions()
    assert sorted(found) == records_on(log, [topic])
    assert positions == log.end_positions([topic])


@promise("It reaches the partition's end even where the last records are gone.")
def test_positions_reach_the_end_where_the_last_records_are_gone(
    log: Log, first: TopicPartition, second: TopicPartition
) -> None:
    forget_before(log, {first: 20})
    with log.read({first: 0, second: 20}) as reader:
        while reader.positions() != {first: 20, second: 20}:
            assert list(reader.poll(0.1)) == []


@promise("A reader of a topic that was never created raises `UnknownTopicError`, at the latest when it is polled.")
def test_reading_an_unknown_topic_says_so(log: Log, topic: str) -> None:
    def read() -> None:
        with log.read({TopicPartition(f"{topic}-never-created", 0): 0}) as reader:
            reader.poll(30)

    with pytest.raises(UnknownTopicError):
        read()


@promise("Partitions can be added to a reader while it reads; those it reads already go on where they are.")
def test_partitions_can_be_added_while_reading(log: Log, first: TopicPartition, second: TopicPartition) -> None:
    with log.read({first: 18}) as reader:
        take(reader, 2)
        reader.add({second: 15, first: 0})
        assert [record.offset for record in take(reader, 5)] == list(range(15, 20))
        assert reader.positions() == {first: 20, second: 20}


@promise("Partitions can be added to a reader while it reads; those it reads already go on where they are.")
def test_a_reader_may_start_with_no_partition(log: Log, first: TopicPartition) -> None:
    with log.read({}) as reader:
        assert list(reader.poll(0.01)) == []
        reader.add({first: 19})
        assert [record.offset for record in take(reader, 1)] == [19]


@promise("Readers do not disturb each other.")
def test_readers_do_not_disturb_each_other(log: Log, first: TopicPartition) -> None:
    with log.read({first: 0}) as one, log.read({first: 0}) as other:
        assert take(one, 20) == take(other, 20)
        one.close()
        log.append(first.topic, "k", b"more", partition=0)
        assert [record.value for record in take(other, 1)] == [b"more"]


@promise(
    "`end_positions` gives for each partition the offset that the next record will get at the least, so a reader whose "
    "positions have reached it has seen everything that was delivered before the call."
)
def test_a_reader_that_has_reached_the_end_has_seen_all_delivered_before(log: Log, topic: str) -> None:
    with log.read(log.start_positions([topic])) as reader:
        seen = 0
        for round_ in range(5):
            deliveries = append_all(log, topic, [(f"{number}", b"") for number in range(round_ * 3)])
            ends = log.end_positions([topic])
            assert all(delivery.offset < ends[TopicPartition(topic, delivery.partition)] for delivery in deliveries)
            while any(reader.positions()[source] < end for source, end in ends.items()):
                seen += len(reader.poll(30))
        assert seen == 40 + sum(range(0, 15, 3))


@promise(
    "`end_positions` gives for each partition the offset that the next record will get at the least, so a reader whose "
    "positions have reached it has seen everything that was delivered before the call."
)
def test_the_past_is_all_that_was_there_and_nothing_that_has_come_since(
    log: Log, first: TopicPartition, second: TopicPartition
) -> None:
    ends = log.end_positions([first.topic])
    before = records_on(log, [first.topic])
    append_all(log, first.topic, [(f"{number}", b"new") for number in range(20)])
    assert sorted(past(log, ends)) == before
    batches = past_in_batches(log, {first: 9, second: 20}, {first: 7, second: 20})
    assert [(record.source, record.offset) for batch in batches for record in batch] == [(first, 7), (first, 8)]


@promise("It reaches the partition's end even where the last records are gone.")
def test_the_past_ends_where_the_last_records_are_gone_and_gives_whoever_reads_it_its_turn_meanwhile(
    log: Log, first: TopicPartition
) -> None:
    forget_before(log, {first: 20})
    assert list(past(log, {first: 20})) == []
    never = next(iter(past_in_batches(log, {first: 21}, {first: 20})))
    assert list(never) == []


@promise(
    "`end_positions` gives for each partition the offset that the next record will get at the least, so a reader whose "
    "positions have reached it has seen everything that was delivered before the call."
)
def test_the_end_of_an_unknown_topic_is_an_error(log: Log, topic: str) -> None:
    with pytest.raises(UnknownTopicError):
        log.end_positions([topic, f"{topic}-never-created"])
    assert log.end_positions([]) == {}


@promise("Creating a topic that exists is no error; with another number of partitions it raises `TopicMismatchError`.")
def test_a_topic_can_be_created_again_but_not_otherwise(log: Log, topic: str) -> None:
    log.create_topics([TopicSpec(topic, 2), TopicSpec(topic, 2)])
    with pytest.raises(TopicMismatchError) as caught:
        log.create_topics([TopicSpec(f"{topic}-new", 1), TopicSpec(topic, 3)])
    assert (caught.value.topic, caught.value.existing, caught.value.wanted) == (topic, 2, 3)
    assert sum(log.end_positions([topic]).values()) == 40


@promise("`topics` lists what exists, with its partitions.")
def test_topics_are_listed_as_they_were_created(log: Log, topic: str) -> None:
    specs = [
        TopicSpec(f"{topic}.forever", 3),
        TopicSpec(f"{topic}.short", 1, retention_ms=86_400_000),
        TopicSpec(f"{topic}.compacted", 5, compact_after_ms=3_600_000),
        TopicSpec(f"{topic}.both", 1, retention_ms=86_400_000, compact_after_ms=3_600_000),
    ]
    log.create_topics(specs)
    found = log.topics()
    assert {spec.name: found[spec.name] for spec in specs} == {spec.name: spec for spec in specs}
    assert found[topic].partitions == 2
