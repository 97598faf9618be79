"""The runs this worker holds: carries out what claiming decides, starts and stops user code, sees each run to its end.

Pure: `Machine` is its only way to act. A run is held, and named by heartbeats, until the log says how it ended and the
next run, where one is due, is in its queue.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf
from typing import Final, Protocol

from ..events.limit_events import PermitReleased
from ..events.queue_events import EntryClaimed
from ..projections.retries import Outcome
from .appends import Appends
from .claiming import Begin, Claiming, Command, Drop, GiveBack, Prepare, Pursuit, Say
from .devices import Devices
from .observer import NOBODY, Observer
from .retry import successor
from .run_control import PREEMPTED, FinalEvent, Phase, RunControl, Stop, Trouble
from .view import View

LOGGER = logging.getLogger(__name__)
ABORT_GRACE: Final = 10.0
LAST_GRACE: Final = 2.0


class Machine(Protocol):
    """What this machine does for runs, each named by its attempt. Nothing here waits, except `launch` for a moment."""

    def prepare(self, pursuit: Pursuit) -> None:
        """Build the environment and lay out the code; `prepared` tells the end."""

    def launch(self, attempt: str) -> Trouble | None:
        """Start user code; `exited` tells its end. Returns why it can't be started."""

    def stop(self, attempt: str, *, patient: bool, grace: float) -> None:
        """End the program: SIGTERM, and SIGKILL after `grace` seconds; patiently, after its own abort callback."""

    def finish(self, attempt: str, event: FinalEvent | None) -> None:
        """Deliver all the run has said, then say how it ended, then clean up; `finished` tells when that is done."""


