"""What breaks in a storm: agents and brokers are killed and frozen, leaders change, answers get lost, clocks jump.

Each fault is a generator that is resumed now and then until it has put things right again. It counts only once its
effect was seen: a signal's exit code, a process's state, a new pid, newer epochs of leaders.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from random import Random

from confluent_kafka import ElectionType, KafkaError, KafkaException
from confluent_kafka import TopicPartition as KafkaPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

from tasktape.tests.kafka.broker import Broker, serves
from tasktape.tests.support.lost_acks import ProxiedCluster
from tasktape.tests.support.storm import INTERVAL, Machine
from tasktape.tests.support.storm_story import Story

Fault = Iterator[None]
FOREVER = 10.0**9
PATIENCE = 15.0
HEARTBEATS_LOST = (0.2, 1.0, 4.0, 8.0)
MOST = 0.8


class Weather:
    """Faults of one kind of thing, one after the other or side by side: all in turn, in an order drawn by lot."""

    def __init__(self, random: Random, faults: list[Callable[[], Fault]], at_once: int, pause: float) -> None:
        self._random = random
        self._faults = faults
        self._at_once = at_once
        self._pause = pause
        self._turn: list[Callable[[], Fault]] = []
        self._going_on: list[Fault] = []
        self._next = 0.0

    @property
    def is_calm(self) -> bool:
        """Whether everything was put right again."""
        return not self._going_on

    def step(self, *, begins: bool) -> None:
        """Go on with all faults, and begin one if that is due and wanted."""
        self._going_on = [fault for fault in self._going_on if next(fault, self) is not self]
        if begins and len(self._going_on) < self._at_once and time.monotonic() >= self._next:
            self._next = time.monotonic() + self._random.uniform(0, 2 * self._pause)
            self._turn = self._turn or self._random.sample(self._faults, len(self._faults))
            self._going_on.append(self._turn.pop()())


def lasting(seconds: float, condition: Callable[[], bool] = lambda: False) -> Fault:
    """Go on for so long, or until a condition comes true."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and not condition():
        yield


class AgentFaults:
    """What happens to agents, most often to those that run something. `happened` counts."""

    def __init__(self, machines: list[Machine], story: Story, random: Random, happened: Counter[str]) -> None:
        self._free = list(machines)
        self._story = story
        self._random = random
        self._happened = happened
        self.all = [self.kill, self.freeze, self.freeze_amid_claim, self.set_clock]

    def kill(self) -> Fault:
        """Kill an agent; another one starts in its place."""
        with self._one() as machine:
            self._happened["agents killed"] += machine.kill()
            yield from lasting(self._random.uniform(0, 3 * INTERVAL))
            machine.start()
            yield

    def freeze(self) -> Fault:
        """Freeze an agent: for a moment, or so long that it is taken for dead."""
        with self._one() as machine:
            self._happened["agents frozen"] += machine.freeze()
            yield from lasting(INTERVAL * self._random.choice(HEARTBEATS_LOST))
            machine.resume()

    def freeze_amid_claim(self) -> Fault:
        """Freeze an agent that has claimed and not yet taken, until the claim is anybody's."""
        yield from lasting(PATIENCE, lambda: bool(self._claiming()))
        for machine in self._claiming()[:1]:
            with self._keeping(machine):
                is_frozen = machine.freeze()
                yield from lasting(INTERVAL)
                self._happened["agents frozen amid a claim"] += is_frozen and machine in self._claiming([machine])
                yield from lasting(self._story.lease)
                machine.resume()

    def set_clock(self) -> Fault:
        """Set a machine's clock wrong; heartbeats will show it."""
        with self._one() as machine:
            machine.set_clock(self._random.choice([-9, -5, -2, 2, 5, 9]))
            yield from lasting(INTERVAL)

    def _claiming(self, machines: Sequence[Machine] | None = None) -> list[Machine]:
        """Those machines, else the free ones, whose agents have claimed something and not taken it."""
        claiming = self._story.claiming_pids()
        return [machine for machine in machines or self._free if machine.agent.pid in claiming]

    def _one(self) -> contextlib.AbstractContextManager[Machine]:
        """Keep a machine, for other faults to leave it alone: one that runs something, most often."""
        busy = self._story.busy_pids()
        promising = [machine for machine in self._free if machine.agent.pid in busy] or self._free
        return self._keeping(self._random.choice(promising if self._random.random() < MOST else self._free))

    @contextlib.contextmanager
    def _keeping(self, machine: Machine) -> Iterator[Machine]:
        self._free.remove(machine)
        try:
            yield machine
        finally:
            self._free.append(machine)


