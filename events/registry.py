"""Schema registry client: gives each schema an id on its topic, so that other tools read the topics as they are.

Subjects are `<topic>-<record full name>` (Confluent's TopicRecordNameStrategy): a topic holds many event types.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from threading import Lock
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import unquote, urlsplit, urlunsplit

from .errors import EncodeError, RegistryUnavailableError, UnknownSchemaError
from .schema import NAMESPACE

if TYPE_CHECKING:
    from confluent_kafka.schema_registry import SchemaRegistryClient

_T = TypeVar("_T")
_PATIENCE: Final = {"timeout": 5, "max.retries": 1, "retries.wait.ms": 200}
_SERVER_ERROR: Final = 500


class SchemaRegistry:
    """A registry with Confluent's API at `url`; user and password may be in the URL. Thread-safe; ids are cached.

    Its connections are closed when it is no longer used. Methods raise `RegistryUnavailableError` where the registry
    does not answer: what can't be read now can be later.
    """

    def __init__(self, url: str) -> None:
        self._url, self._credentials = _split_credentials(url)
        self._lock = Lock()
        self._client: SchemaRegistryClient | None = None
        self._ids: dict[tuple[str, str], int] = {}
        self._schemas: dict[int, str] = {}

    def id_of(self, topic: str, name: str, schema: str) -> int:
        """Return the schema's id under its subject; register it where it is new.

        Raises `EncodeError` where the registry refuses it, as one that is not compatible with what it holds.
        """
        with self._lock:
            if (topic, name) not in self._ids:
                self._ids[topic, name] = self._register(subject(topic, name), schema)
            return self._ids[topic, name]

    def _register(self, subject_name: str, schema: str) -> int:
        from confluent_kafka.schema_registry import Schema  # noqa: PLC0415  heavy

        refused = EncodeError(f"the schema registry at {self._url} refuses {subject_name}")
        return self._ask(lambda client: client.register_schema(subject_name, Schema(schema, "AVRO")), refused)

    def schema_of(self, schema_id: int) -> str:
        """Return the schema with this id, as JSON text. Raises `UnknownSchemaError` where there is none."""
        with self._lock:
            if schema_id not in self._schemas:
                unknown = UnknownSchemaError(f"id {schema_id} of the schema registry at {self._url}")
                self._schemas[schema_id] = self._ask(lambda client: _text_of(client, schema_id), unknown)
            return self._schemas[schema_id]

    def _ask(self, question: Callable[[SchemaRegistryClient], _T], refusal: Exception) -> _T:
        from confluent_kafka.schema_registry.error import SchemaRegistryError  # noqa: PLC0415  heavy

        try:
            return question(self._connected())
        except SchemaRegistryError as error:
            if error.http_status_code < _SERVER_ERROR:
                raise refusal from error
            raise RegistryUnavailableError(self._url, str(error)) from error
        except Exception as error:  # whichever HTTP library the client was built on
            raise RegistryUnavailableError(self._url, str(error)) from error

    def _connected(self) -> SchemaRegistryClient:
        if self._client is None:
            from confluent_kafka.schema_registry import SchemaRegistryClient  # noqa: PLC0415  heavy

            self._client = SchemaRegistryClient({"url": self._url, **_PATIENCE, **self._credentials})
            weakref.finalize(self, self._client.close)
        return self._client


def subject(topic: str, name: str) -> str:
    """Subject of event `name` on a topic."""
    return f"{topic}-{NAMESPACE}.{name}"


def _text_of(client: SchemaRegistryClient, schema_id: int) -> str:
    return str(client.get_schema(schema_id).schema_str)


def _split_credentials(url: str) -> tuple[str, dict[str, str]]:
    """The URL without user and password, and the client's property that carries them instead."""
    parts = urlsplit(url)
    bare = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    if parts.username is None:
        return bare, {}
    return bare, {"basic.auth.user.info": f"{unquote(parts.username)}:{unquote(parts.password or '')}"}