@dataclass(slots=True)
class Runs:
    """All runs of one worker. `grace` is how long a program may take to end when this worker has lost its lease."""

    claiming: Claiming
    view: View
    appends: Appends
    machine: Machine
    lease_holds: Callable[[], bool]
    grace: float
    leaving: str = ""
    controls: dict[str, RunControl] = field(default_factory=dict)
    devices: Devices = field(default_factory=Devices)
    observer: Observer = NOBODY

    def obey(self, command: Command) -> None:
        """Carry out what claiming has decided."""
        match command:
            case Say(event):
                self.appends.owe(event, "read")
                if isinstance(event, EntryClaimed):
                    self.observer.claiming(self.claiming.pursuits[event.entry])
            case GiveBack(pursuit, reason):
                self._give_back(pursuit, reason)
            case Prepare(pursuit):
                LOGGER.info("claimed %s", pursuit.id, extra={"action": "claim", **_ids(pursuit)})
                self.controls[pursuit.attempt] = RunControl(pursuit)
                pursuit.gpus = self.devices.take(pursuit.attempt, pursuit.hardware.gpus)
                self.observer.claimed(pursuit)
                self.machine.prepare(pursuit)
            case Begin(pursuit):
                self.controls[pursuit.attempt].begun = True
            case Drop(pursuit, reason):
                self._drop(pursuit, reason)

    def step(self, now: float) -> None:
        """Do all that can be done now."""
        for control in list(self.controls.values()):
            self._step(control, now)

    def next_due(self) -> float:
        """Moment at which to call `step` even if nothing changes."""
        return min((control.deadline for control in self.controls.values() if control.stop is None), default=inf)

    def prepared(self, attempt: str, trouble: Trouble | None) -> None:
        """A run's environment and code are there, or can't be had."""
        if (control := self.controls.get(attempt)) is not None:
            control.prepared(trouble)

    def exited(self, attempt: str, code: int, circumstance: str) -> None:
        """A run's program has ended."""
        control = self.controls[attempt]
        control.exited(code, circumstance)
        self.observer.exited(control)
        ids = _ids(control.pursuit)
        LOGGER.info("%s ended: %s", ids["entry"], code, extra={"action": "exit", **ids, "exit_code": code})

    def finished(self, attempt: str) -> None:
        """All of a run has been said and cleaned up."""
        if (control := self.controls.get(attempt)) is not None:
            control.phase = Phase.CLOSED

    def stop_all(self) -> None:
        """End all programs now: the runs go back to their queues."""
        for control in self.controls.values():
            self._request(control, Stop(PREEMPTED, self.leaving), grace=LAST_GRACE)

    def _drop(self, pursuit: Pursuit, reason: str) -> None:
        LOGGER.info("dropped %s: %s", pursuit.id, reason, extra={"action": "drop", **_ids(pursuit), "reason": reason})
        self._give_back(pursuit, reason)
        self.observer.dropped(pursuit)
        if self.controls.pop(pursuit.attempt, None) is not None:
            self.machine.finish(pursuit.attempt, None)

    def _give_back(self, pursuit: Pursuit, reason: str) -> None:
        """Let others have what the run had to itself: its devices, and its permit where it needed one."""
        self.devices.give_back(pursuit.attempt)
        if pursuit.permit:
            entry = pursuit.entry
            event = PermitReleased(
                meta=pursuit.stamp(),
                task=entry.task,
                run=entry.run,
                worker=self.claiming.worker,
                permit=pursuit.permit,
                reason=reason,
            )
            self.appends.owe(event, "delivered")

    def _step(self, control: RunControl, now: float) -> None:
        outcome = self.view.tasks.outcome(control.task, control.run)
        self._heed(control, outcome)
        self._heed_time(control, now)
        if control.may_launch and outcome is None:
            self._launch(control, now)
        if control.is_over_here:
            control.phase = Phase.CLOSING
            self.observer.closing(control)
            self.machine.finish(control.pursuit.attempt, control.final_event() if outcome is None else None)
        if control.phase is Phase.CLOSED and outcome is not None:
            self._see_to_next(control, outcome, now)

    def _heed(self, control: RunControl, outcome: Outcome | None) -> None:
        """Take note of what stands against the run, the strongest reason first."""
        if outcome is not None and control.begun and outcome.kind in {"lost", "superseded", "stopped"}:
            self._request(control, Stop("over"), grace=self.grace)
        if control.pursuit.fenced:
            message = "this worker's heartbeats were not acknowledged in time"
            self._request(control, Stop("cut off", message), grace=self.grace)
        reason = self.view.abort_reason(control.task, control.run)
        if reason is not None:
            self._request(control, Stop("aborted", reason), patient=True, grace=ABORT_GRACE)
        if self.leaving and control.phase in {Phase.PREPARING, Phase.READY}:
            self._request(control, Stop(PREEMPTED, self.leaving), grace=LAST_GRACE)

    def _heed_time(self, control: RunControl, now: float) -> None:
        if now >= control.deadline:
            message = f"it ran for more than {control.pursuit.request.spec.time_limit:g} s"
            self._request(control, Stop("time limit", message), patient=True, grace=ABORT_GRACE)

    def _request(self, control: RunControl, stop: Stop, *, grace: float, patient: bool = False) -> None:
        """Stop a run; one that is being stopped patiently is stopped at once where the new reason is less patient."""
        news = control.request_stop(stop)
        if not news and (patient or not control.patient):
            return
        control.patient = patient
        ids = _ids(control.pursuit)
        LOGGER.info("stopping %s: %s", ids["entry"], stop.kind, extra={"action": "stop", **ids, "reason": stop.kind})
        if control.phase is Phase.RUNNING:
            self.machine.stop(control.pursuit.attempt, patient=patient, grace=grace)

    def _launch(self, control: RunControl, now: float) -> None:
        """Start user code, after the last look at the lease: what was decided a moment ago may be stale by now."""
        if not self.lease_holds():
            control.pursuit.fenced = True
            return
        LOGGER.info("starting %s", control.pursuit.id, extra={"action": "start", **_ids(control.pursuit)})
        control.launched(now)
        self.observer.launching(control)
        if (trouble := self.machine.launch(control.pursuit.attempt)) is not None:
            control.trouble, control.phase = trouble, Phase.READY
            self.observer.exited(control)

    def _see_to_next(self, control: RunControl, outcome: Outcome, now: float) -> None:
        """Enqueue the next run where one is due; then the run is no longer this worker's."""
        pursuit = control.pursuit
        if control.next is None:
            log_us, entry = self.view.log_us(now), pursuit.entry
            event = successor(pursuit.request, entry.rank, outcome, pursuit.stamp, log_us, priority=entry.priority)
            control.next = self.appends.owe(event, "delivered") if event is not None else ""
            ids = {**_ids(pursuit), "outcome": outcome.kind, "cause": outcome.cause}
            LOGGER.info("%s is over: %s", pursuit.id, outcome.kind, extra={"action": "end", **ids})
            self.observer.ended(control, outcome)
        if not self.appends.is_open(control.next):
            del self.controls[pursuit.attempt]
            self._give_back(pursuit, "the run is over")
            self.claiming.release(pursuit.id)


def _ids(pursuit: Pursuit) -> dict[str, str | int]:
    """What a log line about a run names as keys."""
    entry = pursuit.entry
    return {"entry": entry.id, "task": entry.task, "run": entry.run, "queue": pursuit.queue}
