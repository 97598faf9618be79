"""Consumer groups of the embedded log: members keep a lease in a table, whoever comes next shares their partitions out.

All bookkeeping is done in write transactions, so a partition never has two owners, not even for a moment.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

from ..errors import LogUnavailableError, UnknownTopicError
from .clock import Clock
from .groups import Owners, assign
from .lifetime import Lifetime, PartLifetime
from .pace import until_next
from .port import Member, Positions, TopicPartition
from .sqlite_database import SQL, Database, Queries, transaction

_SIGNS_PER_LEASE: Final = 2

_logger = logging.getLogger("tasktape.log")


class Groups:
    """The members one log object has, with one connection and one thread that keeps all of them alive."""

    def __init__(self, database: Database, queries: Queries, life: Lifetime, uptime: Clock, lease: float) -> None:
        self.queries = queries
        self._database = database
        self._life = life
        self._uptime = uptime
        self._lease = lease
        self._using = threading.RLock()
        self._stopped = threading.Event()
        self._connection: sqlite3.Connection | None = None
        self._members: dict[str, SqliteMember] = {}
        self._thread: threading.Thread | None = None

    def join(self, group: str, topics: Sequence[str]) -> SqliteMember:
        """Make a member and share the group's partitions out anew."""
        member = SqliteMember(self, group, tuple(topics), self._life)
        with self.transaction() as connection:
            known = {topic for _, topic, _, _ in connection.execute(SQL["partitions"])}
            for topic in topics:
                if topic not in known:
                    raise UnknownTopicError(topic)
            self._beat(connection, [member])
        with self._using:
            self._members[member.identity] = member
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="tasktape-log-groups", daemon=True)
                self._thread.start()
        return member

    def leave(self, member: SqliteMember) -> None:
        """Drop a member and give its partitions to the others."""
        with self.transaction() as connection:
            self._members.pop(member.identity, None)
            connection.execute(SQL["leave"], (member.group, member.identity))
            self._drop_dead(connection, member.group)
            self._share_out(connection, member.group)

    def committed(self, group: str) -> Positions:
        """Return all positions that a group has committed."""
        rows = self.queries.rows("committed", group)
        return {TopicPartition(topic, number): position for topic, number, position in rows}

    def close(self) -> None:
        """Let all members leave, stop the thread, let go of the connection."""
        self._stopped.set()
        with self._using:
            for member in list(self._members.values()):
                member.close()
            if self._connection is not None:
                self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Run a write transaction; what SQLite raises becomes `LogUnavailableError`."""
        with self._using, self._database.errors():
            if self._connection is None:
                self._connection = self._database.connect_to_write()
            with transaction(self._connection):
                yield self._connection

    def _run(self) -> None:
        while not self._stopped.wait(until_next(self._lease / _SIGNS_PER_LEASE)):
            try:
                self._renew()
            except LogUnavailableError as error:
                _logger.warning("Members could not renew their lease: %s", error, extra={"action": "lease_not_renewed"})

    def _renew(self) -> None:
        with self._using:
            if self._members and not self._stopped.is_set():
                with self.transaction() as connection:
                    self._beat(connection, list(self._members.values()))

    def _beat(self, connection: sqlite3.Connection, members: Collection[SqliteMember]) -> None:
        """Renew leases, or take up again what was given away meanwhile; share out where that changes who is alive.

        Between such changes there is nothing to share out: the partitions of a topic are for ever the same.
        """
        changed = {member.group for member in members if self._enters(connection, member)}
        for group in {member.group for member in members}:
            if self._drop_dead(connection, group) or group in changed:
                self._share_out(connection, group)

    def _enters(self, connection: sqlite3.Connection, member: SqliteMember) -> bool:
        """Renew a member's lease; whether the group did not know the member any more, or not yet."""
        uptime = self._uptime()
        if connection.execute(SQL["renew"], (member.group, member.identity, uptime)).rowcount:
            return False
        lease = round(self._lease * 1e6)
        connection.execute(SQL["enter"], (member.group, member.identity, json.dumps(member.topics), uptime, lease))
        return True

    def _drop_dead(self, connection: sqlite3.Connection, group: str) -> bool:
        """Drop members whose lease has run out; whether there were any. An uptime to come is from before a restart."""
        return connection.execute(SQL["drop_dead_members"], (group, self._uptime())).rowcount > 0

    def _share_out(self, connection: sqlite3.Connection, group: str) -> None:
        """Share a group's partitions among its members."""
        members = {name: json.loads(topics) for name, topics in connection.execute(SQL["members"], (group,))}
        partitions = [TopicPartition(topic, number) for _, topic, number, _ in connection.execute(SQL["partitions"])]
        before = _owners(connection, group)
        after = assign(members, partitions, before)
        for source, owner in after.items():
            if before.get(source) != owner:
                connection.execute(SQL["set_owner"], (group, *source, owner))
        for source in before.keys() - after.keys():
            connection.execute(SQL["drop_owner"], (group, *source))


def _owners(connection: sqlite3.Connection, group: str) -> Owners:
    rows = connection.execute(SQL["owners"], (group,))
    return {TopicPartition(topic, number): owner for topic, number, owner in rows}


class SqliteMember(Member):
    """A member; what it owns is what the table says, so a member that was taken for dead knows it owns nothing."""

    def __init__(self, groups: Groups, group: str, topics: tuple[str, ...], life: Lifetime) -> None:
        self.identity = uuid.uuid4().hex
        self.group = group
        self.topics = topics
        self._groups = groups
        self._life = PartLifetime(life)

    def owned(self) -> frozenset[TopicPartition]:
        """Return the partitions this member owns now."""
        self._life.check()
        rows = self._groups.queries.rows("owned", self.group, self.identity)
        return frozenset(TopicPartition(topic, number) for topic, number in rows)

    def commit(self, positions: Mapping[TopicPartition, int]) -> None:
        """Commit positions for the group."""
        self._life.check()
        rows = [(self.group, *source, position) for source, position in positions.items()]
        with self._groups.transaction() as connection:
            connection.executemany(SQL["commit_position"], rows)

    def committed(self, partitions: Iterable[TopicPartition]) -> Positions:
        """Return the group's committed positions."""
        self._life.check()
        stored = self._groups.committed(self.group)
        return {source: stored[source] for source in partitions if source in stored}

    def close(self) -> None:
        """Leave the group; where the log does not answer, the lease runs out by itself."""
        if self._life.end():
            try:
                self._groups.leave(self)
            except LogUnavailableError as error:
                _logger.warning("A member could not leave its group: %s", error, extra={"action": "member_not_left"})
