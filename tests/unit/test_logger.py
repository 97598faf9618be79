from __future__ import annotations

import io
import json
import logging
import math
import uuid
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot as plt

from tasktape.events.base import Event
from tasktape.events.blobs import fetch_blob, path_of
from tasktape.events.codec import Codec
from tasktape.events.log import open_log
from tasktape.events.report_events import (
    ConsoleWritten,
    MediaReported,
    PlotReported,
    ScalarsReported,
    SingleValueReported,
)
from tasktape.events.settings import Settings
from tasktape.producers import warn
from tasktape.producers.capture.console import ConsoleTap
from tasktape.producers.logger import Logger
from tasktape.producers.mpl_figure import REPORTED
from tasktape.producers.session import Session

mpl.use("Agg")

NAMES = ["a/b", "q\"uo'te", "<script>alert(1)</script>", "two\nlines", "😀" * 3, "x" * 10_000, "", "\udcff", "\0"]


class FakeTask:
    """What a logger needs of a task."""

    id = "t" * 32
    run = 2

    def __init__(self, home: Path) -> None:
        settings = Settings(home=home, log=f"memory://{uuid.uuid4().hex}")
        self._session = Session(settings)
        self.initial = 0

    def get_initial_iteration(self) -> int:
        return self.initial

    def events(self) -> list[Event]:
        assert self._session.outbox.flush()
        found: list[Event] = []
        with open_log(self._session.settings.log) as log:
            for topic in log.topics():
                ends = log.end_positions([topic])
                with log.read(dict.fromkeys(ends, 0)) as reader:
                    while any(reader.positions()[source] < end for source, end in ends.items()):
                        found += [Codec().decode(record.value or b"") for record in reader.poll(1.0)]
        return found


@pytest.fixture(autouse=True)
def _as_new() -> Iterator[None]:
    warn.forget()
    yield
    warn.forget()
    Logger.set_reporting_nan_value(math.nan)
    Logger.set_reporting_inf_value(math.inf)
    Logger.matplotlib_force_report_non_interactive(force=False)


@pytest.fixture
def task(home: Path) -> Iterator[FakeTask]:
    made = FakeTask(home)
    yield made
    made._session.close()


@pytest.fixture
def logger(task: FakeTask) -> Logger:
    return Logger(task)


def plot_of(event: Event) -> dict[str, Any]:
    assert isinstance(event, PlotReported)
    figure: dict[str, Any] = json.loads(event.figure)
    return figure


def test_a_scalar_is_reported_at_its_place(task: FakeTask, logger: Logger) -> None:
    logger.report_scalar("loss", "train", 0.5, 3)
    logger.report_scalar("loss", "train", iteration=4, value=0.25)
    logger.report_scalar("loss", "train", 0.125)
    (event,) = task.events()
    assert isinstance(event, ScalarsReported)
    assert (event.task, event.run, event.steps, event.values32) == (task.id, 2, [3, 1, -4], [0.5, 0.25, 0.125])


@pytest.mark.parametrize("name", NAMES)
def test_any_text_is_a_name(task: FakeTask, logger: Logger, name: str) -> None:
    logger.report_scalar(name, name, 1.0, 1)
    logger.report_single_value(name, 1.0)
    logger.report_matrix(name, name, [[1]])
    logger.report_media(name, name, stream=io.StringIO("x"), file_extension=".txt")
    logger.report_text(name, print_console=False)
    kinds = sorted(type(event).__name__ for event in task.events())
    assert kinds == ["ConsoleWritten", "MediaReported", "PlotReported", "ScalarsReported", "SingleValueReported"]


def test_nan_and_infinity_are_kept_unless_something_else_is_wanted(task: FakeTask, logger: Logger) -> None:
    logger.report_scalar("a", "s", math.nan, 0)
    logger.report_scalar("a", "s", -math.inf, 1)
    logger.report_single_value("x", math.nan)
    Logger.set_reporting_nan_value(7)
    Logger.set_reporting_inf_value(9)
    logger.report_scalar("a", "s", math.nan, 2)
    logger.report_scalar("a", "s", -math.inf, 3)
    logger.report_scalar("a", "s", 0.5, 4)
    values = [event.values32 for event in task.events() if isinstance(event, ScalarsReported)]
    assert str([*chain(*values)]) == "[nan, -inf, 7.0, -9.0, 0.5]"
    single = [event.value for event in task.events() if isinstance(event, SingleValueReported)]
    assert math.isnan(single[0])


def test_every_report_counts_from_the_initial_iteration(task: FakeTask, logger: Logger) -> None:
    task.initial = 100
    logger.report_scalar("a", "s", 1.0, 1)
    logger.report_matrix("m", "s", [[1]], 2)
    logger.report_media("f", "s", 3, url="https://example.org/a.mp3?x=1")
    scalars, plot, media = sorted(task.events(), key=lambda event: type(event).__name__, reverse=True)
    assert isinstance(scalars, ScalarsReported)
    assert isinstance(plot, PlotReported)
    assert isinstance(media, MediaReported)
    assert (scalars.steps, plot.iteration, media.iteration) == ([101], 102, 103)
    assert (media.content_type, media.kind, media.url) == ("audio/mpeg", "audio", "https://example.org/a.mp3?x=1")


