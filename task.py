"""`Task` under the path that scripts written for ClearML import it from."""

from .producers.task import Task
from .producers.types import TaskTypes

__all__ = ["Task", "TaskTypes"]
