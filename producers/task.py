"""`Task`: a script's run and everything about it, with ClearML's names. Its parts are in the modules `task_*`."""

from __future__ import annotations

from .capture.argument_watch import watch
from .logger import Logger
from .task_deletion import DeletionMixin
from .types import TaskStatusEnum, TaskTypes
from .warn import warn_once

watch.start()  # a script may read its arguments before it calls Task.init


class Task(DeletionMixin):
    """A task: `init` makes this process one, `get_task` and its like find others, `create` and `clone` make drafts."""

    TaskTypes = TaskTypes
    TaskStatusEnum = TaskStatusEnum

    def get_logger(self) -> Logger:
        """Return the object through which to report for this task."""
        if self._logger is None:
            self._logger = Logger(self)
        return self._logger

    @property
    def logger(self) -> Logger:
        """The same as `get_logger()`."""
        return self.get_logger()

    @classmethod
    def set_credentials(
        cls,
        api_host: str | None = None,
        web_host: str | None = None,
        files_host: str | None = None,
        key: str | None = None,
        secret: str | None = None,
        store_conf_file: bool = False,
    ) -> None:
        """Accepted, with a warning: there is no server to log in to; TASKTAPE_LOG says where events go."""
        del api_host, web_host, files_host, key, secret, store_conf_file
        warn_once("credentials", "Task.set_credentials does nothing: set TASKTAPE_LOG, or run `tasktape init`.")