def test_the_last_iteration_is_known_without_the_log(task: FakeTask, logger: Logger) -> None:
    task.initial = 100
    assert logger.last_iteration() == 0
    logger.report_scalar("a", "s", 1.0, 7)
    assert logger.last_iteration() == 7
    logger.report_matrix("m", "s", [[1]], 9)
    logger.report_scalar(":monitor:machine", "cpu", 1.0, 500)
    assert logger.last_iteration() == 9


def test_plots_have_their_figures_within_the_event(task: FakeTask, logger: Logger) -> None:
    logger.report_histogram("histogram", "s", [1, math.nan])
    logger.report_vector("vector", "s", [1])
    logger.report_table("table", "s", table_plot=[["a"], [1]])
    logger.report_line_plot("lines", [Logger.SeriesInfo("a", [[1, 2]])], "x", "y")
    logger.report_scatter2d("scatter2d", "s", [[1, 2]])
    logger.report_scatter3d("scatter3d", "s", [[1, 2, 3]])
    logger.report_confusion_matrix("confusion", "s", [[1]])
    logger.report_matrix("matrix", "s", [[1]])
    logger.report_surface("surface", "s", [[1]])
    logger.report_plotly("plotly", "s", {"data": [{"type": "bar"}], "layout": {}})
    figures = {event.title: plot_of(event) for event in task.events() if isinstance(event, PlotReported)}
    kinds = {title: figure["data"][0]["type"] for title, figure in figures.items()}
    assert kinds == {
        "histogram": "bar",
        "vector": "bar",
        "table": "table",
        "lines": "scatter",
        "scatter2d": "scatter",
        "scatter3d": "scatter3d",
        "confusion": "heatmap",
        "matrix": "heatmap",
        "surface": "surface",
        "plotly": "bar",
    }
    assert figures["histogram"]["data"][0]["y"] == [1, None]


def test_a_plot_of_50_megabytes_goes_to_the_blob_store(task: FakeTask, logger: Logger, tmp_path: Path) -> None:
    logger.report_plotly("big", "s", {"data": [{"type": "bar", "name": "x" * 50_000_000}]})
    (event,) = task.events()
    assert isinstance(event, PlotReported)
    assert event.blob is not None
    assert (event.figure, event.blob.content_type) == ("", "application/json")
    figure = json.loads(fetch_blob(event.blob, tmp_path / "plot").read_bytes())
    assert len(figure["data"][0]["name"]) == 50_000_000


def test_images_and_files_go_to_the_blob_store(task: FakeTask, logger: Logger, tmp_path: Path) -> None:
    (tmp_path / "sound.wav").write_bytes(b"RIFF")
    logger.report_image("image", "array", 1, image=np.zeros((4, 4, 3)))
    logger.report_image_and_upload("image", "matrix", 1, matrix=np.zeros((4, 4)))
    logger.report_media("sound", "s", 1, local_path=str(tmp_path / "sound.wav"), delete_after_upload=True)
    logger.report_media("page", "s", 1, stream=io.StringIO("<b>é</b>"), file_extension="html")
    logger.report_media("bytes", "s", 1, stream=io.BytesIO(b"xyz"))
    found = {(e.title, e.series): e for e in task.events() if isinstance(e, MediaReported)}
    types = {place: event.content_type for place, event in found.items()}
    assert types == {
        ("image", "array"): "image/png",
        ("image", "matrix"): "image/png",
        ("sound", "s"): "audio/x-wav",
        ("page", "s"): "text/html",
        ("bytes", "s"): "application/octet-stream",
    }
    page = found["page", "s"].blob
    assert page is not None
    assert fetch_blob(page, tmp_path / "page").read_text() == "<b>é</b>"
    assert not (tmp_path / "sound.wav").exists()


def test_files_go_where_the_default_upload_destination_says(task: FakeTask, logger: Logger, tmp_path: Path) -> None:
    assert logger.get_default_upload_destination() == task._session.settings.blobs
    logger.set_default_upload_destination(str(tmp_path / "elsewhere"))
    logger.report_image("image", "s", image=np.zeros((4, 4)))
    (event,) = task.events()
    assert isinstance(event, MediaReported)
    assert event.blob is not None
    assert path_of(event.blob.uri).is_relative_to(tmp_path / "elsewhere")


def test_matplotlib_figures_become_plots_or_pictures(task: FakeTask, logger: Logger) -> None:
    figure, axes = plt.subplots()
    axes.plot([1, 2])
    assert figure not in REPORTED
    logger.report_matplotlib_figure("interactive", "s", figure)
    assert figure in REPORTED
    logger.report_matplotlib_figure("current", "s", plt)
    logger.report_matplotlib_figure("static", "s", figure, report_interactive=False)
    logger.report_matplotlib_figure("image", "s", figure, report_image=True)
    axes.fill_between([1, 2], [1, 2])
    logger.report_matplotlib_figure("area", "s", figure)
    plt.close(figure)
    events = {event.title: event for event in task.events() if isinstance(event, (PlotReported, MediaReported))}
    assert isinstance(events["image"], MediaReported)
    assert [plot_of(events[name])["data"][0]["type"] for name in ("interactive", "current")] == ["scatter"] * 2
    pictures = [plot_of(events[name])["layout"]["images"][0]["source"] for name in ("static", "area")]
    assert all(source.startswith("data:image/png;base64,") for source in pictures)


