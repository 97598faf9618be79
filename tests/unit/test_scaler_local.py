"""Agents of this machine as machines: one process per order, whenever the scaler that starts it dies."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tasktape.events.base import new_task_id
from tasktape.events.instance_events import Placement
from tasktape.scaler import local
from tasktape.scaler.local import INSTANCE, KEPT_SECONDS, LocalProvider
from tasktape.scaler.provider import Launched, Order, Refused
from tasktape.scaler.settings import Resource

Until = Callable[[Callable[[], Any]], Any]


class Sleepers(LocalProvider):
    """Starts what sleeps instead of agents."""

    started: list[subprocess.Popen[bytes]]

    def _start(self, order: Order) -> subprocess.Popen[bytes]:
        environment = os.environ | {INSTANCE: order.instance}
        self.started.append(subprocess.Popen(["sleep", "600"], env=environment, start_new_session=True))
        return self.started[-1]


class Dies(BaseException):
    """The scaler is killed."""


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Sleepers]]:
    """Makes a scaler's provider, the same one's again each time."""
    monkeypatch.setattr(Sleepers, "started", [], raising=False)
    yield lambda: Sleepers(tmp_path / "scaler", 1.0)
    for process in Sleepers.started:
        process.kill()
        process.wait()


@pytest.fixture
def order() -> Order:
    return Order(new_task_id(), "box", Resource(slots=2), Placement(zone="here"), ["q"])


def launched(provider: LocalProvider, order: Order) -> str:
    (outcome,) = provider.launch([order])
    assert isinstance(outcome, Launched)
    return outcome.machine


def test_the_same_order_twice_makes_one_machine(made: Callable[[], Sleepers], order: Order) -> None:
    machine = launched(made(), order)
    assert launched(made(), order) == machine
    assert len(Sleepers.started) == 1
    (seen,) = made().describe()
    assert (seen.machine, seen.instance, seen.resource, seen.status) == (machine, order.instance, "box", "running")
    assert (seen.queues, seen.placement, seen.slots) == (["q"], Placement(zone="here"), 2)


def test_a_scaler_that_dies_as_it_starts_a_process_makes_no_second_one(
    made: Callable[[], Sleepers], order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(_: object) -> str:
        raise Dies

    with monkeypatch.context() as patch:
        patch.setattr(local, "_name", dies)
        with pytest.raises(Dies):
            made().launch([order])
    (process,) = Sleepers.started
    (seen,) = made().describe()
    assert seen.machine.startswith(f"{process.pid}@")
    assert launched(made(), order) == seen.machine
    assert len(Sleepers.started) == 1


def test_a_scaler_that_dies_before_it_starts_a_process_has_it_started_by_the_next(
    made: Callable[[], Sleepers], order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*_: object) -> subprocess.Popen[bytes]:
        raise Dies

    with monkeypatch.context() as patch:
        patch.setattr(Sleepers, "_start", dies)
        with pytest.raises(Dies):
            made().launch([order])
    assert made().describe() == []
    assert launched(made(), order)
    assert len(Sleepers.started) == 1


def test_a_process_that_can_not_be_started_is_refused(
    made: Callable[[], Sleepers], order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> subprocess.Popen[bytes]:
        raise OSError("no memory")

    monkeypatch.setattr(Sleepers, "_start", fails)
    assert made().launch([order]) == [Refused(order.instance, "provider", "no memory")]


def test_what_was_ended_is_gone_and_forgotten_after_a_while(
    made: Callable[[], Sleepers], order: Order, tmp_path: Path, until: Until
) -> None:
    provider = made()
    machine = launched(provider, order)
    provider.terminate([machine, "1@0.00"])
    until(lambda: [seen.status for seen in provider.describe()] == ["gone"])
    provider.launch([])
    (note,) = (tmp_path / "scaler").glob("*.json")
    long_ago = note.stat().st_mtime - KEPT_SECONDS - 1
    os.utime(note, (long_ago, long_ago))
    provider.launch([])
    assert provider.describe() == []
    assert list((tmp_path / "scaler").iterdir()) == []
