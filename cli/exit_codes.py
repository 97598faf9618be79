"""The exit codes of `tasktape`, for scripts that act on them."""

from __future__ import annotations

from typing import Final

from ..events.errors import AppendError, LogUnavailableError, NotAllowedError, SettingsError, TasktapeError
from ..producers.errors import (
    InvalidArgumentError,
    InvalidTransitionError,
    NotEnqueuedError,
    QueueExistsError,
    QueueNotEmptyError,
    TooLateError,
    UnknownQueueError,
    UnknownTaskError,
)
from .errors import NotFoundError, RefusedError

OK: Final = 0
FAILURE: Final = 1
USAGE: Final = 2
NOT_FOUND: Final = 3
LOG_UNAVAILABLE: Final = 4
SETTINGS: Final = 5
REFUSED: Final = 6
NOT_ALLOWED: Final = 7
INTERRUPTED: Final = 130

MEANINGS: Final[dict[int, str]] = {
    OK: "done",
    FAILURE: "something went wrong; the message says what",
    USAGE: "the command line can't be understood",
    NOT_FOUND: "no such task, queue or column",
    LOG_UNAVAILABLE: "the log does not answer",
    SETTINGS: "a setting is missing or can't be understood",
    REFUSED: "the task's or queue's state does not allow it",
    NOT_ALLOWED: "the log's access rules do not allow it",
    INTERRUPTED: "interrupted with Ctrl-C",
}

_BY_ERROR: Final[tuple[tuple[type[TasktapeError], int], ...]] = (
    (NotFoundError, NOT_FOUND),
    (UnknownTaskError, NOT_FOUND),
    (UnknownQueueError, NOT_FOUND),
    (RefusedError, REFUSED),
    (InvalidArgumentError, USAGE),
    (InvalidTransitionError, REFUSED),
    (NotEnqueuedError, REFUSED),
    (TooLateError, REFUSED),
    (QueueExistsError, REFUSED),
    (QueueNotEmptyError, REFUSED),
    (NotAllowedError, NOT_ALLOWED),
    (LogUnavailableError, LOG_UNAVAILABLE),
    (AppendError, LOG_UNAVAILABLE),
    (SettingsError, SETTINGS),
)


def exit_code_of(error: TasktapeError) -> int:
    """Exit code for an error; the first kind in the table that fits."""
    return next((code for kind, code in _BY_ERROR if isinstance(error, kind)), FAILURE)