def test_text_goes_to_the_console_here_and_there(
    task: FakeTask, logger: Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    logger.report_text("one\ntwo")
    logger.report_text("quiet", print_console=False)
    assert capsys.readouterr().out == "one\ntwo\n"
    lines = [line for event in task.events() if isinstance(event, ConsoleWritten) for line in event.lines]
    assert [(line.stream, line.text) for line in lines] == [("log", "one"), ("log", "two"), ("log", "quiet")]


def test_text_that_an_agent_hears_is_reported_by_it_alone(
    task: FakeTask, logger: Logger, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TASKTAPE_TASK_ID", task.id)
    monkeypatch.setenv("TASKTAPE_RUN", "2")
    logger.report_text("printed")
    logger.report_text("not printed", print_console=False)
    assert capsys.readouterr().out == "printed\n"
    assert [line.text for e in task.events() if isinstance(e, ConsoleWritten) for line in e.lines] == ["not printed"]


def test_logging_that_the_task_hears_anyway_is_not_heard_twice(task: FakeTask, logger: Logger) -> None:
    heard: list[str] = []
    undo = ConsoleTap(lambda _, text: heard.append(text)).listen({"logging": True, "stdout": False, "stderr": False})
    with logger.capture_logging():
        logging.getLogger("user").error("once")
    undo()
    assert len(heard) == 1
    assert task.events() == []


def test_logging_is_captured_while_it_is_asked_for(task: FakeTask, logger: Logger) -> None:
    with logger.capture_logging():
        logging.getLogger("user").error("caught %d", 1)
    logging.getLogger("user").error("not caught")
    (event,) = task.events()
    assert isinstance(event, ConsoleWritten)
    assert [line.text.rpartition(" - ")[2] for line in event.lines] == ["caught 1"]


class Hostile:
    """An object that fails whatever one asks of it."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)

    def __str__(self) -> str:
        raise RuntimeError("str")

    __repr__ = __str__

    def __float__(self) -> float:
        raise RuntimeError("float")

    def __len__(self) -> int:
        raise RuntimeError("len")

    def __hash__(self) -> int:
        raise RuntimeError("hash")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("eq")


BAD: list[Any] = [None, "text", 5, object(), Hostile(), [[1], [2, 3]], {"a": 1}, np.array("x"), b"\xff", float("nan")]


@pytest.mark.parametrize("bad", BAD, ids=range(len(BAD)))
def test_no_report_ever_raises(task: FakeTask, logger: Logger, bad: Any) -> None:
    for number in range(2):
        logger.report_scalar(bad, bad, bad, bad)
        logger.report_scalar("t", "s", 1.0, bad)
        logger.report_single_value(bad, bad)
        logger.report_text(bad, print_console=False)
        for name in (
            "histogram",
            "vector",
            "scatter2d",
            "scatter3d",
            "confusion_matrix",
            "matrix",
            "surface",
            "plotly",
        ):
            getattr(logger, f"report_{name}")(bad, bad, bad, bad)
        logger.report_line_plot(bad, bad, bad, bad)
        logger.report_table(bad, bad, table_plot=bad)
        logger.report_table("t", "s", csv=bad, url=bad)
        logger.report_image(bad, bad, bad, image=bad)
        logger.report_image("t", "s", local_path=bad)
        logger.report_media("t", "s", stream=bad, file_extension=bad)
        logger.report_media("t", "s", url=bad)
        logger.report_matplotlib_figure(bad, bad, bad)
        assert number >= 0
    assert task._session.outbox.flush()


def test_each_kind_of_trouble_is_warned_about_once(logger: Logger, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        logger.report_matrix("m", "s", [1, 2])
        logger.report_image("i", "s", local_path="/nowhere/at/all.png")
    assert len(caplog.records) == 2
    assert "report_matrix('m', 's', …) was left out" in caplog.text


def test_settings_of_clearml_are_taken(logger: Logger) -> None:
    logger.set_flush_period(3)
    assert logger.get_flush_period() == 3
    Logger.set_default_debug_sample_history(5)
    assert Logger.get_default_debug_sample_history() == 5
    Logger.tensorboard_auto_group_scalars(group_scalars=True)
    Logger.tensorboard_single_series_per_graph(single_series=True)
    assert (Logger.get_tensorboard_auto_group_scalars(), Logger.get_tensorboard_single_series_per_graph()) == (
        True,
        True,
    )
    Logger.tensorboard_auto_group_scalars()
    Logger.tensorboard_single_series_per_graph()
    assert logger.flush(wait=True)
