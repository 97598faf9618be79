"""Errors of the projections."""

from ..events.errors import TasktapeError


class QueryError(TasktapeError):
    """A question can't be answered as it was put."""


class ProjectionLockedError(TasktapeError):
    """Another process holds the projection's database."""

    def __init__(self, path: str) -> None:
        super().__init__(f"{path} is held by another process. Try again, or ask that process.")
        self.path = path


class ProjectionWriteError(TasktapeError):
    """The projection's database can't be written."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"the projection's database {path} can't be written: {reason}")
        self.path = path
        self.reason = reason


class ProjectionBehindError(TasktapeError):
    """The projection did not reach a position of the log in time."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the projection did not catch up with the log within {seconds:g} s. Try again.")
        self.seconds = seconds


class ProjectionUnavailableError(TasktapeError):
    """The server that holds the projection does not answer."""

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(f"the projection at {address} does not answer: {reason}. Check TASKTAPE_PROJECTION.")
        self.address = address
        self.reason = reason
