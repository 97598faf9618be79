"""Working without a log: `Task.set_offline`, and a session's way to the log afterwards."""

from __future__ import annotations

from pathlib import Path

from . import lineage
from .ending import Ending
from .errors import UsageError
from .session import change_session, current_session, process
from .task_init import InitMixin
from .warn import LOGGER


class OfflineMixin(InitMixin):
    """An offline session is a folder; each `Task.init` begins one of its own."""

    @classmethod
    def set_offline(cls, offline_mode: bool = False) -> None:
        """Keep everything in a folder from the next `Task.init` on, or go back to the log.

        Raises:
            UsageError: A task runs in this process: close it first.

        """
        if lineage.runs_remotely() or bool(offline_mode) == cls.is_offline():
            return
        if process.task is not None:
            raise UsageError(f"task {process.task.id} runs in this process: call task.close() first.")
        process.is_offline = bool(offline_mode)
        change_session(None)

    @classmethod
    def is_offline(cls) -> bool:
        """Return whether tasks go to folders of their own."""
        return lineage.wants_offline() if process.is_offline is None else process.is_offline

    def get_offline_mode_folder(self) -> Path | None:
        """Return the folder of this task's offline session; None where it has none."""
        return self._offline_folder

    def end(self, ending: Ending) -> None:
        """End the run; an offline session is then zipped beside its folder."""
        was_here = self.is_main_task()
        super().end(ending)
        if was_here and self._offline_folder is not None:
            from .offline import zipped  # noqa: PLC0415  only for those who work offline

            change_session(None)
            LOGGER.warning(
                "this offline session is in %s", zipped(self._offline_folder), extra={"action": "offline_session"}
            )

    @classmethod
    def import_offline_session(
        cls, session_folder_zip: str | Path, previous_task_id: str | None = None, iteration_offset: int | None = 0
    ) -> str:
        """Bring an offline session to the log.

        Args:
            session_folder_zip: The session's folder, or its zip file.
            previous_task_id: A task that the session goes on with, as another run of it.
            iteration_offset: Then added to the session's iterations.

        Returns:
            Id of the task: the session's own, or `previous_task_id`.

        Raises:
            InvalidArgumentError: There is no offline session there; also a `ValueError`.
            UnknownTaskError: There is no such previous task; also a `ValueError`.

        """
        from . import offline  # noqa: PLC0415  only for those who work offline

        session = current_session()
        if previous_task_id is None:
            return offline.import_session(session, Path(session_folder_zip), lambda event: event)
        run = cls._by_id(previous_task_id)._fresh_row().last_run + 1
        turn = offline.continuing(session.stamp, previous_task_id, run, iteration_offset or 0)
        offline.import_session(session, Path(session_folder_zip), turn)
        return previous_task_id