class BrokerFaults:
    """What happens to the brokers of a cluster, to one at a time: so much it has to bear."""

    def __init__(self, cluster: ProxiedCluster, random: Random, happened: Counter[str]) -> None:
        self._cluster = cluster
        self._random = random
        self._happened = happened
        servers = cluster.direct_url.removeprefix("kafka://")
        self._admin = AdminClient({"bootstrap.servers": servers, "socket.timeout.ms": 5000, "log_level": 0})
        self.all = [self.kill, self.freeze, self.lose_acknowledgements]

    def kill(self) -> Fault:
        """Kill a broker and start it again; then the partitions it led, which others took over, are handed back."""
        broker, epochs = self._one(), self._epochs()
        before = broker.pid
        broker.kill()
        is_dead = not broker.alive
        yield from lasting(self._random.uniform(0, 4))
        broker.begin()
        yield from lasting(FOREVER, lambda: serves(broker.address))
        yield from self._until_in_sync()
        self._happened["brokers killed"] += is_dead and broker.pid != before
        with contextlib.suppress(KafkaException, TimeoutError):
            self._admin.elect_leaders(ElectionType.PREFERRED).result(PATIENCE)
        self._happened["leaders changed"] += sum(epoch > epochs[source] for source, epoch in self._epochs().items())

    def freeze(self) -> Fault:
        """Freeze a broker: for a moment, or so long that others lead its partitions."""
        broker = self._one()
        broker.freeze()
        self._happened["brokers frozen"] += broker.state() == "T"
        yield from lasting(self._random.choice([0.5, 2.0, 6.0]))
        broker.resume()
        yield from self._until_in_sync()

    def lose_acknowledgements(self) -> Fault:
        """Keep some of the next acknowledgements of each broker back."""
        before = len(self._cluster.swallowed)
        for proxy in self._cluster.proxies:
            proxy.swallow(self._random.randint(1, 3))
        yield from lasting(3.0, lambda: len(self._cluster.swallowed) >= before + 3)

    def _one(self) -> Broker:
        return self._random.choice(self._cluster.brokers)

    def _until_in_sync(self) -> Fault:
        """Wait until the cluster could bear the next fault."""
        while not self._cluster.is_in_sync():
            yield from lasting(0.5)

    def _epochs(self) -> dict[tuple[str, int], int]:
        """How often each partition of ours has had a new leader. Asked again while one moves."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return self._ask_for_epochs()
            except KafkaException:
                assert time.monotonic() < deadline, "the cluster's leaders are not to be learnt"

    def _ask_for_epochs(self) -> dict[tuple[str, int], int]:
        topics = self._admin.list_topics(timeout=PATIENCE).topics
        ours = {name: topic for name, topic in topics.items() if name.startswith("tasktape")}
        sources = [KafkaPartition(name, number) for name, topic in ours.items() for number in topic.partitions]
        latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        futures = self._admin.list_offsets(dict.fromkeys(sources, latest))
        found = {(at.topic, at.partition): future.result() for at, future in futures.items()}
        if any(result.offset < 0 for result in found.values()):
            raise KafkaException(KafkaError(KafkaError.LEADER_NOT_AVAILABLE))
        return {source: result.leader_epoch for source, result in found.items()}
