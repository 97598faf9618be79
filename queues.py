"""Queues and what waits in them, for scripts: `from tasktape import queues`."""

from .producers.queues import (
    Cleared,
    clear_queue,
    create_queue,
    delete_queue,
    move_entry,
    pause_queue,
    resume_queue,
)

__all__ = [
    "Cleared",
    "clear_queue",
    "create_queue",
    "delete_queue",
    "move_entry",
    "pause_queue",
    "resume_queue",
]
