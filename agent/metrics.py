"""An agent's figures for Prometheus, over HTTP: `/metrics`, and `/ready` for whoever starts agents.

Counters and histograms are an observer's; all else is asked of the agent's loop at each scrape, so that an agent that
hangs answers no scrape. The only module that needs prometheus-client.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Histogram, ProcessCollector, generate_latest
from prometheus_client import Counter as Count
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ..events.errors import TasktapeError
from .observer import Observer
from .onlookers import Address
from .snapshot import Snapshot, free_since_us

if TYPE_CHECKING:
    from ..projections.retries import Outcome
    from .claiming import Pursuit
    from .run_control import RunControl

PREFIX: Final = "tasktape_agent"
_WAITS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200, 43200)
_STARTS: Final = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800)
_LAG_PATIENCE: Final = 1.0
_QUEUE: Final = ("queue",)


class About(NamedTuple):
    """What does not change about an agent."""

    worker: str
    host: str
    version: str


class Look(NamedTuple):
    """The agent at one moment; by queue, how many claims it had made and won by then."""

    now: Snapshot
    claims: Counter[str]
    won: Counter[str]


class AddressError(TasktapeError):
    """Metrics can't be served where they were to be."""

    def __init__(self, address: Address, error: OSError) -> None:
        where = f"{address.host}:{address.port}"
        super().__init__(
            f"metrics can't be served at {where}: {error.strerror or error}. Choose another --metrics-port."
        )


class Metrics(Observer):
    """Counts what becomes of runs. `now` is a monotonic clock, in seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.registry = CollectorRegistry()
        self._claims: Counter[str] = Counter()
        self._won: Counter[str] = Counter()
        self._now = now
        self._claimed_at: dict[str, float] = {}
        self._claim_seconds = self._histogram(
            "claim", "from the enqueuing to the valid claim, by the log's time", _WAITS
        )
        self._start_seconds = self._histogram("start", "from the valid claim to the start of user code", _STARTS)
        self._started = self._count("runs_started", "Runs whose user code was started.", _QUEUE)
        ends = ("queue", "outcome", "cause", "reason")
        self._ended = self._count("runs_ended", "Runs that have ended: how, whose fault, and why.", ends)

    def _histogram(self, name: str, what: str, buckets: tuple[float, ...]) -> Histogram:
        name = f"{PREFIX}_{name}_seconds"
        return Histogram(name, f"Time {what}.", _QUEUE, buckets=buckets, registry=self.registry)

    def _count(self, name: str, what: str, labels: tuple[str, ...]) -> Count:
        return Count(f"{PREFIX}_{name}", what, labels, registry=self.registry)

    def tally(self) -> tuple[Counter[str], Counter[str]]:
        """Return how many claims were made and won so far, by queue."""
        return self._claims.copy(), self._won.copy()

    def claiming(self, pursuit: Pursuit) -> None:
        """Count it."""
        self._claims[pursuit.queue] += 1

    def claimed(self, pursuit: Pursuit) -> None:
        """Count it, and how long the entry had waited."""
        entry = pursuit.entry
        self._won[pursuit.queue] += 1
        self._claimed_at[pursuit.attempt] = self._now()
        self._claim_seconds.labels(pursuit.queue).observe(max(0, entry.changed_us - free_since_us(entry)) / 1e6)

    def dropped(self, pursuit: Pursuit) -> None:
        """Forget when it was claimed."""
        self._claimed_at.pop(pursuit.attempt, None)

    def launching(self, control: RunControl) -> None:
        """Count it, and how long it has taken."""
        pursuit = control.pursuit
        self._started.labels(pursuit.queue).inc()
        self._start_seconds.labels(pursuit.queue).observe(self._now() - self._claimed_at[pursuit.attempt])

    def ended(self, control: RunControl, outcome: Outcome) -> None:
        """Count it."""
        self._claimed_at.pop(control.pursuit.attempt, None)
        cause = outcome.cause if outcome.kind in {"failed", "lost"} else ""
        reason = _reason(control) if outcome.kind == "failed" else ""
        self._ended.labels(control.pursuit.queue, outcome.kind, cause, reason).inc()


def _reason(control: RunControl) -> str:
    """Why a run failed, in one of a dozen words."""
    if control.stop is not None:
        return control.stop.kind
    if control.trouble is not None:
        return control.trouble.reason
    return control.circumstance or ("exit code" if (control.exit_code or 0) > 0 else "signal")


class Figures(Collector):
    """What the agent's loop says of itself at a scrape. `lag` may take its time, and then is left out."""

    def __init__(self, about: About, look: Callable[[], Look], lag: Callable[[], int]) -> None:
        self._about = about
        self._look = look
        self._lag = lag
        self._helper = ThreadPoolExecutor(1, "tasktape-lag")
        self._measuring = threading.Lock()

    def describe(self) -> list[Metric]:
        """Name none beforehand: there is no agent to ask yet."""
        return []

    def close(self) -> None:
        """Measure no more."""
        self._helper.shutdown(wait=False, cancel_futures=True)

    def collect(self) -> Iterator[Metric]:
        """Ask, and answer."""
        look = self._look()
        info = _family("info", "Always 1; its labels say which agent this is.", About._fields)
        info.add_metric(self._about, 1)
        yield info
        yield from _about_agent(look.now)
        yield from _about_queues(look.now)
        yield _claims(look)
        if (lag := self._lag_now()) is not None:
            yield _gauge("log_lag_records", "Records on the log that this agent has not taken in.", lag)

    def _lag_now(self) -> int | None:
        """Measure; where the log does not answer soon there is no figure, and no second question before an answer."""
        if not self._measuring.acquire(blocking=False):
            return None
        future = self._helper.submit(self._lag)
        future.add_done_callback(lambda _: self._measuring.release())
        try:
            return future.result(_LAG_PATIENCE)
        except (TasktapeError, TimeoutError):
            return None


