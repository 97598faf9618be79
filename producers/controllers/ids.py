"""Ids of the tasks that controllers make: the same whoever asks, so that one that died makes no second task."""

from __future__ import annotations

import hashlib


def child_id(controller: str, generation: int, name: str) -> str:
    """Id of the task that a controller runs under a name; another one in each generation."""
    return hashlib.sha256(f"{controller}/{generation}/{name}".encode()).hexdigest()[:32]
