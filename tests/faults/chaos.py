"""`python -m tasktape.tests.faults.chaos`: a storm over many tasks, on the embedded log and on a cluster of Kafka.

At its end the log alone, read from its beginning, has to tell that all is over and that nothing ran twice. The order of
things varies from run to run even with the same seed: it fixes what people and faults mean to do, not what comes of it.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tasktape.events.errors import LogUnavailableError
from tasktape.events.log import Log, Positions, open_log
from tasktape.events.queue_events import queue_topic
from tasktape.events.topics import TOPICS
from tasktape.tests.support.lost_acks import ProxiedCluster
from tasktape.tests.support.storm import INTERVAL, QUEUES, Load, Machine, StormSite
from tasktape.tests.support.storm_faults import AgentFaults, BrokerFaults, Weather
from tasktape.tests.support.storm_story import Ran, Story
from tasktape.tests.support.storm_topics import SAFE, Replication, replication

LOGS = (*(spec.name for spec in TOPICS), *map(queue_topic, QUEUES))

SAID = 20_000
AGENT_FAULTS = ("agents killed", "agents frozen", "clocks seen wrong")
BROKER_FAULTS = ("brokers killed", "brokers frozen", "leaders changed", "acknowledgements lost")


@dataclass(frozen=True)
class Plan:
    """How hard it blows: `seconds` for the storm, `deadline` for all together."""

    seed: int
    tasks: int
    agents: int
    seconds: float
    deadline: float


@dataclass
class Outcome:
    """What really happened, how the tasks ended, and what should not be."""

    happened: Counter[str]
    ends: Counter[str]
    verdicts: Counter[tuple[str, str]]
    topics: Counter[Replication]
    complaints: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """A few lines for people."""
        void = {name: count for (name, kind), count in sorted(self.verdicts.items()) if kind == "void"}
        counted = {name: count for (name, kind), count in sorted(self.verdicts.items()) if kind == "counted"}
        lines: dict[str, object] = {
            "faults": dict(self.happened),
            "ends": dict(self.ends),
            "events that counted": counted,
            "void": void,
        }
        lines |= {"topics": dict(self.topics)} if self.topics else {}
        return "\n".join(f"  {name}: {what}" for name, what in lines.items())


class Storm:
    """One storm on one log."""

    def __init__(self, plan: Plan, site: StormSite, machines: list[Machine], cluster: ProxiedCluster | None) -> None:
        random = Random(plan.seed)
        self._plan = plan
        self._site = site
        self._machines = machines
        self._cluster = cluster
        self._happened: Counter[str] = Counter()
        self.story = Story(4 * INTERVAL)
        self._load = Load(site, self.story, random, plan.tasks, plan.seconds)
        agents = AgentFaults(machines, self.story, random, self._happened)
        self._wanted = set(AGENT_FAULTS)
        self._weathers = [Weather(random, agents.all, max(1, len(machines) // 2), 0.5)]
        if cluster is not None:
            brokers = BrokerFaults(cluster, random, self._happened)
            self._wanted |= set(BROKER_FAULTS)
            self._weathers.append(Weather(random, brokers.all, 1, 1.0))

    def blow(self) -> Outcome:
        """Let it blow, wait until all is over, judge."""
        began = time.monotonic()
        follow = self._follow()
        while (blows := self._blows(time.monotonic() - began)) or not self._is_over():
            assert time.monotonic() < began + self._plan.deadline, self._describe()
            next(follow)
            self._load.step()
            self._site.append_doubtful()
            for machine in self._machines:
                machine.start_again()
            for weather in self._weathers:
                weather.step(begins=blows)
        return self._judge()

    def _blows(self, seconds: float) -> bool:
        """Whether faults go on: for as long as planned, and until each kind was seen to have happened."""
        return seconds < self._plan.seconds or not self._wanted <= self._count(self.story).keys()

    def _is_over(self) -> bool:
        return all(weather.is_calm for weather in self._weathers) and self._load.is_put and not self._open()

    def _count(self, told: Story) -> Counter[str]:
        """What really happened: acknowledgements that were held back were of records that are on the log."""
        lost = self._cluster.swallowed if self._cluster is not None else []
        wrong = sum(hours != 0 for seen in self.story.clocks.values() for hours in seen)
        found = {"acknowledgements lost": sum(tuple(record) in told.places for record in lost)}
        return self._happened + Counter(found | {"clocks seen wrong": wrong})

    def _open(self) -> list[str]:
        return [task for task in list(self.story.requests) if self.story.state(task) == "under way"]

    def _follow(self) -> Iterator[None]:
        """Keep the story up to date; a reader that fails is replaced."""
        positions = self._site.log.start_positions(LOGS)
        while True:
            with contextlib.suppress(LogUnavailableError), self._site.log.read(positions) as reader:
                while True:
                    for record in reader.poll(0.05):
                        self.story.feed(record, time.time())
                    positions = reader.positions()
                    yield

    def _judge(self) -> Outcome:
        """Read the log from its beginning and compare with what ran."""
        told = Story(self.story.lease)
        read_all(self._site.log, told)
        ends = Counter(told.state(task) for task in told.requests)
        complaints = [*told.complaints(Ran.all_of(self._site.folder / "ran")), *self._left()]
        topics = replication(self._cluster) if self._cluster is not None else Counter[Replication]()
        complaints += [f"topics are kept with {how}" for how in topics if how != SAFE]
        return Outcome(self._count(told), ends, told.verdicts, topics, complaints)

    def _left(self) -> list[str]:
        """Agents that ended by themselves: a log that is away, slow or changes its mind is no reason to."""
        return [said for machine in self._machines for said in machine.left]

    def _describe(self) -> str:
        """What is not over at the deadline."""
        stuck = {task: (self.story.tasks[task].run, list(self.story.requests[task])) for task in self._open()}
        happened = dict(self._count(self.story))
        left = "\n".join(self._left())
        return f"not over after {self._plan.deadline:.0f} s: {stuck}; {happened}\n{left}\n{self._site.said()[-SAID:]}"


def read_all(log: Log, story: Story) -> None:
    """Feed all there is."""
    ends: Positions = log.end_positions(LOGS)
    with log.read(log.start_positions(LOGS)) as reader:
        while any(position < ends[source] for source, position in reader.positions().items()):
            for record in reader.poll(1.0):
                story.feed(record, time.time())


def storm(plan: Plan, folder: Path, cluster: ProxiedCluster | None = None) -> Outcome:
    """Set up a site and let it storm there: on the cluster, or on a log of the site's own."""
    folder.mkdir(parents=True, exist_ok=True)
    url = cluster.url if cluster is not None else f"sqlite://{folder}/log.db"
    with open_log(cluster.direct_url if cluster is not None else url) as log:
        site = StormSite(url, folder / "home", folder / "site", log)
        try:
            clocks = [folder / f"clock{number if cluster is not None else 0}" for number in range(plan.agents)]
            machines = [Machine(site, folder / f"home{number}", clock) for number, clock in enumerate(clocks)]
            return Storm(plan, site, machines, cluster).blow()
        finally:
            site.close()


