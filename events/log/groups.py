"""Who owns which partition of a group: a pure function for the logs that keep groups themselves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping

from .port import TopicPartition

Owners = dict[TopicPartition, str]


def assign(
    members: Mapping[str, Collection[str]],
    partitions: Iterable[TopicPartition],
    before: Mapping[TopicPartition, str],
) -> Owners:
    """Give each partition to one member that joined its topic; partitions nobody joined are left out.

    An owner keeps what it had as long as nobody has two partitions fewer that could take it, so as little as possible
    moves. `members` maps each member to its topics, `before` is the last assignment. Deterministic.
    """
    wanted = [(partition, _candidates(members, partition)) for partition in sorted(partitions)]
    owners: Owners = {}
    load = Counter(dict.fromkeys(members, 0))
    for partition, candidates in wanted:
        if (owner := before.get(partition)) in candidates and owner is not None:
            owners[partition] = owner
            load[owner] += 1
    for partition, candidates in wanted:
        if candidates and partition not in owners:
            _give(owners, load, partition, _lightest(candidates, load))
    while _balance_once(wanted, owners, load):
        pass
    return owners


def _candidates(members: Mapping[str, Collection[str]], partition: TopicPartition) -> list[str]:
    return sorted(member for member, topics in members.items() if partition.topic in topics)


def _lightest(candidates: list[str], load: Counter[str]) -> str:
    return min(candidates, key=lambda member: (load[member], member))


def _give(owners: Owners, load: Counter[str], partition: TopicPartition, member: str) -> None:
    owners[partition] = member
    load[member] += 1


def _balance_once(wanted: list[tuple[TopicPartition, list[str]]], owners: Owners, load: Counter[str]) -> bool:
    """Move partitions down by one step each; every move makes the sum of squared loads smaller, so this ends."""
    moved = False
    for partition, candidates in wanted:
        if not candidates:
            continue
        owner, lightest = owners[partition], _lightest(candidates, load)
        if load[owner] - load[lightest] > 1:
            load[owner] -= 1
            _give(owners, load, partition, lightest)
            moved = True
    return moved
