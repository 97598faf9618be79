"""A task's artifacts: uploading objects and files, tables kept in step with a `DataFrame`, and reading all back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..events.base import Meta, from_us, now_us
from ..events.errors import TasktapeError
from ..events.parts import Artifact as ArtifactPart
from ..events.parts import BlobRef
from ..events.task_events import ArtifactDeleted, ArtifactUploaded
from .artifact_formats import ArtifactError, Format, Request, format_of
from .artifacts import Artifact, Artifacts
from .destinations import destination
from .outputs import Outputs, outputs_of
from .registered_tables import RegisteredTables
from .task_models import ModelsMixin
from .text import as_name, as_text
from .unused_content import delete_unused
from .uploader import Content
from .warn import LOGGER, warn_once

if TYPE_CHECKING:
    from ..projections.rows import ArtifactRow


class ArtifactsMixin(ModelsMixin):
    """Upload and read artifacts. Nothing here raises into training: what does not work is logged."""

    def upload_artifact(
        self,
        name: str,
        artifact_object: Any,
        metadata: Mapping[str, Any] | None = None,
        delete_after_upload: bool = False,
        auto_pickle: bool | None = None,
        preview: Any = None,
        wait_on_upload: bool = False,
        extension_name: str | None = None,
        serialization_function: Callable[[Any], bytes | bytearray] | None = None,
        retries: int = 0,  # noqa: ARG002  an upload is tried until it succeeds
        sort_keys: bool = True,
    ) -> bool:
        """Store an object, a file, a folder or files that match a wildcard under a name; the same name replaces it.

        When this returns the content is kept, here or at its destination; later changes of the object do not reach it.

        Args:
            name: Name of the artifact.
            artifact_object: A `DataFrame` becomes csv.gz (or parquet, feather, pickle), a `Series` pickle, an array
                npz, a dict JSON (or YAML), a PIL image png, a path its file or a zip, a URL a link, a text txt,
                everything else pickle.
            metadata: Shown with the artifact; values become text.
            delete_after_upload: Remove the file or folder once it is stored.
            auto_pickle: Pickle what has no other format (default True).
            preview: A text to show instead of the usual one.
            wait_on_upload: Return only when it is at its destination, or that does not answer.
            extension_name: Choose among the formats, such as `.parquet`.
            serialization_function: Makes the file's bytes from the object.
            retries: Of no effect: an upload is tried until it succeeds.
            sort_keys: Sort the keys of a dict.

        Returns:
            Whether it is kept; if not, a warning says why.

        """
        request = Request(
            name=as_name(name),
            extension=extension_name or "",
            preview=as_text(preview) if preview else "",
            serialize=serialization_function,
            auto_pickle=auto_pickle is not False,
            sort_keys=sort_keys,
        )
        try:
            found = format_of(artifact_object, request)
            delete = _originals(artifact_object) if delete_after_upload else ()
            self._keep_artifact(request.name, found, metadata or {}, delete)
        except Exception as error:  # noqa: BLE001  an object's own code may raise anything when it is pickled
            LOGGER.warning(
                "artifact %r (%s) was not stored: %s. A serialization_function can make bytes of any object.",
                request.name,
                type(artifact_object).__name__,
                repr(error),
                extra={"action": "artifact_not_stored"},
            )
            return False
        if wait_on_upload:
            self._outputs.uploader.wait()
        return True

    def _keep_artifact(
        self, name: str, found: Format, metadata: Mapping[str, Any], delete: Sequence[Path] = ()
    ) -> None:
        """Send an artifact's file to where it belongs, and say the event once it is there."""
        notes = {as_text(key): as_text(value) for key, value in metadata.items()}
        event_of = partial(self._artifact_event, name, found, notes)
        if found.link:
            self._session.emit(event_of(BlobRef(uri=found.link, size=0, sha256=""), self._session.stamp()))
            return
        place = destination(self, "artifacts", name)
        content = Content(found.file_name, found.content_type, found.source, found.write, tuple(delete))
        self._outputs.uploader.send(content, place, f"{self._id}/artifact/{name}", event_of)

    def _artifact_event(
        self, name: str, found: Format, metadata: dict[str, str], ref: BlobRef, meta: Meta
    ) -> ArtifactUploaded:
        """The event of an artifact; from here on this process knows the artifact itself."""
        artifact = ArtifactPart(
            name=name,
            type=found.type,
            uri=ref.uri,
            size=ref.size,
            sha256=ref.sha256,
            content_type=found.content_type or ref.content_type,
            preview=as_text(found.preview),
            metadata=metadata,
        )
        self._outputs.artifacts.setdefault(self._id, {})[name] = artifact
        return ArtifactUploaded(meta=meta, task=self._id, run=self.run, artifact=artifact)

    @property
    def artifacts(self) -> Artifacts:
        """The task's artifacts by name, those on their way included."""
        outputs, now = self._outputs, from_us(now_us())
        rows = self._artifact_rows()
        found = {row.name: _of_row(row) for row in rows or []}
        for name, part in outputs.artifacts.get(self._id, {}).items():
            if rows is None or outputs.uploader.content_of(part.uri) is not None:
                found[name] = Artifact(part, now)
        return Artifacts(dict(sorted(found.items())))

    def _artifact_rows(self) -> list[ArtifactRow] | None:
        """What the projection knows; None with a warning while the log is away from a task that runs here."""
        try:
            with self._session.queries() as queries:
                return queries.artifacts(self._id)
        except TasktapeError as error:
            if not self._live:
                raise
            warn_once("artifacts_not_read", f"only the artifacts of this process are known now: {error}")
            return None

    def register_artifact(
        self,
        name: str,
        artifact: Any,
        metadata: Mapping[str, Any] | None = None,
        uniqueness_columns: bool | Sequence[str] = True,
    ) -> None:
        """Keep an artifact in step with a `DataFrame`: uploaded when it has changed, each minute and at every flush.

        Args:
            name: Name of the artifact; the same name again replaces the DataFrame.
            artifact: The DataFrame.
            metadata: Shown with the artifact; values become text.
            uniqueness_columns: Columns that tell rows apart in the preview (True: all).

        Raises:
            ArtifactError: It is no DataFrame.

        """
        if not hasattr(artifact, "to_csv") or not hasattr(artifact, "drop_duplicates"):
            raise ArtifactError(f"{name!r} is a {type(artifact).__name__}: only a DataFrame can be registered.")
        self._tables.register(as_name(name), artifact, metadata, uniqueness_columns)

    def unregister_artifact(self, name: str) -> None:
        """Upload a registered DataFrame for the last time; the artifact stays."""
        self._tables.unregister(as_name(name))

    def get_registered_artifacts(self) -> dict[str, Any]:
        """Return the registered DataFrames by name."""
        return self._tables.frames

    def delete_artifacts(
        self, artifact_names: Sequence[str], raise_on_errors: bool = True, delete_from_storage: bool = True
    ) -> bool:
        """Remove artifacts from the task, and their files (unless other outputs share them).

        Args:
            artifact_names: Their names.
            raise_on_errors: Raise where one could not be removed; else that is logged.
            delete_from_storage: Remove the files too.

        Returns:
            Whether all were there and are gone.

        Raises:
            ArtifactError: One could not be removed, and `raise_on_errors` is set.

        """
        held = self.artifacts
        problems = [self._delete_artifact(name, held.get(name), delete_from_storage) for name in artifact_names]
        text = " ".join(problem for problem in problems if problem)
        if text and raise_on_errors:
            raise ArtifactError(text)
        if text:
            LOGGER.warning("%s", text, extra={"action": "artifact_not_deleted"})
        return not text

    def _delete_artifact(self, name: str, artifact: Artifact | None, with_file: bool) -> str:
        """Remove one artifact; returns what went wrong, empty for nothing."""
        if artifact is None:
            return f"there is no artifact {name!r}."
        self._emit(ArtifactDeleted(meta=self._session.stamp(), task=self._id, run=self.run, name=name))
        self._outputs.artifacts.get(self._id, {}).pop(name, None)
        try:
            if with_file:
                ref = BlobRef(uri=artifact.url, size=artifact.size, sha256=artifact.hash)
                delete_unused(self._session, ref)
        except TasktapeError as error:
            return f"artifact {name!r} is removed, but its file is not: {error}"
        return ""

    @property
    def _outputs(self) -> Outputs:
        return outputs_of(self._session)

    @property
    def _tables(self) -> RegisteredTables:
        tables = self._outputs.tables
        return tables.setdefault(self._id, RegisteredTables(self._keep_artifact))

    def _wait_for_uploads(self) -> None:
        """Wait for artifacts and models on their way, a bounded time and only while their destinations answer."""
        self._tables.upload_changed()
        uploader = self._outputs.uploader
        uploader.wait(uploader.patience())


def store_artifact(task: ArtifactsMixin, name: str, found: Format, metadata: Mapping[str, str]) -> None:
    """Store what has a format already. Unlike `upload_artifact` it raises where that can't be kept."""
    task._keep_artifact(as_name(name), found, metadata)


def are_stored(task: ArtifactsMixin) -> bool:
    """Whether all this process has made is at its destination; waits for what can be brought there."""
    return task._outputs.uploader.wait()


def _of_row(row: ArtifactRow) -> Artifact:
    part = ArtifactPart(
        name=row.name,
        type=row.type,
        uri=row.uri,
        size=row.size,
        sha256=row.sha256,
        content_type=row.content_type,
        preview=row.preview,
        metadata=row.metadata,
    )
    return Artifact(part, row.uploaded_at)


def _originals(value: Any) -> tuple[Path, ...]:
    """The file or folder behind an artifact, which may be deleted once it is stored."""
    if isinstance(value, (str, Path)) and Path(value).exists():
        return (Path(value).absolute(),)
    return ()
