"""The consumer groups tasktape uses: for ownership and committed positions alone, records are read without groups."""

from __future__ import annotations

from typing import Final

AGENTS_PREFIX: Final = "tasktape.agent."
SCALERS_PREFIX: Final = "tasktape.scaler."


def agents_group(queue: str) -> str:
    """Group of the agents of a queue: standard tools and autoscalers see the queue's lag there."""
    return AGENTS_PREFIX + queue


def scaler_group(name: str) -> str:
    """Group of the processes that would lead a scaler: one of them owns the one partition of its topic."""
    return SCALERS_PREFIX + name
