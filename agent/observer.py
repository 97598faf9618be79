"""Who looks on while an agent works: told what becomes of each run, asked what its program is to know.

The agent itself decides nothing by it. Metrics and traces are observers, made only where somebody wants them, so that
the agent needs none of the libraries behind them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Final, Literal

from ..projections.retries import Outcome
from .claiming import Pursuit
from .run_control import RunControl

Work = Literal["checkout", "environment"]


class Observer:
    """Sees nothing unless it overrides a method. None may raise or wait: most are called in the agent's one thread."""

    def claiming(self, pursuit: Pursuit) -> None:
        """A claim goes to the log; another worker's may be there first."""

    def claimed(self, pursuit: Pursuit) -> None:
        """The claim is valid."""

    def dropped(self, pursuit: Pursuit) -> None:
        """The run is somebody else's after all, or goes back."""

    def launching(self, control: RunControl) -> None:
        """User code is about to start."""

    def exited(self, control: RunControl) -> None:
        """The program has ended, or could not be started."""

    def closing(self, control: RunControl) -> None:
        """What the run has said, and how it ended, goes to the log."""

    def ended(self, control: RunControl, outcome: Outcome) -> None:
        """The log says how the run ended."""

    def doing(self, attempt: str, work: Work) -> AbstractContextManager[None]:  # noqa: ARG002  for those who override it
        """Return what surrounds a part of a run's preparation, in a thread of its own."""
        return nullcontext()

    def variables(self, attempt: str) -> Mapping[str, str]:  # noqa: ARG002  for those who override it
        """Return variables of the environment for a run's program. `launching` comes first."""
        return {}


NOBODY: Final = Observer()


@dataclass(frozen=True)
class Everybody(Observer):
    """Several observers as one."""

    observers: Sequence[Observer]

    def claiming(self, pursuit: Pursuit) -> None:
        """Tell all."""
        for observer in self.observers:
            observer.claiming(pursuit)

    def claimed(self, pursuit: Pursuit) -> None:
        """Tell all."""
        for observer in self.observers:
            observer.claimed(pursuit)

    def dropped(self, pursuit: Pursuit) -> None:
        """Tell all."""
        for observer in self.observers:
            observer.dropped(pursuit)

    def launching(self, control: RunControl) -> None:
        """Tell all."""
        for observer in self.observers:
            observer.launching(control)

    def exited(self, control: RunControl) -> None:
        """Tell all."""
        for observer in self.observers:
            observer.exited(control)

    def closing(self, control: RunControl) -> None:
        """Tell all."""
        for observer in self.observers:
            observer.closing(control)

    def ended(self, control: RunControl, outcome: Outcome) -> None:
        """Tell all."""
        for observer in self.observers:
            observer.ended(control, outcome)

    @contextmanager
    def doing(self, attempt: str, work: Work) -> Iterator[None]:
        """Surround it by what all return."""
        with ExitStack() as stack:
            for observer in self.observers:
                stack.enter_context(observer.doing(attempt, work))
            yield

    def variables(self, attempt: str) -> Mapping[str, str]:
        """Return those of all."""
        return {name: value for observer in self.observers for name, value in observer.variables(attempt).items()}
