"""A scaler at work: the threads and connections around its mind, and the loop that feeds it."""

from __future__ import annotations

import contextlib
import logging
import queue
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from ..agent.appends import message_id
from ..agent.follow import Batch, Follower, FollowerDied
from ..agent.log_wait import LogWait
from ..agent.queue_watch import Memberships
from ..events.base import Event, Stamper, default_actor
from ..events.errors import TasktapeError
from ..events.groups import scaler_group
from ..events.instance_events import InstanceEvent
from ..events.log import open_log
from ..events.log.port import Delivery
from ..events.queue_events import QueueCreated
from ..events.topics import TOPICS, queue_spec
from ..events.wire import append_event
from .core import Core
from .provider import Described, Launched, Order, Provider, Refused
from .seen import topics_of
from .telling import Teller

if TYPE_CHECKING:
    from ..events.settings import Settings
    from .settings import ScalerSettings

LOGGER = logging.getLogger(__name__)
_MAIN: Final = "scaler"
_START: Final = "start"
_FLUSH_SECONDS: Final = 10.0


@dataclass(frozen=True)
class Leave:
    """Somebody told the scaler to go; machines stay."""


@dataclass(frozen=True)
class Undelivered:
    """The log may not have taken an event."""

    key: str


@dataclass(frozen=True)
class Outcome:
    """What a provider's call came to."""

    tell: Callable[[Core], None]


News = Batch | FollowerDied | Undelivered | Outcome | Leave


