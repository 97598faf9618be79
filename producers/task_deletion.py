"""Deleting a task, and what only it has stored."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..events.errors import TasktapeError
from ..events.task_events import TaskDeleted
from .task_offline import OfflineMixin
from .warn import LOGGER

if TYPE_CHECKING:
    from ..events.parts import BlobRef


class DeletionMixin(OfflineMixin):
    """`delete`."""

    def delete(
        self,
        delete_artifacts_and_models: bool = True,
        skip_models_used_by_other_tasks: bool = True,
        raise_on_error: bool = False,
        callback: Callable[[str, str], bool] | None = None,
    ) -> bool:
        """Delete the task: it is gone from every view but the audit.

        Args:
            delete_artifacts_and_models: Delete its files in the blob store too. What another task names as well stays.
            skip_models_used_by_other_tasks: Accepted; a file that another task uses is never deleted.
            raise_on_error: Raise where a file could not be deleted; else that is logged.
            callback: Called as `callback("artifact", url)` before a file is deleted; False keeps it.

        Returns:
            Whether all of it is deleted.

        Raises:
            BlobError: A file could not be deleted, and `raise_on_error` is set.

        """
        del skip_models_used_by_other_tasks
        blobs = self._own_blobs() if delete_artifacts_and_models else []
        self._emit(TaskDeleted(meta=self._session.stamp(), task=self._id, reason="deleted by user"))
        wanted = [ref for ref in blobs if callback is None or callback("artifact", ref.uri)]
        deleted = [self._delete_blob(ref, raise_on_error=raise_on_error) for ref in wanted]
        return all(deleted)

    def _own_blobs(self) -> list[BlobRef]:
        from .deletion import own_blobs  # noqa: PLC0415  for those who delete

        with self._session.queries() as queries:
            return own_blobs(queries, self._id)

    @staticmethod
    def _delete_blob(ref: BlobRef, *, raise_on_error: bool) -> bool:
        from .deletion import remove  # noqa: PLC0415  for those who delete

        try:
            remove(ref)
        except TasktapeError as error:
            if raise_on_error:
                raise
            LOGGER.warning(
                "the task is deleted, but not all of its files: %s", error, extra={"action": "files_not_deleted"}
            )
            return False
        return True
