"""An agent at work: the threads and connections around its mind, and the loop that feeds it.

Whatever happens (records, acknowledgements, programs that end, signals) arrives in one inbox; the loop hands it to the
core and sleeps until the next thing or until the core wants to be called again.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import secrets
import socket
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from math import inf
from random import SystemRandom
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from ..events.base import Stamper
from ..events.errors import NotAllowedError, TasktapeError, UnknownTopicError
from ..events.log import open_log
from ..events.log.pace import CALM, PHASE
from ..events.log.port import Delivery, Positions, lag
from ..events.queue_events import AbortRequested, QueueEvent, queue_topic
from ..events.task_events import TasksEvent
from ..events.topics import TOPICS, TopicSpec, queue_spec
from ..events.wire import append_event
from ..events.worker_events import WorkerEvent
from ..producers.outbox import Outbox
from .appends import Message, Tombstone, message_id
from .checkout import git_access
from .clock import SystemClock
from .core import CASE_READ, MAIN, ORPHANS, START, Core, Plan
from .devices import Capacity
from .follow import Batch, Follower, FollowerDied
from .leftovers import Leftovers
from .load import machine_facts, machine_load
from .log_wait import LogWait
from .masking import mask_for
from .memory import give_back
from .observer import NOBODY, Observer
from .places import Housing, Places
from .processes import Leash
from .queue_watch import Memberships
from .run_folders import remove_abandoned
from .runner import Exited, Finished, Prepared, Runner, Workshop

if TYPE_CHECKING:
    from ..events.settings import Settings
    from .claiming import Pursuit
    from .run_control import FinalEvent, Trouble

LOGGER = logging.getLogger(__name__)
FLUSH_SECONDS: Final = 10.0
PATIENT: Final = {"fetch.wait.max.ms": "3000", "queued.max.messages.kbytes": "1024"}
"""An agent reads for as long as it lives: an idle one asks Kafka every 3 s, though its first reads take longer, and a
long past is never in memory as a whole, which librdkafka would fetch ahead."""
ADOPTED: Final = "adopted"
T = TypeVar("T")


def new_worker_id() -> str:
    """Id of a worker in this process: new each time, or a restart would overwrite the record of the runs it lost."""
    return f"{socket.gethostname()}:{os.getpid()}-{secrets.token_hex(3)}"


class Beginning(NamedTuple):
    """Where an agent begins to read its queues, and everything else."""

    queues: Positions
    others: Positions


class Delivered(NamedTuple):
    """The log acknowledged a message, or says why not."""

    key: str
    error: TasktapeError | None


@dataclass(frozen=True)
class Leave:
    """Somebody told the agent to go: when it can, or now."""

    reason: str
    now: bool


@dataclass(frozen=True)
class Question:
    """Somebody in another thread wants to know something of the core."""

    ask: Callable[[Core], object]
    answer: Future[Any]

    def put_to(self, core: Core) -> None:
        """Answer it; what goes wrong is the asker's."""
        try:
            self.answer.set_result(self.ask(core))
        except Exception as error:  # noqa: BLE001  whatever it is, the agent goes on
            self.answer.set_exception(error)


@dataclass(frozen=True)
class Denied:
    """The access rules keep the agent from a queue it would look after."""

    error: NotAllowedError


News = Batch | FollowerDied | Delivered | Prepared | Exited | Finished | Leave | Question | Denied


