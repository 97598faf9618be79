"""Errors that users may want to catch, under the path that scripts written for ClearML import them from."""

from .events.errors import LogUnavailableError, NotAllowedError, SettingsError, TasktapeError
from .producers.errors import (
    InvalidArgumentError,
    InvalidTransitionError,
    NotEnqueuedError,
    QueueExistsError,
    QueueNotEmptyError,
    TooLateError,
    UnknownQueueError,
    UnknownTaskError,
    UsageError,
)

__all__ = [
    "InvalidArgumentError",
    "InvalidTransitionError",
    "LogUnavailableError",
    "NotAllowedError",
    "NotEnqueuedError",
    "QueueExistsError",
    "QueueNotEmptyError",
    "SettingsError",
    "TasktapeError",
    "TooLateError",
    "UnknownQueueError",
    "UnknownTaskError",
    "UsageError",
]
