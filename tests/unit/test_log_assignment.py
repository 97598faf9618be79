"""Sharing partitions out: each has one owner, shares are fair, and as little moves as can be."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from tasktape.events.log import TopicPartition
from tasktape.events.log.groups import assign

TOPICS = {"a": 5, "b": 3, "c": 1}
PARTITIONS = [TopicPartition(topic, number) for topic, count in TOPICS.items() for number in range(count)]
MEMBERS = st.dictionaries(st.sampled_from("uvwxyz"), st.sets(st.sampled_from("abc"), min_size=1), max_size=6)
BEFORE = st.dictionaries(st.sampled_from(PARTITIONS), st.sampled_from("uvwxyz?"))


@given(MEMBERS, BEFORE)
def test_each_partition_that_somebody_joined_has_one_owner_who_joined_it(
    members: dict[str, set[str]], before: dict[TopicPartition, str]
) -> None:
    owners = assign(members, PARTITIONS, before)
    joined = {topic for topics in members.values() for topic in topics}
    assert owners.keys() == {place for place in PARTITIONS if place.topic in joined}
    assert all(place.topic in members[owner] for place, owner in owners.items())


@given(MEMBERS, BEFORE)
def test_nobody_has_two_more_than_one_who_could_take_one(
    members: dict[str, set[str]], before: dict[TopicPartition, str]
) -> None:
    owners = assign(members, PARTITIONS, before)
    load = Counter(owners.values())
    for place, owner in owners.items():
        assert all(load[owner] - load[other] <= 1 for other, topics in members.items() if place.topic in topics)


@given(MEMBERS, BEFORE)
def test_nothing_moves_without_need(members: dict[str, set[str]], before: dict[TopicPartition, str]) -> None:
    owners = assign(members, PARTITIONS, before)
    assert assign(members, reversed(PARTITIONS), owners) == owners


@given(st.integers(1, 6))
def test_a_newcomer_takes_its_share_and_others_exchange_nothing(count: int) -> None:
    topics = {"a", "b", "c"}
    before = assign(dict.fromkeys("uvwxyz"[:count], topics), PARTITIONS, {})
    after = assign(dict.fromkeys("uvwxyz"[:count], topics) | {"new": topics}, PARTITIONS, before)
    moved = {owner for place, owner in after.items() if before[place] != owner}
    assert moved == {"new"}