class Worker:
    """One agent. `run` returns when it has left."""

    def __init__(
        self,
        settings: Settings,
        queues: Sequence[str],
        capacity: Capacity,
        *,
        fair: bool = False,
        housing: Housing,
        identity: str,
        observer: Observer = NOBODY,
        max_idle: float = inf,
    ) -> None:
        self.id = identity
        self._observer = observer
        self._settings = settings
        self._queues = tuple(dict.fromkeys(queues))
        self._inbox: queue.SimpleQueue[News] = queue.SimpleQueue()
        settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._codec = settings.codec()
        self._followers: dict[str, Follower] = {}
        self._is_heard = False
        with contextlib.ExitStack() as stack:
            self._log = stack.enter_context(open_log(settings.log, PATIENT | settings.kafka, CALM))
            self._outbox = stack.enter_context(contextlib.closing(Outbox(settings, self._stamper())))
            self._leash = stack.enter_context(contextlib.closing(Leash()))
            shop = self._workshop(housing)
            self._runner = Runner(shop)
            self._leftovers = stack.enter_context(contextlib.closing(Leftovers(settings, shop.recovery)))
            self._helper = stack.enter_context(ThreadPoolExecutor(1, "tasktape-helper"))
            ask = LogWait()
            ask(partial(self._log.create_topics, [*TOPICS, *map(queue_spec, self._queues)]))
            self._groups = stack.enter_context(contextlib.closing(Memberships(self._log, CALM)))
            self._memberships = {name: ask(partial(self._groups.join_queue, name)) for name in self._queues}
            self._beginning = ask(self._find_beginning)
            self._core = Core(self._plan(capacity, fair, max_idle), self, SystemClock(), self._stamper, SystemRandom())
            self._core.runs.observer = observer
            self._stack = stack.pop_all()

    def run(self) -> None:
        """Work until told to leave and all is handed over."""
        with self._stack:
            self._start()
            self._leftovers.start()
            patience = self._core.step()
            while not self._core.gone:
                self._take(patience)
                patience = self._core.step()
            for follower in list(self._followers.values()):
                follower.close()
            self._log.flush(FLUSH_SECONDS)

    def leave(self, reason: str, *, now: bool = False) -> None:
        """Take nothing new, finish what runs (now: end it and hand it back), then go. From any thread or signal."""
        self._inbox.put(Leave(reason, now))

    # What onlookers ask, from any thread.

    def ask(self, question: Callable[[Core], T], patience: float) -> T:
        """Have the loop answer a question about the core. Raises `TimeoutError` where it does not within seconds."""
        answer: Future[T] = Future()
        self._inbox.put(Question(question, answer))
        return answer.result(patience)

    def lag(self) -> int:
        """Count the records on the log that this agent has not taken in. May raise any error of the log's."""
        positions = self._followers[MAIN].positions() if MAIN in self._followers else {}
        ends = self._log.end_positions({source.topic for source in positions})
        return lag({source: end for source, end in ends.items() if source in positions}, positions)

    # What the core does (its ports).

    def append(self, message: Message) -> None:
        """Append once; the acknowledgement, or why there is none, arrives in the inbox."""
        key = message_id(message)
        on_delivery = partial(self._acknowledge, key)
        try:
            if isinstance(message, Tombstone):
                topic, headers = WorkerEvent.topic, message.headers
                self._log.append(topic, message.worker, None, headers=headers, on_delivery=on_delivery)
            else:
                append_event(self._log, message, codec=self._codec, on_delivery=on_delivery)
        except TasktapeError as error:
            self._inbox.put(Delivered(key, error))

    def owned(self, queue: str) -> frozenset[int]:
        """Return the partitions of a served queue's topic that this worker owns."""
        return self._memberships[queue].owned()

    def commit(self, queue: str, positions: Positions) -> None:
        """Commit positions of a served queue's group in the background."""
        self._memberships[queue].commit(positions)

    def load(self) -> dict[str, float]:
        """Return how busy the machine is."""
        return machine_load(self._settings.home)

    def adopt(self, queue: str) -> None:
        """Read a queue's topic from its beginning."""
        self._helper.submit(self._adopt, queue)

    def read_workers_to_end(self, mark: str) -> None:
        """Have a mark set where the topic of workers ends now."""
        self._helper.submit(self._followers[MAIN].check, mark, [WorkerEvent.topic])

    def open_case(self, worker: str, positions: Positions) -> None:
        """Read the partitions a case is about."""
        self._follow(worker, positions, CASE_READ)

    def close_case(self, worker: str) -> None:
        """Stop reading for a case."""
        if (follower := self._followers.pop(worker, None)) is not None:
            threading.Thread(target=follower.close, name="tasktape-close", daemon=True).start()

    def prepare(self, pursuit: Pursuit) -> None:
        """Build the environment and lay out the code."""
        self._runner.prepare(pursuit)

    def launch(self, attempt: str) -> Trouble | None:
        """Start user code."""
        return self._runner.launch(attempt)

    def stop(self, attempt: str, *, patient: bool, grace: float) -> None:
        """End a program."""
        self._runner.stop(attempt, patient=patient, grace=grace)

    def finish(self, attempt: str, event: FinalEvent | None) -> None:
        """Deliver all a run has said, say how it ended, clean up."""
        self._runner.finish(attempt, event)

    # The loop.

    def _start(self) -> None:
        """Begin to read."""
        self._core.begin(self._beginning.queues)
        self._follow(MAIN, self._beginning.others | self._beginning.queues, START)
        self._groups.start()

    def _find_beginning(self) -> Beginning:
        """Queues from their committed positions, abort requests from now on, all else from the start."""
        told = self._log.start_positions((TasksEvent.topic, WorkerEvent.topic, QueueEvent.topic))
        aborts = self._log.end_positions([AbortRequested.topic])
        queues = {source: at for one in self._memberships.values() for source, at in one.beginning.items()}
        return Beginning(queues, told | aborts)

    def _follow(self, name: str, positions: Positions, *marks: str) -> None:
        """Read partitions; each mark is passed where their topics end now."""
        follower = Follower(self._log, self._codec, name, positions, self._inbox.put)
        self._followers[name] = follower
        for mark in marks:
            follower.mark(mark, {source.topic for source in positions})
        follower.start()

    def _take(self, patience: float) -> None:
        """Wait for news, and hand on all there are."""
        with contextlib.suppress(queue.Empty):
            self._hand_on(self._inbox.get(timeout=None if patience == inf else patience))
            while True:
                self._hand_on(self._inbox.get_nowait())

    def _hand_on(self, news: News) -> None:
        core = self._core
        match news:
            case Batch():
                self._take_in(news)
            case Delivered(key, error):
                self._require_to_be_heard(error)
                core.on_delivered(key, error)
            case Prepared(attempt, trouble):
                core.on_prepared(attempt, trouble)
            case Exited(attempt, code, circumstance):
                core.on_exited(attempt, code, circumstance)
            case Finished(attempt):
                core.on_finished(attempt)
            case Leave(reason, now):
                (core.leave_now if now else core.leave)(reason)
            case FollowerDied(name, error):
                self._lose(name, error)
            case Question():
                news.put_to(core)
            case Denied(denial):
                core.on_denied(denial)

    def _take_in(self, batch: Batch) -> None:
        self._core.on_batch(batch)
        batch.handled()
        if START in batch.marks:
            self._helper.submit(give_back)
        if ADOPTED in batch.marks:
            self._helper.submit(self._hand_over)

    def _require_to_be_heard(self, error: TasktapeError | None) -> None:
        """Raise where the access rules never let this worker say that it is there. Rights lost later may return."""
        if isinstance(error, NotAllowedError) and not self._is_heard:
            raise error
        self._is_heard = self._is_heard or error is None

    def _lose(self, name: str, error: Exception) -> None:
        """A follower has died: without its case a watcher goes on, without its eyes an agent does not."""
        if name in {MAIN, ORPHANS}:
            raise error
        LOGGER.warning("the case of %s is put off: %s", name, error, extra={"action": "case_failed", "peer": name})
        if isinstance(error, NotAllowedError):
            self._core.on_denied(error)
        self._core.on_case_lost(name)

    def _acknowledge(self, key: str, delivery: Delivery) -> None:
        error = delivery.error
        if isinstance(error, UnknownTopicError):
            self._helper.submit(self._create_and_report, error.topic, key, error)
        else:
            self._inbox.put(Delivered(key, error))

    def _create_and_report(self, topic: str, key: str, error: TasktapeError) -> None:
        with contextlib.suppress(TasktapeError):
            self._log.create_topics([TopicSpec(topic)])
        self._inbox.put(Delivered(key, error))

    def _adopt(self, name: str) -> None:
        try:
            self._log.create_topics([queue_spec(name)])
            positions = self._log.start_positions([queue_topic(name)])
        except NotAllowedError as error:
            self._inbox.put(Denied(error))
            return
        except TasktapeError as error:
            LOGGER.warning(
                "queue %s can't be looked after: %s", name, error, extra={"action": "adopt_failed", "queue": name}
            )
            return
        if (follower := self._followers.get(ORPHANS)) is None:
            self._follow(ORPHANS, positions, ADOPTED)
        else:
            follower.add(positions)
            follower.mark(ADOPTED, {source.topic for source in follower.positions()})

    def _hand_over(self) -> None:
        """Read adopted queues on with all else: their past, which may be long, has held up nothing."""
        if (follower := self._followers.pop(ORPHANS, None)) is not None:
            follower.close()
            self._followers[MAIN].add(follower.positions())
            give_back()

    # Making the parts.

    def _stamper(self) -> Stamper:
        return Stamper(f"agent/{self.id}")

    def _workshop(self, housing: Housing) -> Workshop:
        settings = self._settings
        remove_abandoned(settings.home / "runs")
        return Workshop(
            settings=settings,
            places=Places(settings, housing, self._leash),
            access=git_access(settings),
            mask=mask_for(settings, os.environ),
            outbox=self._outbox,
            leash=self._leash,
            worker=self.id,
            post=self._inbox.put,
            observer=self._observer,
        )

    def _plan(self, capacity: Capacity, fair: bool, max_idle: float) -> Plan:
        return Plan(
            worker=self.id,
            host=socket.gethostname(),
            pid=os.getpid(),
            queues=self._queues,
            **capacity._asdict(),
            lease=self._settings.claim_lease,
            interval=self._settings.heartbeat_interval,
            version=version("tasktape"),
            machine=machine_facts(),
            fair=fair,
            instance=self._settings.instance,
            max_idle=max_idle,
            phase=PHASE,
        )