def _family(name: str, text: str, labels: tuple[str, ...]) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"{PREFIX}_{name}", text, labels=labels)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"{PREFIX}_{name}", text, value=value)


def _about_agent(now: Snapshot) -> Iterator[Metric]:
    yield _gauge("ready", "1 once the agent has read what it needs and may claim.", now.ready)
    yield _gauge("leaving", "1 once the agent takes nothing new.", now.leaving)
    yield _gauge("slots", "Runs the agent holds at once at most.", now.slots)
    yield _gauge("slots_free", "Runs the agent could still take.", now.slots_free)
    yield _gauge("heartbeat_age_seconds", "Time since the last acknowledged heartbeat was sent.", now.heartbeat_age)
    yield _gauge(
        "lease_holds", "0 once heartbeats were not acknowledged for so long that runs are stopped.", now.lease_holds
    )
    yield _gauge(
        "appends_open", "Events of the agent's that the log has not acknowledged or given back.", now.appends_open
    )
    held = _family("runs_held", "Runs the agent holds, by phase.", ("phase",))
    for phase, count in now.held.items():
        held.add_metric((phase,), count)
    yield held


def _about_queues(now: Snapshot) -> Iterator[Metric]:
    waiting = _family("queue_waiting", "Entries of a served queue that nobody has claimed.", _QUEUE)
    claimed = _family("queue_claimed", "Entries of a served queue that are claimed and not yet taken.", _QUEUE)
    oldest = _family("queue_oldest_wait_seconds", "How long the oldest waiting entry could have been claimed.", _QUEUE)
    for queue, figures in now.queues.items():
        waiting.add_metric((queue,), figures.waiting)
        claimed.add_metric((queue,), figures.claimed)
        oldest.add_metric((queue,), figures.oldest_wait)
    yield from (waiting, claimed, oldest)


def _claims(look: Look) -> Metric:
    text = "Claims this agent has made: won, or lost to another."
    family = CounterMetricFamily(f"{PREFIX}_claims", text, labels=("queue", "result"))
    for queue in look.now.queues:
        made, won = look.claims[queue], look.won[queue]
        family.add_metric((queue, "won"), won)
        family.add_metric((queue, "lost"), made - won - look.now.claiming[queue])
    return family


class _Handler(BaseHTTPRequestHandler):
    """Answers GET. What it needs is the server's."""

    server: _Server

    def do_GET(self) -> None:
        """Answer."""
        try:
            match self.path.partition("?")[0]:
                case "/metrics":
                    self._answer(HTTPStatus.OK, generate_latest(self.server.registry), CONTENT_TYPE_LATEST)
                case "/ready":
                    self._answer(*_readiness(self.server.look().now))
                case _:
                    self._answer(HTTPStatus.NOT_FOUND, b"there are /metrics and /ready\n")
        except TimeoutError:
            self._answer(HTTPStatus.SERVICE_UNAVAILABLE, b"the agent does not answer\n")

    def _answer(self, status: HTTPStatus, body: bytes, kind: str = "text/plain") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing of scrapes."""


def _readiness(now: Snapshot) -> tuple[HTTPStatus, bytes]:
    if now.ready and now.lease_holds and not now.leaving:
        return HTTPStatus.OK, b"ready\n"
    return HTTPStatus.SERVICE_UNAVAILABLE, b"not ready\n"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    registry: CollectorRegistry
    look: Callable[[], Look]

    def server_bind(self) -> None:
        """Bind, and ask no name server who we are."""
        TCPServer.server_bind(self)


@contextmanager
def serving(
    metrics: Metrics, about: About, address: Address, look: Callable[[], Look], lag: Callable[[], int]
) -> Iterator[Address]:
    """Serve the figures; gives where. `look` raises `TimeoutError` where the agent does not answer."""
    try:
        server = _Server(address, _Handler)
    except OSError as error:
        raise AddressError(address, error) from error
    with server, closing(Figures(about, look, lag)) as figures:
        metrics.registry.register(figures)
        ProcessCollector(registry=metrics.registry)
        server.registry, server.look = metrics.registry, look
        threading.Thread(target=server.serve_forever, name="tasktape-metrics", daemon=True).start()
        try:
            yield Address(address.host, server.server_address[1])
        finally:
            server.shutdown()
