"""One trace per run: its spans, what they say, and that its program can go on with it; no cost where nobody asked."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tasktape.agent import onlookers
from tasktape.agent.observer import NOBODY
from tasktape.agent.onlookers import Onlookers
from tasktape.tests.support.agent_site import AgentSite, agent_site
from tasktape.tests.support.inside_agent import NAME, inside_agent

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
FAILING = "import os\nopen(os.environ['SITE'] + '/parent', 'w').write(os.environ['TRACEPARENT'])\nraise SystemExit(3)"


class Collector:
    """Takes spans over OTLP/HTTP, as a collector does. `spans` are by name, `about` is their resource."""

    def __init__(self) -> None:
        self.spans: dict[str, Span] = {}
        self.about: dict[str, str] = {}

        class Handler(BaseHTTPRequestHandler):
            def do_POST(handler) -> None:  # noqa: N805  `self` is the collector
                body = handler.rfile.read(int(handler.headers["Content-Length"]))
                self.take(ExportTraceServiceRequest.FromString(body))
                handler.send_response(200)
                handler.end_headers()

            def log_message(handler, *_: object) -> None:  # noqa: N805  the same
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)

    def take(self, request: ExportTraceServiceRequest) -> None:
        for resource in request.resource_spans:
            self.about |= {one.key: one.value.string_value for one in resource.resource.attributes}
            self.spans |= {span.name: span for scope in resource.scope_spans for span in scope.spans}


@pytest.fixture
def site(home: Path, tmp_path: Path) -> Iterator[AgentSite]:
    with agent_site(f"sqlite://{home}/log.db", home, tmp_path / "site") as found:
        yield found


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    found = Collector()
    thread = threading.Thread(target=found.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv(ENDPOINT, f"http://127.0.0.1:{found.server.server_port}")
    yield found
    found.server.shutdown()
    found.server.server_close()
    thread.join()


def attributes(span: Span) -> dict[str, object]:
    return {one.key: one.value.string_value or one.value.int_value for one in span.attributes}


def test_a_run_is_one_trace_that_its_program_can_go_on_with(site: AgentSite, collector: Collector) -> None:
    with inside_agent(site, Onlookers(NAME, None, {ENDPOINT: "set"})):
        task = site.put(FAILING)
        site.wait_for_end(task)
    spans = collector.spans
    root = spans.pop("run")
    assert set(spans) == {"claim", "checkout", "environment", "user code", "delivery"}
    assert {(span.trace_id, span.parent_span_id) for span in spans.values()} == {(root.trace_id, root.span_id)}
    in_order = [spans[name] for name in ("claim", "checkout", "environment", "user code", "delivery")]
    assert in_order == sorted(in_order, key=lambda span: span.start_time_unix_nano)
    assert root.start_time_unix_nano <= in_order[0].start_time_unix_nano
    assert root.end_time_unix_nano >= max(span.end_time_unix_nano for span in in_order)
    about = attributes(root)
    assert (about["tasktape.task"], about["tasktape.run"], about["tasktape.queue"]) == (task, 1, "default")
    assert (about["tasktape.worker"], about["tasktape.outcome"], root.status.code) == (NAME, "failed", 2)
    assert attributes(spans["user code"])["process.exit_code"] == 3
    version, trace, parent, _flags = site.file("parent").read_text().split("-")
    assert (version, trace, parent) == ("00", root.trace_id.hex(), spans["user code"].span_id.hex())
    assert (collector.about["service.name"], collector.about["service.instance.id"]) == ("tasktape-agent", NAME)


@pytest.mark.parametrize("environment", [{}, {ENDPOINT: ""}, {ENDPOINT: "http://c", "OTEL_SDK_DISABLED": "true"}])
def test_nobody_looks_on_where_no_collector_is_named(environment: dict[str, str]) -> None:
    assert Onlookers(NAME, None, environment).observer is NOBODY


def test_a_collector_without_the_library_is_said_and_the_agent_works(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(onlookers, "find_spec", lambda _: None)
    assert Onlookers(NAME, None, {ENDPOINT: "http://collector:4318"}).observer is NOBODY
    assert [vars(record)["action"] for record in caplog.records] == ["no_traces"]
