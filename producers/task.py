"""`Task`: a script's run and everything about it, with ClearML's names. Its parts are in the modules `task_*`."""

from __future__ import annotations

from .task_offline import OfflineMixin
from .types import TaskStatusEnum, TaskTypes


class Task(OfflineMixin):
    """A task: `init` makes this process one, `get_task` and its like find others, `create` and `clone` make drafts."""

    TaskTypes = TaskTypes
    TaskStatusEnum = TaskStatusEnum
