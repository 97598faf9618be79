"""What a scaler says of itself: each decision and outcome once, with the action that machines look for."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from tasktape.events import instance_events as said
from tasktape.events.base import Event, Stamper
from tasktape.scaler.telling import Teller

STAMP = Stamper("scaler/s/me@here")
KIND = {"provider": "aws", "resource": "gpu", "queues": ["q"], "placement": {"instance_type": "g5", "zone": "a"}}
HISTORY: tuple[tuple[str, type[Event], dict[str, Any]], ...] = (
    ("lead", said.ScalerLeads, {}),
    ("request_machine", said.InstanceRequested, {**KIND, "reason": "3 waiting in q"}),
    ("machine_launched", said.InstanceLaunched, {"machine": "i-1"}),
    ("machine_ready", said.InstanceReady, {"worker": "w"}),
    ("drain_machine", said.InstanceDraining, {"reason": "nothing to do"}),
    ("end_machine", said.InstanceTerminating, {"reason": "its agent has left"}),
    ("machine_gone", said.InstanceTerminated, {"reason": "it was ended"}),
    ("machine_failed", said.InstanceFailed, {"kind": "capacity", "message": "none in a"}),
    ("adopt_machine", said.InstanceAdopted, {**KIND, "machine": "i-2"}),
)


def event(made: type[Event], scaler: str = "s", /, **fields: Any) -> Event:
    about = {"instance": "i"} if issubclass(made, said.InstanceEvent) else {}
    return made.model_validate({"meta": STAMP(), "scaler": scaler, **about, **fields})


def decided(held_back_by: str, missing: int = 2) -> Event:
    need = {"queue": "q", "waiting": 3, "missing": missing, "held_back_by": held_back_by}
    return event(said.ScalingDecided, needs=[need])


def actions(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [vars(record)["action"] for record in caplog.records]


@pytest.fixture(autouse=True)
def _heard(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


def test_a_leader_tells_of_each_decision_and_outcome(caplog: pytest.LogCaptureFixture) -> None:
    Teller("s").tell([event(kind, **fields) for _, kind, fields in HISTORY], leads=True)
    assert actions(caplog) == [action for action, _, _ in HISTORY]
    assert "asks for a machine of gpu (g5, a): 3 waiting in q" in caplog.messages
    assert [record.levelname for record in caplog.records if record.levelno > logging.INFO] == ["WARNING"]


def test_who_waits_tells_only_who_leads(caplog: pytest.LogCaptureFixture) -> None:
    Teller("s").tell([event(kind, **fields) for _, kind, fields in HISTORY], leads=False)
    assert (actions(caplog), caplog.messages) == (["wait_to_lead"], ["scaler/s/me@here leads the scaler s: waits"])


def test_others_are_not_told_of(caplog: pytest.LogCaptureFixture) -> None:
    Teller("s").tell([None, *(event(kind, "t", **fields) for _, kind, fields in HISTORY)], leads=True)
    assert caplog.messages == []


def test_what_holds_a_queue_back_is_told_when_it_changes(caplog: pytest.LogCaptureFixture) -> None:
    teller = Teller("s")
    for reason, missing in (("", 0), ("its maximum", 2), ("its maximum", 1), ("", 0), ("the budget", 1)):
        teller.tell([decided(reason, missing)], leads=True)
    assert caplog.messages == ["q: 2 more could run; its maximum", "q: 1 more could run; the budget"]
    assert actions(caplog) == ["held_back"] * 2
