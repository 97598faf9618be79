"""Where a task's artifacts and models go: the blob store, or what the task, the user or the settings name instead."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..events.blobs import open_blob_store, safe_name
from ..events.errors import BlobError
from .warn import warn_once

if TYPE_CHECKING:
    from .task_base import TaskBase


def destination(task: TaskBase, kind: str, name: str, wanted: str | None = None) -> str:
    """URL of the blob store for one output of a task.

    A place that somebody named gets folders that people find their way in: project, task, `kind` and `name`; the blob
    store of the settings keeps all by content alone. A place that is not supported is replaced by the blob store, with
    a warning: the output is kept.
    """
    settings = task._session.settings  # noqa: SLF001  one of the task's own parts
    place = wanted or task._summary.output_uri or settings.output_uri or settings.blobs  # noqa: SLF001  the same
    if place == settings.blobs:
        return place
    try:
        open_blob_store(place)
    except BlobError as error:
        warn_once(f"destination_{place}", f"{error} Outputs go to {settings.blobs} instead.")
        return settings.blobs
    return "/".join([place.rstrip("/"), *_folders(task), kind, safe_name(name)])


def _folders(task: TaskBase) -> list[str]:
    summary = task._summary  # noqa: SLF001  one of the task's own parts
    project = [safe_name(part) for part in summary.project.split("/") if part]
    return [*project, f"{safe_name(summary.name)}.{task.id}"]
