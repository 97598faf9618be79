"""What is wrong with a pipeline, told before anything of it runs; each error is also ClearML's kind, a `ValueError`."""

from __future__ import annotations

from collections.abc import Sequence

from ...events.errors import TasktapeError


class PipelineError(TasktapeError, ValueError):
    """A pipeline that can't run as it was defined. `step` is the one that is wrong, if it is one."""

    def __init__(self, message: str, step: str = "") -> None:
        super().__init__(f"step {step!r}: {message}" if step else message)
        self.step = step


class CycleError(PipelineError):
    """Steps that wait for each other, in the order in which they do."""

    def __init__(self, steps: Sequence[str]) -> None:
        way = " → ".join([*steps, steps[0]])
        super().__init__(f"the steps wait for each other: {way}. Take one of these parents away.")
        self.steps = tuple(steps)


class BadReferenceError(PipelineError):
    """A `${…}` that names nothing."""

    def __init__(self, step: str, reference: str, reason: str) -> None:
        super().__init__(f"{reference} can't be resolved: {reason}.", step)
        self.reference = reference


class StepFailedError(PipelineError):
    """The result of a step was asked for, and the step has none."""

    def __init__(self, step: str, status: str, child: str, message: str) -> None:
        about = f" (task {child})" if child else ""
        verb = f"was {status}" if status in {"aborted", "skipped"} else status
        super().__init__(f"it has no result, for it {verb}{about}{': ' + message if message else '.'}", step)
        self.status = status
        self.child = child
