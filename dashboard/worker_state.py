"""Whether a worker is busy, idle, leaving, silent or gone, or a scaler silent, by what it last said; pure."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from ..events.instance_events import SIGN_OF_LIFE
from ..projections.instance_rows import ScalerRow
from ..projections.work_rows import WorkerRow

SILENT_INTERVALS: Final = 3
"""Heartbeat intervals of silence after which a worker counts as lost, as its peers see it, and so does a scaler."""

WorkerState = Literal["busy", "idle", "draining", "silent", "stopped"]


def held_runs(worker: WorkerRow) -> list[dict[str, Any]]:
    """The runs a worker holds, as its heartbeat named them: task, run, queue, entry and place."""
    runs: list[dict[str, Any]] = json.loads(worker.runs or "[]")
    return runs


def worker_state(worker: WorkerRow, now: datetime) -> WorkerState:
    """State of a worker at `now`, by this machine's clock: for people; agents use clocks that can be trusted."""
    if worker.stopped_at:
        return "stopped"
    if now - worker.seen_at > timedelta(seconds=SILENT_INTERVALS * worker.interval):
        return "silent"
    if worker.draining:
        return "draining"
    return "busy" if held_runs(worker) else "idle"


def is_silent(scaler: ScalerRow, now: datetime) -> bool:
    """Whether nothing has been heard of a scaler for so long that none seems to run."""
    heard_at = scaler.decided_at or scaler.led_since
    return heard_at is not None and now - heard_at > timedelta(seconds=SILENT_INTERVALS * SIGN_OF_LIFE)
