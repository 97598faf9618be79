"""What the projection answers: each question, asked of a log in memory that tells a small story."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from math import inf, isnan, nan
from typing import Any

import numpy as np
import pytest

from tasktape.events import limit_events, queue_events, report_events, task_events, worker_events
from tasktape.events.base import Event, Meta
from tasktape.events.codec import Codec
from tasktape.events.log.memory import MemoryLog
from tasktape.events.parts import Artifact, BlobRef, Configuration, Model, Parameter, TaskSpec
from tasktape.events.queue_events import entry_id
from tasktape.events.scalars import ScalarColumns, event_of
from tasktape.events.topics import TOPICS, queue_spec
from tasktape.projections.database import Database
from tasktape.projections.errors import QueryError
from tasktape.projections.projector import Projector
from tasktape.projections.query import Queries
from tasktape.projections.rows import MetricColumn, ModelFilter, ParameterColumn, TaskFilter, TaskRow
from tasktape.projections.source import DatabaseSource

CODEC = Codec()
START = datetime(2026, 1, 1, tzinfo=UTC)
WEIRD = ("'; DROP TABLE events; --", '"><script>alert("x")</script>', "line\nbreak", "🎉 é", "a/b/c", "n" * 10_000, "")


class World:
    """A log to which things are said, and its projection."""

    def __init__(self, database: Database) -> None:
        self.now = 1_790_000_000_000_000
        self.log = MemoryLog(clock=lambda: self.now)
        self.log.create_topics([*TOPICS, queue_spec("q"), queue_spec("other")])
        self.database = database
        self.projector = Projector(self.log, self.database, CODEC)
        self.queries = Queries(DatabaseSource(self.database))
        self.seconds = 0

    def say(self, kind: type[Event], /, **fields: Any) -> str:
        """Append an event, a second after the one before; returns its id."""
        self.seconds += 1
        self.now += 1000
        moment = START + timedelta(seconds=self.seconds)
        meta = Meta(event_id=f"id{self.seconds}", occurred_at=moment, actor="me@host", session="s", seq=self.seconds)
        event = kind.model_validate({"meta": meta, **fields})
        self.log.append(event.topic_name, event.key, CODEC.encode(event))
        return meta.event_id

    def create(self, task: str, **spec: Any) -> None:
        self.say(task_events.TaskCreated, task=task, spec=TaskSpec(**{"project": "p", "name": task, **spec}))

    def run(self, task: str, run: int = 1, **fields: Any) -> None:
        self.say(task_events.RunStarted, task=task, run=run, **fields)

    def enqueue(self, task: str, run: int, queue: str = "q", **fields: Any) -> str:
        entry = fields.pop("entry", entry_id(queue, task, run))
        spec = TaskSpec(project="p", name=task)
        self.say(queue_events.EntryEnqueued, task=task, run=run, queue=queue, entry=entry, spec=spec, **fields)
        return str(entry)

    def scalars(self, task: str, run: int, title: str, series: str, points: list[tuple[int, float]]) -> None:
        steps, values = zip(*points, strict=True)
        columns = ScalarColumns(
            meta=Meta(event_id="", occurred_at=START, actor="", session="", seq=0),
            task=task,
            run=run,
            series=((title, series),),
            index=np.zeros(len(points), np.int64),
            steps=np.array(steps, np.int64),
            times=np.array(steps, np.int64) * 1_000_000,
            values=np.array(values, np.float64),
        )
        self.say(report_events.ScalarsReported, **event_of(columns).model_dump(exclude={"meta"}))

    def ask(self) -> Queries:
        self.projector.catch_up()
        return self.queries

    def task(self, task: str) -> TaskRow:
        row = self.ask().task(task)
        assert row is not None
        return row

    def status(self, task: str) -> tuple[str, int]:
        row = self.task(task)
        return row.status, row.run


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    """One for all tests here: making it takes longer than most of them."""
    made = Database.in_memory("")
    yield made
    made.close()


@pytest.fixture
def world(database: Database) -> Iterator[World]:
    for (table,) in database.connection.execute("SELECT table_name FROM duckdb_tables()").fetchall():
        database.connection.execute(f"DELETE FROM {table}")
    made = World(database)
    yield made
    made.projector.close()


def test_a_task_shows_what_it_was_created_with(world: World) -> None:
    world.create("t", project="a/b", name="n", task_type="testing", user="u", comment="c", tags=["x"], parent="other")
    row = world.task("t")
    assert (row.project, row.name, row.task_type, row.user, row.comment) == ("a/b", "n", "testing", "u", "c")
    assert (row.tags, row.system_tags, row.parent, row.status, row.run) == (("x",), (), "other", "created", 0)
    assert row.created_at == row.updated_at == START + timedelta(seconds=1)
    assert (row.started_at, row.ended_at) == (None, None)


def test_a_task_nobody_created_is_none(world: World) -> None:
    world.run("t")
    assert world.ask().task("t") is None


def test_a_run_shows_how_it_went(world: World) -> None:
    world.create("t")
    world.run("t", worker="w", machine={"cpu": "8"})
    world.say(task_events.RunProgressed, task="t", run=1, progress=30)
    world.say(task_events.RunFailed, task="t", run=1, reason="ValueError", message="m", traceback="tb", exit_code=1)
    row = world.task("t")
    assert (row.status, row.status_reason, row.status_message) == ("failed", "ValueError", "m")
    assert (row.worker, row.progress, row.started_at) == ("w", 30, START + timedelta(seconds=2))
    (run,) = world.queries.runs("t")
    assert (run.status, run.traceback, run.exit_code, run.machine, run.visible) == (
        "failed",
        "tb",
        1,
        {"cpu": "8"},
        True,
    )


def test_a_run_that_a_later_one_overtook_is_not_shown_as_running(world: World) -> None:
    world.create("t")
    world.run("t")
    world.run("t", run=2, force=True)
    assert [(run.run, run.status, run.visible) for run in world.ask().runs("t")] == [
        (1, "stopped", False),
        (2, "in_progress", True),
    ]


def test_an_abort_that_was_asked_for_shows_while_the_run_goes_on(world: World) -> None:
    world.create("t")
    world.run("t")
    world.say(queue_events.AbortRequested, task="t", run=1)
    assert world.task("t").status_message == "stopping"
    world.say(task_events.RunStopped, task="t", run=1, message="aborted")
    assert world.task("t").status_message == "aborted"


def test_a_task_is_queued_from_enqueued_until_its_run_starts(world: World) -> None:
    world.create("t")
    entry = world.enqueue("t", 1)
    assert (world.status("t"), world.task("t").queue) == (("queued", 1), "q")
    claim = world.say(queue_events.EntryClaimed, task="t", run=1, queue="q", entry=entry, worker="w")
    assert world.status("t") == ("queued", 1)
    world.say(queue_events.EntryTaken, task="t", run=1, queue="q", entry=entry, worker="w", claim=claim)
    assert world.status("t") == ("queued", 1)
    world.run("t", worker="w", entry=entry)
    assert (world.status("t"), world.task("t").queue) == (("in_progress", 1), "")


def test_a_dequeued_task_is_what_it_was_before(world: World) -> None:
    world.create("t")
    world.run("t")
    world.say(task_events.RunCompleted, task="t", run=1)
    entry = world.enqueue("t", 2)
    assert world.status("t") == ("queued", 2)
    world.say(queue_events.EntryDequeued, task="t", run=2, queue="q", entry=entry)
    assert (world.status("t"), world.task("t").last_run) == (("completed", 1), 2)


def test_an_entry_noted_as_left_keeps_no_task_queued(world: World) -> None:
    world.create("t")
    entry = world.enqueue("t", 1)
    world.say(task_events.EntryLeft, task="t", run=1, entry=entry)
    assert world.status("t") == ("created", 0)


def test_a_task_stays_queued_on_its_way_to_another_queue(world: World) -> None:
    world.create("t")
    entry = world.enqueue("t", 1)
    world.say(queue_events.EntryMoved, task="t", run=1, queue="q", entry=entry, to_queue="other")
    assert world.status("t") == ("queued", 1)
    hop = world.enqueue("t", 1, "other", entry=entry_id("q", "t", 1, 1), hop=1, origin=entry)
    assert world.task("t").queue == "other"
    world.say(queue_events.EntryDequeued, task="t", run=1, queue="other", entry=hop)
    assert world.status("t") == ("created", 0)


def test_a_published_task_is_published_whatever_waits(world: World) -> None:
    world.create("t")
    world.run("t")
    world.say(task_events.RunCompleted, task="t", run=1)
    world.enqueue("t", 2)
    world.say(task_events.TaskPublished, task="t", message="v1")
    row = world.task("t")
    assert (row.status, row.published, row.status_message) == ("published", True, "v1")


def test_a_deleted_task_is_gone_but_for_the_audit(world: World) -> None:
    world.create("t")
    world.scalars("t", 1, "loss", "train", [(1, 1.0)])
    world.say(task_events.TaskDeleted, task="t")
    queries = world.ask()
    assert (queries.task("t"), queries.tasks(), queries.last_scalars("t"), queries.spec("t")) == (None, [], [], None)
    assert [event.type for event in queries.events("t")] == ["TaskCreated", "ScalarsReported", "TaskDeleted"]


def test_edits_show_in_row_and_spec(world: World) -> None:
    world.create("t")
    world.say(task_events.TaskEdited, task="t", field="name", old='"t"', new='"better"')
    world.say(task_events.TaskEdited, task="t", field="script.commit", old='""', new='"abc"')
    assert world.task("t").name == "better"
    spec = world.queries.spec("t")
    assert spec is not None
    assert spec.script.commit == "abc"


def test_parameters_and_configurations_keep_their_order(world: World) -> None:
    world.create("t", parameters=[Parameter(name="Args/z", value="1", type="int", description="d")])
    world.say(task_events.ParametersSet, task="t", parameters=[Parameter(name="Args/a", value="2")])
    world.say(task_events.ConfigurationSet, task="t", configuration=Configuration(name="c", text="x: 1", suffix=".yml"))
    queries = world.ask()
    assert queries.parameters("t") == [
        Parameter(name="Args/z", value="1", type="int", description="d"),
        Parameter(name="Args/a", value="2"),
    ]
    assert queries.configurations("t") == [Configuration(name="c", text="x: 1", suffix=".yml")]
    assert queries.parameter_names() == ["Args/a", "Args/z"]


def test_scalars_come_by_series_and_step(world: World) -> None:
    world.create("t")
    world.scalars("t", 1, "loss", "b", [(2, 0.5), (1, 0.75)])
    world.scalars("t", 1, "loss", "a", [(1, 1.0)])
    table = world.ask().scalars("t").to_pydict()
    assert list(zip(table["series"], table["step"], table["value"], strict=True)) == [
        ("a", 1, 1.0),
        ("b", 1, 0.75),
        ("b", 2, 0.5),
    ]
    assert table["time"][0] == datetime(1970, 1, 1, 0, 0, 1)  # noqa: DTZ001  Arrow's timestamps are naive UTC
    assert world.queries.scalars("t", title="loss", series="a").num_rows == 1


def test_thinned_scalars_keep_first_and_last_and_as_many_as_asked(world: World) -> None:
    world.create("t")
    world.scalars("t", 1, "loss", "a", [(step, float(step)) for step in range(1000)])
    for samples in (2, 7, 100, 999):
        found = world.ask().scalars("t", samples).column("step").to_pylist()
        assert (len(found), found[0], found[-1]) == (samples, 0, 999)
    assert world.queries.scalars("t", 1000).num_rows == world.queries.scalars("t", 5000).num_rows == 1000


def test_a_series_is_summarised_over_its_points(world: World) -> None:
    world.create("t")
    world.scalars("t", 1, "loss", "a", [(1, 4.0), (3, 1.0), (2, nan)])
    world.ask()
    world.scalars("t", 1, "loss", "a", [(3, 2.0), (0, 8.0)])
    (summary,) = world.ask().last_scalars("t")
    assert (summary.count, summary.first, summary.first_step) == (5, 8.0, 0)
    assert (summary.last, summary.last_step) == (2.0, 3)
    assert (summary.min, summary.min_step, summary.max, summary.max_step) == (1.0, 3, 8.0, 0)
    assert summary.mean == 3.75
    assert summary.last_at == datetime(1970, 1, 1, 0, 0, 3, tzinfo=UTC)


def test_a_series_of_nothing_but_nans_has_no_extremes(world: World) -> None:
    world.create("t")
    world.scalars("t", 1, "loss", "a", [(1, nan)])
    (summary,) = world.ask().last_scalars("t")
    assert isnan(summary.last)
    assert isnan(summary.min)
    assert isnan(summary.max)
    assert isnan(summary.mean)


def test_infinities_are_values(world: World) -> None:
    world.create("t")
    world.scalars("t", 1, "loss", "a", [(1, inf), (2, -inf), (3, 0.0)])
    (summary,) = world.ask().last_scalars("t")
    assert (summary.min, summary.max) == (-inf, inf)


def test_a_continued_run_adds_to_what_was_a_new_one_starts_afresh(world: World) -> None:
    world.create("t")
    world.run("t")
    world.scalars("t", 1, "loss", "a", [(1, 5.0)])
    world.say(task_events.RunCompleted, task="t", run=1)
    world.run("t", run=2, continues=True)
    world.scalars("t", 2, "loss", "a", [(2, 3.0)])
    (summary,) = world.ask().last_scalars("t")
    assert (summary.count, summary.first, summary.last, summary.mean) == (2, 5.0, 3.0, 4.0)
    world.say(task_events.RunCompleted, task="t", run=2)
    world.run("t", run=3)
    assert world.ask().last_scalars("t") == []


def test_a_reset_hides_what_was_reported_even_what_arrives_later(world: World) -> None:
    world.create("t")
    world.run("t")
    world.scalars("t", 1, "loss", "a", [(7, 5.0)])
    world.say(report_events.SingleValueReported, task="t", run=1, name="auc", value=0.5)
    assert world.task("t").last_iteration == 7
    world.say(task_events.TaskReset, task="t", run=1)
    world.scalars("t", 1, "loss", "a", [(8, 5.0)])
    queries = world.ask()
    assert (queries.scalars("t").num_rows, queries.single_values("t"), world.task("t").last_iteration) == (0, {}, 0)


def test_the_last_iteration_does_not_count_what_the_machine_monitor_reports(world: World) -> None:
    world.create("t")
    world.scalars("t", 1, ":monitor:machine", "cpu", [(3600, 1.0)])
    world.scalars("t", 1, "loss", "a", [(12, 1.0)])
    assert world.task("t").last_iteration == 12


def test_single_values_are_replaced(world: World) -> None:
    world.create("t")
    for value in (0.5, 0.75):
        world.say(report_events.SingleValueReported, task="t", run=1, name="auc", value=value)
    assert world.ask().single_values("t") == {"auc": 0.75}


def plot(world: World, series: str, iteration: int, figure: str) -> None:
    world.say(report_events.PlotReported, task="t", run=1, title="p", series=series, iteration=iteration, figure=figure)


def test_the_same_plot_again_replaces_the_first_and_the_last_iterations_can_be_asked_for(world: World) -> None:
    world.create("t")
    for iteration, figure in ((1, "{}"), (1, '{"data": []}'), (2, "{}")):
        plot(world, "s", iteration, figure)
    assert [(p.iteration, p.content) for p in world.ask().plots("t")] == [(1, '{"data": []}'), (2, "{}")]
    assert [p.iteration for p in world.queries.plots("t", iterations=1)] == [2]


def test_texts_all_stay_and_media_tell_where_they_are(world: World) -> None:
    world.create("t")
    place = {"task": "t", "run": 1, "title": "i", "series": "s", "iteration": 0}
    world.say(report_events.TextReported, text="one", **place)
    world.say(report_events.TextReported, text="two", **place)
    blob = BlobRef(uri="file:///b.png", size=3, sha256="ab")
    world.say(report_events.MediaReported, kind="image", content_type="image/png", blob=blob, **place)
    world.say(
        report_events.MediaReported, kind="html", content_type="text/html", url="http://x", **{**place, "title": "j"}
    )
    queries = world.ask()
    assert [text.content for text in queries.texts("t")] == ["one", "two"]
    assert [(m.kind, m.uri, m.size) for m in queries.media("t")] == [
        ("image", "file:///b.png", 3),
        ("html", "http://x", 0),
    ]


def console(world: World, run: int, *lines: str) -> None:
    written = [{"at": 1_000_000, "stream": "stdout", "text": line} for line in lines]
    world.say(report_events.ConsoleWritten, task="t", run=run, lines=written)


def test_the_console_can_be_read_from_its_end_and_on_from_any_line(world: World) -> None:
    world.create("t")
    console(world, 1, "a", "b")
    console(world, 1, "c", "d")
    queries = world.ask()
    assert [line.text for line in queries.console("t", 3)] == ["b", "c", "d"]
    first = queries.console("t")[1]
    assert [line.text for line in queries.console("t", 1, after=(first.offset, first.index))] == ["c"]
    assert [line.text for line in queries.console("t", after=(first.offset, first.index))] == ["c", "d"]
    assert queries.console("t", run=2) == []


def artifact(name: str, uri: str) -> Artifact:
    return Artifact(name=name, type="file", uri=uri, size=1, sha256="", metadata={"k": "v"})


def test_artifacts_are_replaced_deleted_and_hidden_with_their_runs(world: World) -> None:
    world.create("t")
    world.say(task_events.ArtifactUploaded, task="t", run=0, artifact=artifact("draft", "0"))
    world.run("t")
    for name, uri in (("a", "1"), ("a", "2"), ("b", "3")):
        world.say(task_events.ArtifactUploaded, task="t", run=1, artifact=artifact(name, uri))
    world.say(task_events.ArtifactDeleted, task="t", run=1, name="b")
    found = world.ask().artifacts("t")
    assert [(a.name, a.uri, a.metadata) for a in found] == [("a", "2", {"k": "v"}), ("draft", "0", {"k": "v"})]
    world.say(task_events.RunCompleted, task="t", run=1)
    world.run("t", run=2)
    assert [a.name for a in world.ask().artifacts("t")] == ["draft"]
    world.say(task_events.RunCompleted, task="t", run=2)
    world.say(task_events.TaskReset, task="t", run=2)
    assert world.ask().artifacts("t") == []
    world.say(task_events.ArtifactUploaded, task="t", run=0, artifact=artifact("new draft", "4"))
    assert [a.name for a in world.ask().artifacts("t")] == ["new draft"]


def test_a_task_has_the_models_it_made_and_those_it_uses(world: World) -> None:
    world.create("t")
    world.create("user")
    world.say(task_events.ModelSaved, task="t", run=1, model=Model(id="m", name="old", metadata={"k": "v"}))
    world.say(task_events.ModelSaved, task="t", run=1, model=Model(id="m", name="new", metadata={"k": "v"}, tags=["x"]))
    world.say(task_events.ModelAttached, task="user", run=1, model_id="m", name="backbone")
    queries = world.ask()
    (made,) = queries.models(ModelFilter(task="t"))
    assert (made.id, made.name, made.direction, made.attached_as, made.metadata) == (
        "m",
        "new",
        "output",
        "",
        {"k": "v"},
    )
    (used,) = queries.models(ModelFilter(task="user"))
    assert (used.id, used.task, used.direction, used.attached_as) == ("m", "user", "input", "backbone")
    assert made.created_at < made.updated_at
    world.say(task_events.ModelDeleted, task="t", run=1, model_id="m")
    assert world.ask().models() == []


def test_models_are_found_by_what_they_are(world: World) -> None:
    world.create("t")
    for name, fields in (
        ("Alpha", {"tags": ["a", "b"], "published": True, "project": "p"}),
        ("beta", {"tags": ["b"], "archived": True, "metadata": {'k"ey': "v"}}),
    ):
        world.say(task_events.ModelSaved, task="t", run=1, model=Model(id=name, name=name, **fields))
    for wanted, names in (
        (ModelFilter(), ["beta", "Alpha"]),
        (ModelFilter(name="^al"), ["Alpha"]),
        (ModelFilter(only_published=True), ["Alpha"]),
        (ModelFilter(include_archived=False), ["Alpha"]),
        (ModelFilter(projects=("p",)), ["Alpha"]),
        (ModelFilter(any_tags=("a",)), ["Alpha"]),
        (ModelFilter(all_tags=("a", "b")), ["Alpha"]),
        (ModelFilter(no_tags=("a",)), ["beta"]),
        (ModelFilter(metadata=(('k"ey', "v"),)), ["beta"]),
        (ModelFilter(metadata=(('k"ey', "w"),)), []),
        (ModelFilter(ids=("Alpha",)), ["Alpha"]),
        (ModelFilter(limit=1), ["beta"]),
    ):
        assert [model.name for model in world.ask().models(wanted)] == names, wanted


def test_tasks_are_found_by_every_condition(world: World) -> None:
    world.create("t1", name="Train big", project="a", tags=["x", "y"], user="u", comment="50% done_")
    world.create("t2", name="test", project="a/b", tags=["y"], task_type="testing", system_tags=["hidden"], parent="t1")
    world.run("t2")
    world.say(task_events.TaskArchived, task="t1")
    for wanted, ids in (
        (TaskFilter(), ["t1", "t2"]),
        (TaskFilter(ids=("t2", "t9")), ["t2"]),
        (TaskFilter(projects=("a",)), ["t1"]),
        (TaskFilter(projects=("a",), subprojects=True), ["t1", "t2"]),
        (TaskFilter(name="^train"), ["t1"]),
        (TaskFilter(text="% DONE_"), ["t1"]),
        (TaskFilter(text="_"), ["t1"]),
        (TaskFilter(patterns=((("name", "tags"), "^x"),)), ["t1"]),
        (TaskFilter(patterns=((("project",), "b$"), (("name",), "TEST"))), ["t2"]),
        (TaskFilter(any_tags=("x", "z")), ["t1"]),
        (TaskFilter(all_tags=("x", "y")), ["t1"]),
        (TaskFilter(no_tags=("x",)), ["t2"]),
        (TaskFilter(any_system_tags=("hidden",)), ["t2"]),
        (TaskFilter(no_system_tags=("hidden",)), ["t1"]),
        (TaskFilter(statuses=("in_progress", "failed")), ["t2"]),
        (TaskFilter(types=("testing",)), ["t2"]),
        (TaskFilter(users=("u",)), ["t1"]),
        (TaskFilter(parents=("t1",)), ["t2"]),
        (TaskFilter(updated_after=START + timedelta(seconds=3)), ["t1"]),
        (TaskFilter(include_archived=False), ["t2"]),
        (TaskFilter(order_by=("name",)), ["t1", "t2"]),
        (TaskFilter(order_by=("-name",)), ["t2", "t1"]),
        (TaskFilter(order_by=("created_at",), limit=1, offset=1), ["t2"]),
    ):
        assert [row.id for row in world.ask().tasks(wanted)] == ids, wanted
        if wanted.limit is None:
            assert world.queries.count_tasks(wanted) == len(ids)


@pytest.mark.parametrize(
    "wanted",
    [
        TaskFilter(name="["),
        TaskFilter(order_by=("nothing",)),
        TaskFilter(order_by=('name"; DROP TABLE events',)),
        TaskFilter(patterns=((("nothing",), "x"),)),
    ],
)
def test_a_filter_that_makes_no_sense_is_an_error_in_words(world: World, wanted: TaskFilter) -> None:
    with pytest.raises(QueryError):
        world.ask().tasks(wanted)


def by_column(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    return {name: [row[name] for row in rows] for name in rows[0]}


def test_a_table_of_tasks_has_columns_of_the_users_choice_and_sorts_by_them(world: World) -> None:
    for task, value, loss in (("t1", "0.1", 3.0), ("t2", "0.02", 9.0), ("t3", '"text"', nan)):
        world.create(task, parameters=[Parameter(name="General/lr", value=value)])
        world.scalars(task, 1, "loss", "a", [(1, loss), (2, loss + 1)])
    world.create("t4")
    rate = ParameterColumn("General/lr")
    columns = (rate, MetricColumn("loss", "a"), MetricColumn("loss", "a", "min"), ParameterColumn("no/such"))
    wanted = TaskFilter(order_column=rate)
    table = by_column(world.ask().task_rows(wanted, columns))
    assert table["id"] == ["t2", "t1", "t3", "t4"]
    assert table["c0"] == ["0.02", "0.1", '"text"', None]
    assert (table["c1"][:2], table["c2"][:2], table["c1"][3]) == ([10.0, 4.0], [9.0, 3.0], None)
    assert table["c3"] == [None] * 4
    best = TaskFilter(order_column=MetricColumn("loss", "a", "min"), descending=True, ids=("t1", "t2"))
    assert [row.id for row in world.queries.tasks(best)] == ["t2", "t1"]
    assert world.queries.metric_names() == [("loss", "a")]


@pytest.mark.parametrize("name", WEIRD)
def test_any_text_can_be_a_name(world: World, name: str) -> None:
    world.create("t", name=name, project=name, tags=[name], parameters=[Parameter(name=name, value=name)])
    world.scalars("t", 1, name, name, [(1, 2.0)])
    world.say(task_events.ArtifactUploaded, task="t", run=0, artifact=artifact(name, name))
    console(world, 1, name)
    queries = world.ask()
    columns = (ParameterColumn(name), MetricColumn(name, name))
    wanted = TaskFilter(projects=(name,), any_tags=(name,), text=name, order_column=columns[1])
    table = by_column(queries.task_rows(wanted, columns))
    assert (table["name"], table["c0"], table["c1"]) == ([name], [name], [2.0])
    assert [(s.title, s.series) for s in queries.last_scalars("t")] == [(name, name)]
    assert queries.scalars("t", title=name, series=name).num_rows == 1
    assert ([a.name for a in queries.artifacts("t")], [line.text for line in queries.console("t")]) == ([name], [name])


def test_projects_count_their_tasks_by_status(world: World) -> None:
    world.create("t1", project="a")
    world.create("t2", project="a")
    world.create("t3", project="b")
    world.run("t2")
    world.say(task_events.TaskArchived, task="t3")
    (project,) = world.ask().projects()
    assert (project.name, project.tasks, project.statuses) == ("a", 2, {"created": 1, "in_progress": 1})


def test_limits_show_how_many_runs_hold_a_permit_and_permits_whose_they_are(world: World) -> None:
    world.say(limit_events.LimitSet, scope="queue:q", running=2)
    world.say(limit_events.LimitSet, scope="tag:t", running=1)
    permit = {"task": "t1", "run": 1, "entry": "q/t1/1/0", "scopes": ["queue:q", "tag:t"]}
    first = world.say(limit_events.PermitClaimed, worker="dead", **permit)
    second = world.say(limit_events.PermitClaimed, worker="w", **permit)
    world.say(limit_events.PermitClaimed, worker="w", **{**permit, "task": "t2"})
    answers = world.ask()
    assert [(limit.scope, limit.running, limit.permits) for limit in answers.limits()] == [
        ("queue:q", 2, 1),
        ("tag:t", 1, 1),
    ]
    assert [(held.id, held.worker, held.scopes) for held in answers.permits()] == [
        (first, "dead", ("queue:q", "tag:t")),
        (second, "w", ("queue:q", "tag:t")),
    ]
    refused = [event for event in answers.events("t2") if event.verdict == "rejected"]
    assert [event.reason for event in refused] == ["tag:t is limited to 1 at once"]
    for held in (first, second):
        world.say(limit_events.PermitReleased, task="t1", run=1, worker="w", permit=held)
    world.say(limit_events.LimitSet, scope="tag:t", running=None)
    assert world.ask().permits() == []
    assert [(limit.scope, limit.permits) for limit in world.ask().limits()] == [("queue:q", 0)]
    assert world.ask().dead_letters() == []


def test_queues_show_what_waits_and_who_serves_them(world: World) -> None:
    world.say(queue_events.QueueCreated, queue="q")
    world.say(worker_events.WorkerHeartbeat, worker="w", queues=["q"])
    first = world.enqueue("t1", 1, rank=5.0)
    second = world.enqueue("t2", 1, rank=1.0)
    world.enqueue("t3", 1, "other")
    world.say(queue_events.QueuePaused, queue="q")
    queue, other = world.ask().queues()[::-1]
    assert (queue.name, queue.paused, queue.waiting, queue.workers) == ("q", True, 2, ("w",))
    assert (other.name, other.waiting, other.workers) == ("other", 1, ())
    assert [entry.task for entry in world.queries.entries("q")] == ["t2", "t1"]
    urgent = world.enqueue("t4", 1, priority=2)
    assert [(entry.task, entry.priority) for entry in world.ask().entries("q")] == [("t4", 2), ("t2", 0), ("t1", 0)]
    world.say(queue_events.EntryMoved, task="t4", run=1, queue="q", entry=urgent, priority=-1, rank=0.0)
    assert [entry.task for entry in world.ask().entries("q")] == ["t2", "t1", "t4"]
    world.say(queue_events.EntryDequeued, task="t4", run=1, queue="q", entry=urgent)
    world.say(queue_events.EntryDequeued, task="t2", run=1, queue="q", entry=second)
    assert [entry.task for entry in world.ask().entries("q")] == ["t1"]
    assert [entry.state for entry in world.queries.entries("q", gone=True)] == ["dequeued", "waiting", "dequeued"]
    assert [entry.id for entry in world.queries.task_entries("t2")] == [second]
    world.say(queue_events.QueueDeleted, queue="q")
    assert [(queue.name, queue.deleted) for queue in world.ask().queues()] == [("other", False), ("q", True)]
    world.say(queue_events.EntryDequeued, task="t1", run=1, queue="q", entry=first)
    assert [queue.name for queue in world.ask().queues()] == ["other"]
    world.say(queue_events.QueueCreated, queue="q")
    assert [(queue.name, queue.paused) for queue in world.ask().queues()] == [("other", False), ("q", False)]


def test_waits_are_told_of_the_last_entries_taken(world: World) -> None:
    assert world.ask().waits() == []
    for number in range(12):
        entry = world.enqueue(f"t{number}", 1)
        about = {"task": f"t{number}", "run": 1, "queue": "q", "entry": entry}
        claim = world.say(queue_events.EntryClaimed, worker="w", **about)
        world.say(queue_events.EntryTaken, worker="w", claim=claim, **about)
    world.enqueue("waits", 1)
    (all_of_them,), (last,) = world.ask().waits(), world.queries.waits(5)
    taken = [entry for entry in world.queries.entries("q", gone=True) if entry.state == "taken"]
    waits = sorted((entry.changed_at - entry.enqueued_at).total_seconds() for entry in taken)
    assert (all_of_them.queue, all_of_them.taken, last.taken) == ("q", 12, 5)
    assert all_of_them.p50 == pytest.approx((waits[5] + waits[6]) / 2)
    assert waits[0] <= all_of_them.p50 <= all_of_them.p90 <= all_of_them.p99 <= waits[-1]
    latest = sorted(taken, key=lambda entry: entry.changed_at)[-5:]
    assert last.p50 == pytest.approx(sorted((e.changed_at - e.enqueued_at).total_seconds() for e in latest)[2])


def test_a_copy_of_a_claim_that_did_not_count_does_not_count_after_the_lease_either(world: World) -> None:
    entry = world.enqueue("t", 1)
    about = {"task": "t", "run": 1, "queue": "q", "entry": entry}
    world.say(queue_events.EntryClaimed, worker="w1", **about)
    world.say(queue_events.EntryClaimed, worker="w2", **about)
    world.ask()
    world.now += 60_000_000
    record = world.log.read(world.log.start_positions(["tasktape.queue.q"])).poll()[-1]
    world.log.append(record.topic, record.key, record.value)
    (claimed,) = world.ask().entries("q")
    assert claimed.worker == "w1"
    world.say(queue_events.EntryClaimed, worker="w3", **about)
    assert world.ask().entries("q")[0].worker == "w3"
    verdicts = [event.verdict for event in world.queries.events("t", types=["EntryClaimed"])]
    assert verdicts == ["accepted", "rejected", "duplicate", "accepted"]


def test_a_worker_is_known_by_its_last_heartbeat_until_its_tombstone(world: World) -> None:
    held = worker_events.HeldRun(task="t", run=1, queue="q", entry="e", partition=0, enqueued_offset=0, claim_offset=1)
    world.say(worker_events.WorkerStarted, worker="w", host="h", pid=7, queues=["q"], slots=2, version="1")
    world.say(worker_events.WorkerHeartbeat, worker="w", queues=["q"], runs=[held], load={"cpu": 50.0})
    (worker,) = world.ask().workers()
    assert (worker.host, worker.pid, worker.slots, worker.load, worker.queues) == ("h", 7, 2, {"cpu": 50.0}, ("q",))
    assert '"entry": "e"' in worker.runs
    world.say(worker_events.WorkerStopped, worker="w")
    assert world.ask().workers()[0].stopped_at is not None
    world.log.append("tasktape.workers", "w", None)
    assert world.ask().workers() == []


def test_the_audit_tells_what_counted_and_why_not(world: World) -> None:
    world.create("t")
    world.run("t")
    world.run("t")
    first, second, third = world.ask().events("t")
    assert (first.type, first.verdict, first.actor, first.topic) == (
        "TaskCreated",
        "accepted",
        "me@host",
        "tasktape.tasks",
    )
    assert (second.verdict, third.verdict, third.reason) == ("accepted", "rejected", "the run has been started")
    assert '"run":1' in third.body
    assert [event.type for event in world.queries.events(types=["RunStarted"], limit=1)] == ["RunStarted"]


def test_the_audit_keeps_sizes_in_place_of_what_has_a_table_of_its_own(world: World) -> None:
    world.scalars("t", 1, "loss", "a", [(1, 1.0), (2, 2.0)])
    console(world, 1, "a secret line")
    plot(world, "s", 1, "f" * 1000)
    bodies = {event.type: event.body for event in world.ask().events("t")}
    assert '"points": 2' in bodies["ScalarsReported"]
    assert '"lines": 1' in bodies["ConsoleWritten"]
    assert '"figure_length": 1000' in bodies["PlotReported"]


def test_a_copy_of_a_record_is_known_as_one_and_changes_nothing(world: World) -> None:
    world.scalars("t", 1, "loss", "a", [(1, 1.0)])
    (record,) = world.log.read(world.log.start_positions(["tasktape.metrics"])).poll()
    world.log.append(record.topic, record.key, record.value)
    world.create("t")
    queries = world.ask()
    assert queries.scalars("t").num_rows == queries.last_scalars("t")[0].count == 1
    assert [event.verdict for event in queries.events("t", types=["ScalarsReported"])] == ["accepted", "duplicate"]


def test_records_that_cannot_be_read_are_kept_and_stop_nothing(world: World) -> None:
    world.log.append("tasktape.tasks", "t", b"\xc3\x01garbage")
    world.log.append("tasktape.tasks", None, None)
    world.create("t")
    letters = world.ask().dead_letters()
    assert sorted(letter.value for letter in letters) == [b"", b"\xc3\x01garbage"]
    assert all(letter.error for letter in letters)
    assert world.queries.task("t") is not None


def test_an_event_in_the_wrong_place_changes_nothing(world: World) -> None:
    world.create("t")
    (record,) = world.log.read(world.log.start_positions(["tasktape.tasks"])).poll()
    world.log.append("tasktape.reports", "t", record.value)
    world.log.append("tasktape.tasks", "other", record.value)
    reasons = {event.reason for event in world.ask().events("t") if event.verdict == "rejected"}
    assert reasons == {"it belongs on tasktape.tasks", "its record has the key 'other'"}


def test_positions_tell_how_far_the_answers_know_the_log(world: World) -> None:
    world.create("t")
    ends = world.log.end_positions(["tasktape.tasks"])
    known = world.ask().positions()
    assert known == {tuple(source): offset for source, offset in ends.items() if offset}


def test_a_topic_that_appears_later_is_followed(world: World) -> None:
    world.ask()
    world.log.create_topics([queue_spec("late")])
    world.create("t")
    world.enqueue("t", 1, "late")
    assert world.status("t") == ("queued", 1)


def test_a_select_of_ones_own_is_answered(world: World) -> None:
    world.create("t")
    assert world.ask().sql("SELECT id, name FROM tasks").to_pylist() == [{"id": "t", "name": "t"}]
    assert world.queries.sql("FROM tasks").num_rows == 1


@pytest.mark.parametrize(
    "query",
    [
        "DELETE FROM events",
        "SELECT 1; SELECT 2",
        "COPY tasks TO 'x.csv'",
        "ATTACH 'x.db'",
        "SET threads = 1",
        "PRAGMA database_list",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM duckdb_secrets_that_do_not_exist",
        "INSTALL httpfs",
        "not sql at all",
        "",
    ],
)
def test_anything_but_a_harmless_select_is_refused(world: World, query: str) -> None:
    with pytest.raises(QueryError):
        world.ask().sql(query)
