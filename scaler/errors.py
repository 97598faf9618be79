"""Errors of the scaler."""

from ..events.errors import TasktapeError


class ProviderError(TasktapeError):
    """A provider of machines did not do what it was asked for."""

    def __init__(self, provider: str, action: str, reason: str) -> None:
        super().__init__(f"{provider} could not {action}: {reason}")
        self.provider = provider
        self.action = action
        self.reason = reason
