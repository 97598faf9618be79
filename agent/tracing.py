"""One OpenTelemetry trace per run: claim, check-out, environment, user code, delivery. Its program may go on with it.

Sent over OTLP/HTTP as the environment says (`OTEL_EXPORTER_OTLP_ENDPOINT`, `_HEADERS`, `OTEL_TRACES_SAMPLER` …). The
only module that needs opentelemetry.
"""

from __future__ import annotations

import logging
import os
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

from .observer import Observer, Work

if TYPE_CHECKING:
    from opentelemetry.context import Context

    from ..projections.retries import Outcome
    from .claiming import Pursuit
    from .run_control import RunControl

LOGGER = logging.getLogger(__name__)
FAREWELL_SECONDS: Final = 5.0
_WELL: Final = frozenset({"completed", "preempted", "stopped"})


def provider(worker: str) -> TracerProvider:
    """Make what sends spans to the collector that the environment names."""
    named = {"service.name": os.environ.get("OTEL_SERVICE_NAME", "tasktape-agent"), "service.instance.id": worker}
    made = TracerProvider(resource=Resource.create(named), shutdown_on_exit=False)
    made.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return made


@dataclass
class _Trace:
    """The trace of one run; `parts` are those of its spans that have begun and not ended."""

    root: Span
    parts: dict[str, Span] = field(default_factory=dict)

    @property
    def context(self) -> Context:
        return set_span_in_context(self.root)

    def end(self, name: str) -> Span | None:
        if (span := self.parts.pop(name, None)) is not None:
            span.end()
        return span

    def end_all(self) -> None:
        for name in list(self.parts):
            self.end(name)
        self.root.end()


class Traces(Observer):
    """The traces of one worker's runs. Where the agent dies before a run has ended, its trace is not whole."""

    def __init__(self, spans: TracerProvider, worker: str) -> None:
        self._provider = spans
        self._tracer = spans.get_tracer("tasktape.agent", version("tasktape"))
        self._worker = worker
        self._traces: dict[str, _Trace] = {}

    def close(self) -> None:
        """Send what is left, for a moment."""
        farewell = threading.Thread(target=self._provider.shutdown, name="tasktape-traces", daemon=True)
        farewell.start()
        farewell.join(FAREWELL_SECONDS)
        if farewell.is_alive():
            LOGGER.warning("the last spans were not sent: no answer", extra={"action": "traces_not_sent"})

    def claimed(self, pursuit: Pursuit) -> None:
        """Begin the trace of a run, when its claim was sent."""
        entry = pursuit.entry
        about: dict[str, AttributeValue] = {
            "tasktape.task": entry.task,
            "tasktape.run": entry.run,
            "tasktape.queue": pursuit.queue,
            "tasktape.entry": entry.id,
            "tasktape.worker": self._worker,
            "tasktape.project": pursuit.request.spec.project,
            "tasktape.name": pursuit.request.spec.name,
        }
        start = _made_at_ns(pursuit.attempt)
        root = self._tracer.start_span("run", start_time=start, kind=SpanKind.CONSUMER, attributes=about)
        self._traces[pursuit.attempt] = trace = _Trace(root)
        self._tracer.start_span("claim", trace.context, start_time=start).end()

    def dropped(self, pursuit: Pursuit) -> None:
        """End the trace: the run is not this worker's."""
        if (trace := self._traces.pop(pursuit.attempt, None)) is not None:
            trace.root.set_attribute("tasktape.outcome", "dropped")
            trace.end_all()

    def launching(self, control: RunControl) -> None:
        """Begin the span that the program may go on with."""
        self._begin(control, "user code")

    def exited(self, control: RunControl) -> None:
        """End it."""
        span = self._traces[control.pursuit.attempt].parts["user code"]
        if control.exit_code is not None:
            span.set_attribute("process.exit_code", control.exit_code)
        if control.exit_code != 0:
            span.set_status(Status(StatusCode.ERROR))
        self._traces[control.pursuit.attempt].end("user code")

    def closing(self, control: RunControl) -> None:
        """Begin the delivery of all a run has said."""
        self._begin(control, "delivery")

    def ended(self, control: RunControl, outcome: Outcome) -> None:
        """End the trace."""
        trace = self._traces.pop(control.pursuit.attempt)
        trace.root.set_attributes({"tasktape.outcome": outcome.kind, "tasktape.cause": outcome.cause})
        if outcome.kind not in _WELL:
            trace.root.set_status(Status(StatusCode.ERROR, outcome.kind))
        trace.end_all()

    @contextmanager
    def doing(self, attempt: str, work: Work) -> Iterator[None]:
        """Have a span around a part of the preparation."""
        with self._tracer.start_as_current_span(work, self._traces[attempt].context):
            yield

    def variables(self, attempt: str) -> Mapping[str, str]:
        """Return TRACEPARENT, and TRACESTATE where there is one: the span of user code."""
        carrier: dict[str, str] = {}
        context = set_span_in_context(self._traces[attempt].parts["user code"])
        TraceContextTextMapPropagator().inject(carrier, context)
        return {name.upper(): value for name, value in carrier.items()}

    def _begin(self, control: RunControl, name: str) -> None:
        trace = self._traces[control.pursuit.attempt]
        trace.parts[name] = self._tracer.start_span(name, trace.context)


def _made_at_ns(event_id: str) -> int:
    """Moment at which an event's id was made, in ns since 1970: the first 48 bits of a UUIDv7 are its milliseconds."""
    return (uuid.UUID(event_id).int >> 80) * 1_000_000
