"""A projection served to other processes over Arrow Flight: read-only, each call with a bearer token.

A ticket is either a JSON object `{"query", "values", "order"}` that names one of the questions of `queries.sql`, or the
text of one SELECT. The action `refresh` returns when the projection has reached where the log ended when it was called.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import pyarrow as pa
from pyarrow import flight

from ..events.errors import TasktapeError
from .errors import ProjectionUnavailableError, QueryError

if TYPE_CHECKING:
    from pathlib import Path

    from .query import Source, Values

REFRESH: Final = "refresh"
_AUTHORIZATION: Final = "authorization"
_REFRESH_SECONDS: Final = 60.0


@contextmanager
def _told() -> Iterator[None]:
    """Tell errors of ours to the client, in words."""
    try:
        yield
    except TasktapeError as error:
        raise flight.FlightServerError(str(error), extra_info=str(error).encode()) from None


class _TokenCheck(flight.ServerMiddlewareFactory):  # type: ignore[misc]
    """Refuses calls without the token."""

    def __init__(self, token: str) -> None:
        super().__init__()
        self._wanted = f"Bearer {token}"

    def start_call(self, info: object, headers: dict[str, list[str]]) -> None:  # noqa: ARG002  Flight's signature
        given = [value for name, values in headers.items() if name.lower() == _AUTHORIZATION for value in values]
        if not any(hmac.compare_digest(value.encode(), self._wanted.encode()) for value in given):
            raise flight.FlightUnauthenticatedError("the token is missing or wrong")


class ProjectionServer(flight.FlightServerBase):  # type: ignore[misc]
    """Answers from `source`; `refresh` brings it up to date. Serves from the moment it is made."""

    def __init__(
        self,
        source: Source,
        refresh: Callable[[], None],
        token: str,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: tuple[Path, Path] | None = None,
    ) -> None:
        scheme = "grpc+tls" if tls else "grpc"
        certificates = [(tls[0].read_bytes(), tls[1].read_bytes())] if tls else None
        super().__init__(
            f"{scheme}://{host}:{port}", tls_certificates=certificates, middleware={"token": _TokenCheck(token)}
        )
        self.address = f"{scheme}://{host}:{self.port}"
        self._source = source
        self._refresh = refresh

    def do_get(self, context: object, ticket: flight.Ticket) -> flight.RecordBatchStream:  # noqa: ARG002
        """Answer a question."""
        with _told():
            return flight.RecordBatchStream(self._answer(ticket.ticket))

    def do_action(self, context: object, action: flight.Action) -> Iterator[flight.Result]:  # noqa: ARG002
        """Bring the projection up to date."""
        if action.type != REFRESH:
            raise flight.FlightServerError(f"there is no action {action.type!r}")
        with _told():
            self._refresh()
        return iter(())

    def list_actions(self, context: object) -> list[tuple[str, str]]:  # noqa: ARG002
        """Return what `do_action` knows."""
        return [(REFRESH, "Returns when the projection has reached where the log ends now.")]

    def _answer(self, ticket: bytes) -> pa.Table:
        if not ticket.startswith(b"{"):
            return self._source.sql(ticket.decode(errors="replace"))
        try:
            asked = json.loads(ticket)
            query, values, order = asked["query"], asked["values"], asked["order"]
        except (ValueError, KeyError) as error:
            raise QueryError(f"the ticket can't be understood: {error!r}") from error
        return self._source.table(query, values, order)


class FlightSource:
    """Asks a served projection. All errors are `QueryError` or `ProjectionUnavailableError`."""

    def __init__(self, address: str, token: str) -> None:
        self._address = address
        self._client = flight.connect(address)
        self._headers = [(_AUTHORIZATION.encode(), f"Bearer {token}".encode())]

    @classmethod
    def of_url(cls, url: str) -> FlightSource:
        """Connect to `grpc://TOKEN@host:port` or `grpc+tls://TOKEN@host:port`.

        With TLS the certificates that gRPC trusts count; `GRPC_DEFAULT_SSL_ROOTS_FILE_PATH` names others.
        """
        parts = urlsplit(url)
        return cls(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}", parts.username or "")

    def refresh(self) -> None:
        """Have the projection brought up to date."""
        with self._errors():
            list(self._client.do_action(flight.Action(REFRESH, b""), self._options(_REFRESH_SECONDS)))

    def rows(self, query: str, values: Values, order: Sequence[str] = ()) -> list[tuple[Any, ...]]:
        """Answer a named query with plain tuples."""
        columns = [column.to_pylist() for column in self.table(query, values, order).columns]
        return list(zip(*columns, strict=True))

    def table(self, query: str, values: Values, order: Sequence[str] = ()) -> pa.Table:
        """Answer a named query with Arrow."""
        return self._get(json.dumps({"query": query, "values": values, "order": order}).encode())

    def sql(self, query: str) -> pa.Table:
        """Answer a SELECT of the user's own."""
        return self._get(query.strip().encode())

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _get(self, ticket: bytes) -> pa.Table:
        with self._errors():
            return self._client.do_get(flight.Ticket(ticket), self._options(None)).read_all()

    def _options(self, seconds: float | None) -> flight.FlightCallOptions:
        return flight.FlightCallOptions(timeout=seconds, headers=self._headers)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (pa.ArrowException, OSError) as error:
            told = getattr(error, "extra_info", b"")
            if told:
                raise QueryError(told.decode()) from None
            raise ProjectionUnavailableError(self._address, str(error).partition(". ")[0]) from error
