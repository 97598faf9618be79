"""Who looks on while an agent works: metrics where a port is given, traces where the environment names a collector.

The libraries behind them are imported here and only then.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final, NamedTuple

from ..events.errors import TasktapeError
from .clock import SystemClock
from .observer import NOBODY, Everybody, Observer
from .snapshot import snapshot

if TYPE_CHECKING:
    from .metrics import Look, Metrics
    from .tracing import Traces
    from .worker import Worker

LOGGER = logging.getLogger(__name__)
PATIENCE: Final = 5.0
_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_SDK: Final = ("opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.http.trace_exporter")


class MissingLibraryError(TasktapeError):
    """What was asked for needs a library that is not installed."""

    def __init__(self, wanted: str, library: str, extra: str) -> None:
        super().__init__(f"{wanted} needs {library}, which is not installed: pip install 'tasktape[{extra}]'.")


class Address(NamedTuple):
    """Where metrics are served; port 0 means any that is free."""

    host: str
    port: int


class Onlookers:
    """Those of one agent; `observer` is for its worker. Raises `MissingLibraryError` for metrics without library."""

    def __init__(self, worker: str, metrics_at: Address | None, environment: Mapping[str, str]) -> None:
        self._stack = contextlib.ExitStack()
        self._address = metrics_at
        self._metrics = None if metrics_at is None else _metrics()
        traces = self._stack.enter_context(contextlib.closing(_traces(worker))) if _wants_traces(environment) else None
        found = [observer for observer in (self._metrics, traces) if observer is not None]
        self.observer: Observer = Everybody(found) if found else NOBODY

    @contextlib.contextmanager
    def watching(self, worker: Worker) -> Iterator[None]:
        """Serve the metrics of a worker, if they were asked for, and deliver the traces in the end."""
        with self._stack:
            if self._metrics is not None and self._address is not None:
                self._stack.enter_context(_serving(self._metrics, self._address, worker))
            yield


@contextlib.contextmanager
def _serving(metrics: Metrics, address: Address, worker: Worker) -> Iterator[None]:
    from .metrics import About, Look, serving  # noqa: PLC0415  an optional library's

    clock = SystemClock()

    def look() -> Look:
        return worker.ask(lambda core: Look(snapshot(core, clock), *metrics.tally()), PATIENCE)

    about = About(worker.id, os.uname().nodename, version("tasktape"))
    with serving(metrics, about, address, look, worker.lag) as found:
        keys = {"host": found.host, "port": found.port}
        LOGGER.info("metrics are at http://%s:%d/metrics", *found, extra={"action": "serve_metrics", **keys})
        yield


def _metrics() -> Metrics:
    if find_spec("prometheus_client") is None:
        raise MissingLibraryError("--metrics-port", "prometheus-client", "metrics")
    from .metrics import Metrics  # noqa: PLC0415  the same

    return Metrics(SystemClock().monotonic)


def _wants_traces(environment: Mapping[str, str]) -> bool:
    """Whether a collector is named, and what sends to it is installed."""
    if not any(environment.get(name) for name in _ENDPOINTS) or environment.get("OTEL_SDK_DISABLED") == "true":
        return False
    with contextlib.suppress(ModuleNotFoundError):
        if all(find_spec(module) for module in _SDK):
            return True
    LOGGER.warning("no traces: pip install 'tasktape[tracing]'", extra={"action": "no_traces"})
    return False


def _traces(worker: str) -> Traces:
    from .tracing import Traces, provider  # noqa: PLC0415  an optional library's

    return Traces(provider(worker), worker)
