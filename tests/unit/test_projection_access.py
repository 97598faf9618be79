"""Who answers: the process that serves the projection, this one, or this one in memory; and what a stranger gets."""

from __future__ import annotations

import json
import os
import stat
import threading
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest
from pyarrow import flight

from tasktape.events.base import Meta
from tasktape.events.log.memory import MemoryLog
from tasktape.events.log.port import Log
from tasktape.events.parts import TaskSpec
from tasktape.events.settings import Settings
from tasktape.events.task_events import TaskCreated
from tasktape.events.topics import TOPICS
from tasktape.events.wire import append_event
from tasktape.projections import open_queries, serve_projection, serving
from tasktape.projections.address import Address, address_file, live_address, write_address
from tasktape.projections.errors import ProjectionBehindError, ProjectionUnavailableError, QueryError
from tasktape.projections.flight import FlightSource
from tasktape.projections.holding import database_path, is_held
from tasktape.projections.query import Queries
from tasktape.projections.rows import TaskFilter
from tasktape.projections.tables import Row, Tables


class Writer:
    """Creates tasks on the log of the settings."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.log: Log = settings.open_log()
        self.log.create_topics(TOPICS)
        self.said = 0

    def create(self, task: str) -> None:
        self.said += 1
        moment = datetime(2026, 1, 1, tzinfo=UTC)
        meta = Meta(event_id=f"e{self.said}", occurred_at=moment, actor="a", session="s", seq=self.said)
        event = TaskCreated(meta=meta, task=task, spec=TaskSpec(project="p", name=task))
        append_event(self.log, event, codec=self.settings.codec())
        assert self.log.flush(10) == 0


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", log=f"memory://{tmp_path}")


@pytest.fixture
def writer(settings: Settings) -> Iterator[Writer]:
    made = Writer(settings)
    yield made
    made.log.close()
    MemoryLog.forget(settings.log.removeprefix("memory://"))


def names(queries: Queries) -> list[str]:
    return [row.name for row in queries.tasks(TaskFilter(order_by=("name",)))]


def ask(settings: Settings) -> list[str]:
    with open_queries(settings) as queries:
        return names(queries)


def test_what_was_written_before_the_question_is_in_the_answer(settings: Settings, writer: Writer) -> None:
    assert ask(settings) == []
    writer.create("t1")
    assert ask(settings) == ["t1"]
    writer.create("t2")
    assert ask(settings) == ["t1", "t2"]
    assert not is_held(database_path(settings))


def test_without_freshness_the_answer_is_what_was_known(settings: Settings, writer: Writer) -> None:
    writer.create("t1")
    ask(settings)
    writer.create("t2")
    with open_queries(settings, fresh=False) as queries:
        assert names(queries) == ["t1"]


def test_one_process_may_open_the_projection_twice_at_once(settings: Settings, writer: Writer) -> None:
    writer.create("t1")
    with open_queries(settings) as outer:
        writer.create("t2")
        with open_queries(settings) as inner:
            assert names(inner) == ["t1", "t2"]
        assert names(outer) == ["t1", "t2"]


def test_many_threads_may_ask_at_once(settings: Settings, writer: Writer) -> None:
    writer.create("t1")
    found: list[list[str]] = []
    threads = [threading.Thread(target=lambda: found.append(ask(settings))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [["t1"]] * 8


def test_only_the_owner_can_read_the_database(settings: Settings, writer: Writer) -> None:
    writer.create("t1")
    with open_queries(settings) as queries:
        assert queries.task("t1")
    path = database_path(settings)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_each_log_has_a_projection_of_its_own(settings: Settings, writer: Writer, tmp_path: Path) -> None:
    writer.create("t1")
    ask(settings)
    other = settings.model_copy(update={"log": f"sqlite:///{tmp_path}/other.db"})
    assert database_path(other) != database_path(settings)
    assert ask(other) == []
    assert ask(settings) == ["t1"]


def test_a_damaged_database_is_made_anew(settings: Settings, writer: Writer) -> None:
    writer.create("t1")
    database_path(settings).parent.mkdir()
    database_path(settings).write_bytes(b"not a database" * 1000)
    assert ask(settings) == ["t1"]


def test_a_database_of_another_version_is_made_anew(settings: Settings, writer: Writer) -> None:
    writer.create("t1")
    ask(settings)
    with duckdb.connect(database_path(settings)) as connection:
        connection.execute("UPDATE meta SET version = 'older'")
        connection.execute("UPDATE task_states SET name = 'wrong'")
    assert ask(settings) == ["t1"]


@pytest.mark.parametrize("tasks", [["t1"], ["t1", "t2", "t3", "t4"]])
def test_a_database_of_a_log_that_is_no_more_is_made_anew(settings: Settings, writer: Writer, tasks: list[str]) -> None:
    for task in ("t1", "t2", "t3"):
        writer.create(task)
    with open_queries(settings) as queries:
        before = [event.appended_at for event in queries.events()]
    MemoryLog.forget(settings.log.removeprefix("memory://"))
    again = Writer(settings)
    for task in tasks:
        again.create(task)
    with open_queries(settings) as queries:
        assert names(queries) == tasks
        assert all(event.appended_at > before[-1] for event in queries.events())
    again.log.close()


def test_where_no_file_can_be_written_the_answer_comes_from_memory(settings: Settings, writer: Writer) -> None:
    settings.home.write_text("a file where a folder should be")
    writer.create("t1")
    assert ask(settings) == ["t1"]


def test_on_a_full_disk_the_answer_comes_from_memory(
    settings: Settings, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer.create("t1")
    ask(settings)
    writer.create("t2")
    insert = Tables.insert
    refused: list[str] = []

    def full(tables: Tables, table: str, rows: Iterable[Row]) -> None:
        on_disk = "SELECT path FROM duckdb_databases() WHERE path IS NOT NULL AND NOT internal"
        if tables.connection.execute(on_disk).fetchone():
            refused.append(table)
            raise duckdb.IOException("No space left on device")
        insert(tables, table, rows)

    monkeypatch.setattr(Tables, "insert", full)
    assert ask(settings) == ["t1", "t2"]
    assert refused


def test_others_ask_the_process_that_serves(settings: Settings, writer: Writer) -> None:
    writer.create("t1")
    with serving(settings) as address, Queries(FlightSource(address.address, address.token)) as queries:
        assert live_address(database_path(settings)) == address
        writer.create("t2")
        queries._source.refresh()  # type: ignore[attr-defined]
        assert names(queries) == ["t1", "t2"]
        assert queries.task("t1") == queries.tasks(TaskFilter(ids=("t1",)))[0]
        assert queries.scalars("t1").num_rows == 0
        assert queries.dead_letters() == []
        assert queries.sql("SELECT count(*) AS n FROM tasks").to_pylist() == [{"n": 2}]
    assert live_address(database_path(settings)) is None
    assert not is_held(database_path(settings))


def test_a_served_answer_equals_one_given_here(settings: Settings, writer: Writer) -> None:
    for task in ("t1", "t2"):
        writer.create(task)
    writer.log.append("tasktape.tasks", "t", b"garbage")
    with (
        serving(settings) as address,
        open_queries(settings) as here,
        Queries(FlightSource(address.address, address.token)) as there,
    ):
        for question in ("tasks", "projects", "events", "dead_letters", "positions", "queues", "workers", "models"):
            assert getattr(there, question)() == getattr(here, question)(), question
        assert there.task_rows() == here.task_rows()
        assert there.spec("t1") == here.spec("t1")


def test_the_settings_may_name_a_projection_elsewhere(settings: Settings, writer: Writer, tmp_path: Path) -> None:
    writer.create("t1")
    with serving(settings) as address:
        place = address.address.removeprefix("grpc://")
        elsewhere = Settings(home=tmp_path / "elsewhere", projection=f"grpc://{address.token}@{place}")
        assert ask(elsewhere) == ["t1"]
        stranger = Settings(home=tmp_path / "elsewhere", projection=f"grpc://guess@{place}")
        with pytest.raises(ProjectionUnavailableError, match="token is missing or wrong"):
            open_queries(stranger)
    with pytest.raises(ProjectionUnavailableError, match="TASKTAPE_PROJECTION"):
        open_queries(elsewhere)


def test_the_server_hears_only_who_has_the_token(settings: Settings, writer: Writer) -> None:
    writer.create("t1")
    with serving(settings) as address, flight.connect(address.address) as client:
        for headers in ([], [(b"authorization", b"Bearer "), (b"authorization", address.token.encode())]):
            with pytest.raises(flight.FlightUnauthenticatedError):
                client.do_get(flight.Ticket(b"SELECT 1"), flight.FlightCallOptions(headers=headers)).read_all()


@pytest.mark.parametrize(
    "ticket", [b"{}", b"{", b'{"query": "no_such", "values": {}, "order": []}', b"DROP TABLE events", b"\xff", b""]
)
def test_a_ticket_that_makes_no_sense_is_an_error_in_words(settings: Settings, writer: Writer, ticket: bytes) -> None:
    with serving(settings) as address:
        source = FlightSource(address.address, address.token)
        with pytest.raises(QueryError):
            source._get(ticket)
        source.close()
    assert writer.said == 0


def test_only_the_owner_can_read_where_it_is_served(settings: Settings, writer: Writer) -> None:
    with serving(settings) as address:
        file = address_file(database_path(settings))
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert address.token not in repr(address)
    assert not file.exists()
    assert writer.said == 0


@pytest.mark.parametrize(
    "stale",
    [
        Address("grpc://127.0.0.1:1", "t", os.getpid()),
        Address("grpc://127.0.0.1:1", "t", 2**22 + 1),
        Address("nonsense", "t", os.getpid()),
    ],
)
def test_an_address_nobody_answers_at_is_passed_over(settings: Settings, writer: Writer, stale: Address) -> None:
    writer.create("t1")
    settings.home.mkdir()
    write_address(database_path(settings), stale)
    assert ask(settings) == ["t1"]


@pytest.mark.parametrize("text", ["", "{}", '{"address": 1}', json.dumps({"address": "x", "token": "t", "pid": "no"})])
def test_an_address_file_that_makes_no_sense_is_passed_over(settings: Settings, writer: Writer, text: str) -> None:
    writer.create("t1")
    settings.home.mkdir()
    address_file(database_path(settings)).write_text(text)
    assert ask(settings) == ["t1"]


def test_a_server_that_took_over_anothers_port_is_passed_over(settings: Settings, writer: Writer) -> None:
    writer.create("t1")
    other = settings.model_copy(update={"home": settings.home / "other"})
    with serving(other) as address:
        write_address(database_path(settings), Address(address.address, "an old token", os.getpid()))
        assert ask(settings) == ["t1"]


def test_serving_goes_on_until_it_is_told_to_stop(settings: Settings, writer: Writer) -> None:
    writer.create("t1")
    stop, ready = threading.Event(), threading.Event()
    thread = threading.Thread(
        target=serve_projection, args=(settings,), kwargs={"ready": lambda _: ready.set(), "stop": stop}
    )
    thread.start()
    assert ready.wait(30)
    assert ask(settings) == ["t1"]
    stop.set()
    thread.join(30)
    assert not thread.is_alive()


def test_following_goes_on_after_a_failure(
    settings: Settings, writer: Writer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("tasktape.projections.follower.RETRY_SECONDS", 0.01)
    failures = iter([True])
    write = "tasktape.projections.batch.Folds.write"
    monkeypatch.setattr(write, _failing_once(failures))
    with serving(settings):
        writer.create("t1")
        assert ask(settings) == ["t1"]
    assert [record.action for record in caplog.records] == ["follow_failed"]  # type: ignore[attr-defined]


def _failing_once(failures: Iterator[bool]) -> object:
    from tasktape.projections.batch import Folds  # noqa: PLC0415  before it is patched

    write = Folds.write

    def failing(*arguments: object) -> None:
        if next(failures, False):
            raise OSError("no space left on device")
        write(*arguments)  # type: ignore[arg-type]

    return failing


def test_an_answer_that_would_never_come_is_an_error_in_words(
    settings: Settings, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasktape.projections.holding.SILENCE_SECONDS", 0.01)
    monkeypatch.setattr("tasktape.projections.projector.Projector.step", lambda _self, _timeout: 0)
    writer.create("t1")
    with pytest.raises(ProjectionBehindError):
        open_queries(settings)
    assert not is_held(database_path(settings))
