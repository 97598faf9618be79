"""Errors that users may want to catch, under the path that scripts written for ClearML import them from."""

from .events.errors import LogUnavailableError, NotAllowedError, SettingsError, TasktapeError
from .producers.errors import (
    InvalidArgumentError,
    InvalidTransitionError,
    UnknownQueueError,
    UnknownTaskError,
    UsageError,
)

__all__ = [
    "InvalidArgumentError",
    "InvalidTransitionError",
    "LogUnavailableError",
    "NotAllowedError",
    "SettingsError",
    "TasktapeError",
    "UnknownQueueError",
    "UnknownTaskError",
    "UsageError",
]
