"""With a schema registry set, tools that know nothing of tasktape read its topics."""

from __future__ import annotations

import json
import runpy
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from tasktape.events.base import Event
from tasktape.events.codec import Codec
from tasktape.events.errors import EncodeError, RegistryUnavailableError, UnknownSchemaError
from tasktape.events.registry import SchemaRegistry, subject

SAMPLES: list[Event] = runpy.run_path(str(Path(__file__).parents[1] / "golden" / "make.py"))["samples"]()


@pytest.mark.registry
def test_confluents_own_deserializer_reads_every_event_type_of_every_topic(registry_url: str) -> None:
    from confluent_kafka.schema_registry import SchemaRegistryClient  # noqa: PLC0415  heavy
    from confluent_kafka.schema_registry.avro import AvroDeserializer  # noqa: PLC0415  heavy
    from confluent_kafka.serialization import MessageField, SerializationContext  # noqa: PLC0415  heavy

    codec = Codec(SchemaRegistry(registry_url))
    with SchemaRegistryClient({"url": registry_url}) as stranger:
        deserialize = AvroDeserializer(stranger)
        for event in SAMPLES:
            context = SerializationContext(event.topic_name, MessageField.VALUE)
            assert deserialize(codec.encode(event), context) == event.model_dump()
            assert deserialize(codec.reframe(Codec().encode(event), event.topic_name), context) == event.model_dump()
        expected = {subject(event.topic_name, type(event).__name__) for event in SAMPLES}
        assert expected <= set(stranger.get_subjects())


@pytest.mark.registry
def test_another_process_reads_what_one_has_written_and_ids_are_stable(registry_url: str) -> None:
    first, second = Codec(SchemaRegistry(registry_url)), Codec(SchemaRegistry(registry_url))
    for event in SAMPLES:
        value = first.encode(event)
        assert second.decode(value) == event
        assert second.encode(event) == value


@pytest.mark.registry
def test_an_id_the_registry_does_not_have_is_an_unknown_schema(registry_url: str) -> None:
    with pytest.raises(UnknownSchemaError, match="id 99999999"):
        Codec(SchemaRegistry(registry_url)).decode(b"\x00" + (99_999_999).to_bytes(4) + b"body")


class Answers(BaseHTTPRequestHandler):
    """A registry that gives every request the same answer, and remembers what it was asked."""

    url = ""
    status = 200
    body = b"{}"
    seen: ClassVar[list[tuple[str, str | None]]]

    def answer(self) -> None:
        self.seen.append((self.path, self.headers["Authorization"]))
        self.rfile.read(int(self.headers["Content-Length"] or 0))
        self.send_response(self.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    do_GET = do_POST = answer  # noqa: N815  names of http.server

    def log_message(self, *arguments: object) -> None:
        """Keep quiet."""


@pytest.fixture
def answers() -> Iterator[type[Answers]]:
    class Mine(Answers):
        seen: ClassVar = []

    server = ThreadingHTTPServer(("127.0.0.1", 0), Mine)
    Mine.url = f"127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield Mine
    server.shutdown()
    thread.join()
    server.server_close()


def test_ids_and_schemas_are_asked_for_once(answers: type[Answers]) -> None:
    answers.body = json.dumps({"id": 7, "schema": '"string"'}).encode()
    registry = SchemaRegistry(f"http://{answers.url}")
    assert [registry.id_of("t", "TaskCreated", '"string"') for _ in range(3)] == [7, 7, 7]
    assert len({path for path, _ in answers.seen}) == len(answers.seen)


def test_credentials_of_the_url_travel_as_a_header_and_show_in_no_error(answers: type[Answers]) -> None:
    answers.status = 404
    answers.body = b'{"error_code": 40403, "message": "Schema not found"}'
    registry = SchemaRegistry(f"http://ann:p%40ss@{answers.url}")
    with pytest.raises(UnknownSchemaError) as raised:
        registry.schema_of(3)
    assert "ss" not in str(raised.value).replace("schema registry", "")
    assert {header for _, header in answers.seen} == {"Basic YW5uOnBAc3M="}


def test_a_refused_schema_is_an_encode_error(answers: type[Answers]) -> None:
    answers.status = 409
    answers.body = b'{"error_code": 409, "message": "incompatible"}'
    registry = SchemaRegistry(f"http://{answers.url}")
    with pytest.raises(EncodeError, match=r"refuses t-tasktape\.events\.TaskCreated"):
        registry.id_of("t", "TaskCreated", '"string"')


def test_a_registry_in_trouble_or_away_is_unavailable_and_works_again_later(answers: type[Answers]) -> None:
    answers.status = 503
    registry = SchemaRegistry(f"http://{answers.url}")
    with pytest.raises(RegistryUnavailableError, match="does not answer"):
        registry.schema_of(3)
    answers.status = 200
    answers.body = json.dumps({"schema": '"string"'}).encode()
    assert registry.schema_of(3) == '"string"'
    with pytest.raises(RegistryUnavailableError, match="TASKTAPE_SCHEMA_REGISTRY"):
        SchemaRegistry("http://127.0.0.1:9").schema_of(3)