class Service:
    """One scaler. `run` returns when it was told to leave."""

    def __init__(self, settings: Settings, scaler: ScalerSettings, provider: Provider) -> None:
        self._codec = settings.codec()
        self._provider = provider
        self._teller = Teller(scaler.name)
        self._has_read_all = False
        self._inbox: queue.SimpleQueue[News] = queue.SimpleQueue()
        stamper = partial(Stamper, f"scaler/{scaler.name}/{default_actor()}")
        self._stamp = stamper()
        self._core = Core(scaler, self, stamper, settings.claim_lease)
        with contextlib.ExitStack() as stack:
            stack.enter_context(contextlib.closing(provider))
            self._log = stack.enter_context(open_log(settings.log, settings.kafka))
            self._calls = stack.enter_context(ThreadPoolExecutor(1, "tasktape-provider"))
            LogWait()(partial(self._log.create_topics, [*TOPICS, *map(queue_spec, scaler.queues)]))
            self._groups = stack.enter_context(contextlib.closing(Memberships(self._log)))
            self._membership = self._groups.join(scaler_group(scaler.name), InstanceEvent.topic)
            self._topics = topics_of(scaler.queues)
            self._stack = stack.pop_all()

    def run(self) -> None:
        """Work until told to leave."""
        with self._stack:
            follower = self._follow()
            self._groups.start()
            try:
                patience = 0.0
                while self._take(patience):
                    patience = self._core.step(time.monotonic())
            finally:
                follower.close()
                self._log.flush(_FLUSH_SECONDS)

    def leave(self) -> None:
        """Stop; machines go on. From any thread or signal."""
        self._inbox.put(Leave())

    # What the core does (its ports).

    def owns(self) -> bool:
        """Whether the group gave this process the one partition there is."""
        return bool(self._membership.owned())

    def append(self, event: Event) -> None:
        """Append once; what goes wrong arrives in the inbox."""
        on_delivery = partial(self._acknowledge, message_id(event))
        try:
            append_event(self._log, event, codec=self._codec, on_delivery=on_delivery)
        except TasktapeError:
            self._inbox.put(Undelivered(message_id(event)))

    def launch(self, orders: Sequence[Order]) -> None:
        """Have machines launched."""
        self._calls.submit(self._launch, orders)

    def terminate(self, machines: Sequence[str]) -> None:
        """Have machines ended."""
        self._calls.submit(self._terminate, machines)

    def describe(self) -> None:
        """Have the provider list its machines."""
        self._calls.submit(self._describe)

    # What others' threads do.

    def _launch(self, orders: Sequence[Order]) -> None:
        try:
            outcomes: Iterable[Launched | Refused] = self._provider.launch(orders)
        except Exception as error:  # noqa: BLE001  whatever a provider's library raises, no order is forgotten
            LOGGER.warning("no machine was launched: %s", error, extra={"action": "launch_failed"})
            outcomes = [Refused(order.instance, "provider", str(error)) for order in orders]
        self._inbox.put(Outcome(lambda core: core.on_launched(outcomes)))

    def _terminate(self, machines: Sequence[str]) -> None:
        try:
            self._provider.terminate(machines)
        except Exception as error:  # noqa: BLE001  it is tried again
            LOGGER.warning("machines could not be ended: %s", error, extra={"action": "terminate_failed"})
        self._inbox.put(Outcome(lambda core: core.on_terminated(time.monotonic())))

    def _describe(self) -> None:
        try:
            described: list[Described] = self._provider.describe()
        except Exception as error:  # noqa: BLE001  it is tried again
            LOGGER.warning("machines could not be listed: %s", error, extra={"action": "describe_failed"})
            self._inbox.put(Outcome(lambda core: core.on_not_described(time.monotonic())))
        else:
            self._inbox.put(Outcome(lambda core: core.on_described(described, time.monotonic())))

    def _acknowledge(self, key: str, delivery: Delivery) -> None:
        self._inbox.put(Undelivered(key) if delivery.error is not None else Outcome(lambda c: c.appends.delivered(key)))

    def _create_missing_queues(self) -> None:
        """Say that its queues are there, or nobody could enqueue before the first agent has come.

        On a log with access rules a scaler may not: then its queues are there, or an administrator makes them.
        """
        for name in sorted(self._core.seen.missing):
            event = QueueCreated(meta=self._stamp(), queue=name)
            with contextlib.suppress(TasktapeError):
                append_event(self._log, event, codec=self._codec, on_delivery=partial(_tell_created, name))

    # The loop.

    def _follow(self) -> Follower:
        positions = self._log.start_positions(self._topics)
        follower = Follower(self._log, self._codec, _MAIN, positions, self._inbox.put)
        follower.mark(_START, {source.topic for source in positions})
        follower.start()
        return follower

    def _take(self, patience: float) -> bool:
        """Wait for news, and hand on all there are; False when told to leave."""
        with contextlib.suppress(queue.Empty):
            news = self._inbox.get(timeout=patience)
            while True:
                if isinstance(news, Leave):
                    return False
                self._hand_on(news)
                news = self._inbox.get_nowait()
        return True

    def _hand_on(self, news: News) -> None:
        match news:
            case Batch():
                self._read(news)
            case Outcome(tell):
                tell(self._core)
            case Undelivered(key):
                self._core.appends.failed(key, time.monotonic())
            case FollowerDied(_, error):
                raise error

    def _read(self, batch: Batch) -> None:
        """Hand on what was read; what was there before the start is not told again."""
        self._core.on_readings(batch.readings, time.monotonic())
        batch.handled()
        if self._has_read_all:
            self._teller.tell((reading.event for reading in batch.readings), leads=self._core.leads)
        elif _START in batch.marks:
            self._has_read_all = True
            self._create_missing_queues()
            self._core.on_read_to_end()
            LOGGER.info("has read the log, and waits to lead", extra={"action": "start_scaler"})


def _tell_created(queue: str, delivery: Delivery) -> None:
    if delivery.error is None:
        LOGGER.warning("queue %r is new: created", queue, extra={"action": "create_queue", "queue": queue})
    else:
        LOGGER.warning(
            "queue %r is not there and can't be created: %s",
            queue,
            delivery.error,
            extra={"action": "create_queue", "queue": queue},
        )