def main() -> int:
    """Storm on both logs; the exit code says whether all was well."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--tasks", type=int, default=300)
    parser.add_argument("--agents", type=int, default=6)
    options = parser.parse_args()
    seconds = max(20.0, options.tasks * 0.4)
    plan = Plan(options.seed, options.tasks, options.agents, seconds, deadline=300 + 4 * seconds)
    say(f"seed {plan.seed}: {plan.tasks} tasks, {plan.agents} agents")
    folder = Path(tempfile.mkdtemp(prefix="tasktape-chaos-"))
    say(f"what agents and brokers say is in {folder}, and stays there if anything is wrong")
    if wrong := blow(plan, folder):
        return wrong
    shutil.rmtree(folder)
    return 0


def blow(plan: Plan, folder: Path) -> int:
    """Storm on both logs; how many of them were not well."""
    embedded = tell("embedded log", storm(plan, folder / "embedded"))
    with ProxiedCluster(folder / "cluster") as cluster:
        return embedded + tell("three brokers of Kafka", storm(plan, folder / "kafka", cluster))


def say(text: str) -> None:
    """Print at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def tell(title: str, outcome: Outcome) -> int:
    """Print what happened; 1 where something should not be."""
    say("\n".join([title, str(outcome), *outcome.complaints]))
    return 1 if outcome.complaints else 0


if __name__ == "__main__":
    sys.exit(main())
