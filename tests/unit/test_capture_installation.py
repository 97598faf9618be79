"""The parts of capture begin together, each by its own switch, and leave nothing behind."""

from __future__ import annotations

import argparse
import io
import logging
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import joblib
import pytest

from tasktape.producers.capture import install, join
from tasktape.producers.capture.argument_watch import watch
from tasktape.producers.capture.model_files import ModelFiles


class Task:
    """Stands in for a task: what the parts ask of one, and what they tell it."""

    id, run, name, output_uri = "1", 1, "name", None

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []
        console = SimpleNamespace(write=lambda stream, text: self.lines.append((stream, text)))
        outbox = SimpleNamespace(console=lambda _task, _run: console, last_step=lambda _task: 0)
        self._session = SimpleNamespace(outbox=outbox, settings=SimpleNamespace(output_uri=""))
        self.parameters: dict[str, Any] = {}
        self.endings: list[Any] = []

    def end(self, ending: Any) -> None:
        self.endings.append(ending)

    def update_parameters(self, values: dict[str, Any]) -> None:
        self.parameters |= values

    def get_logger(self) -> Task:
        return self

    def report_scalar(self, *_: Any) -> None:
        """Take no notice."""

    def get_initial_iteration(self) -> int:
        return 0


def connections(**switches: Any) -> Any:
    given = {"arguments": True, "frameworks": True, "monitoring": True, "streams": True} | switches
    return SimpleNamespace(**given)


WRAPPED: dict[str, Callable[[], bool]] = {
    "streams": lambda: "write" in vars(sys.stdout),
    "logging": lambda: logging.Logger.callHandlers.__name__ == "call_handlers",
    "arguments": lambda: hasattr(argparse.ArgumentParser.parse_known_args, "__wrapped__"),
    "frameworks": lambda: hasattr(joblib.dump, "__wrapped__"),
    "exit": lambda: hasattr(sys.exit, "__wrapped__"),
}


def wrapped() -> set[str]:
    return {what for what, is_wrapped in WRAPPED.items() if is_wrapped()}


@pytest.fixture(autouse=True)
def unwatched(monkeypatch: pytest.MonkeyPatch) -> None:
    """The watch that begins with the import of `Task` is over, and no task runs around the tests."""
    watch.stop()
    for name in ("TASKTAPE_TASK_ID", "TASKTAPE_PROC_TASK", "TASKTAPE_LOG_ENVIRONMENT"):
        monkeypatch.delenv(name, raising=False)


def undo(begun: list[Any]) -> None:
    for part in reversed(begun):
        part()


def test_all_parts_begin_and_leave_nothing_behind() -> None:
    hooks = list(sys.meta_path)
    begun = install(Task(), connections())  # type: ignore[arg-type]
    try:
        assert wrapped() == set(WRAPPED)
    finally:
        undo(begun)
    assert wrapped() == set()
    assert sys.meta_path == hooks


@pytest.mark.parametrize(
    ("switches", "off"),
    [
        ({"streams": False}, {"streams", "logging"}),
        ({"streams": {"logging": False}}, {"logging"}),
        ({"frameworks": {}}, {"frameworks"}),
        ({"frameworks": False}, {"frameworks"}),
    ],
)
def test_parts_have_switches(switches: dict[str, Any], off: set[str]) -> None:
    begun = install(Task(), connections(**switches))  # type: ignore[arg-type]
    try:
        assert wrapped() == set(WRAPPED) - off
    finally:
        undo(begun)


def test_frameworks_that_are_switched_off_report_nothing(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    saved: list[Any] = []
    monkeypatch.setattr(ModelFiles, "saved", lambda _files, _path, _framework, chosen: saved.append(chosen))
    for frameworks in (True, False, {}, {"joblib": False}, {"joblib": "*.pkl"}, {"matplotlib": True}):
        begun = install(Task(), connections(frameworks=frameworks))  # type: ignore[arg-type]
        try:
            joblib.dump({}, tmp_path / "model")
        finally:
            undo(begun)
    assert saved == [True, "*.pkl", True]


def test_a_part_that_cannot_begin_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    task = Task()
    monkeypatch.setattr(Task, "get_logger", lambda _self: 1 / 0)
    begun = install(task, connections())  # type: ignore[arg-type]
    try:
        assert wrapped() == set(WRAPPED)
    finally:
        undo(begun)


def test_a_process_that_joins_a_run_has_a_console_and_frameworks_but_does_not_end_it() -> None:
    task = Task()
    begun = join(task)  # type: ignore[arg-type]
    try:
        print("from the child")  # noqa: T201
        assert wrapped() == {"streams", "logging", "frameworks"}
    finally:
        undo(begun)
    assert task.lines == [("stdout", "from the child"), ("stdout", "\n")]


def test_under_an_agent_only_records_it_cannot_hear_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKTAPE_TASK_ID", "1")
    task, logger = Task(), logging.getLogger("unheard")
    logger.propagate = False
    logger.addHandler(logging.StreamHandler(io.StringIO()))
    begun = join(task)  # type: ignore[arg-type]
    try:
        print("the agent has this")  # noqa: T201
        logger.warning("nobody has this")
    finally:
        undo(begun)
    ((stream, text),) = task.lines
    assert (stream, text.endswith("nobody has this\n")) == ("log", True)
