"""`OutputModel`: a model that a task makes, whose weights are uploaded each time they are written."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

from ..events.base import Meta, new_task_id
from ..events.blobs import open_blob_store
from ..events.errors import BlobError
from ..events.parts import BlobRef
from ..events.parts import Model as ModelPart
from ..events.task_events import ModelSaved
from .archives import pack
from .destinations import destination
from .errors import InvalidArgumentError
from .frameworks import framework_of
from .model_base import PACKAGE, BaseModel, ModelError, design_text, model_rows, part_of
from .outputs import outputs_of
from .session import current_session, process
from .storage_places import scheme_of
from .text import as_name, as_text
from .upload_spool import Waiting
from .uploader import Content
from .warn import LOGGER

_SNAPSHOT: Final = re.compile(r"^snapshot .* stored\n?")


class OutputModel(BaseModel):
    """A model of a task. The log knows it from its first weights, note or report on."""

    _default_uri: ClassVar[str | None] = None

    def __init__(
        self,
        task: Any = None,
        config_text: str | None = None,
        config_dict: Mapping[str, Any] | None = None,
        label_enumeration: Mapping[str, int] | None = None,
        name: str | None = None,
        tags: Sequence[str] | None = None,
        comment: str | None = None,
        framework: str | None = None,
        base_model_id: str | None = None,
    ) -> None:
        task = task or process.task
        if task is None:
            raise InvalidArgumentError("no task runs in this process: call Task.init first, or pass a task.")
        record = _based_on(base_model_id) or ModelPart(
            id=new_task_id(), name=task.name, project=task.get_project_name()
        )
        given = {
            "name": as_name(name) if name else None,
            "framework": str(framework) if framework else None,
            "comment": as_text(comment) if comment else None,
            "tags": [as_text(tag) for tag in tags] if tags else None,
            "labels": dict(label_enumeration) if label_enumeration else record.labels or task.get_labels_enumeration(),
            "design": design_text(config_text, config_dict) or None,
        }
        record = record.model_copy(update={field: value for field, value in given.items() if value is not None})
        super().__init__(record, task.id, task.run, task)
        self._is_known = base_model_id is not None
        self._waiting: Waiting | None = None
        self._former = record
        self._destination: str | None = None
        if self._is_known:
            self._say(record)

    @property
    def labels(self) -> dict[str, int]:
        """The numbers of its labels by name."""
        return dict(self._record.labels)

    @labels.setter
    def labels(self, value: Mapping[str, int]) -> None:
        self.update_labels(value)

    @property
    def config_text(self) -> str:
        """Its design as text."""
        return self._record.design

    @config_text.setter
    def config_text(self, value: str) -> None:
        self.update_design(config_text=value)

    @property
    def upload_storage_uri(self) -> str | None:
        """Where its weights go, None for the task's usual place."""
        return self._destination or self._default_uri or self._task.output_uri

    def set_upload_destination(self, uri: str) -> None:
        """Let its weights go to a folder or `s3://bucket/prefix`.

        Raises:
            InvalidArgumentError: That is no place for weights.

        """
        try:
            open_blob_store(uri)
        except BlobError as error:
            raise InvalidArgumentError(str(error)) from error
        self._destination = uri

    @classmethod
    def set_default_upload_uri(cls, output_uri: str | None) -> None:
        """Let the weights of all models of this process go to a place, unless one was set for a model."""
        cls._default_uri = str(output_uri) if output_uri else None

    @classmethod
    def wait_for_uploads(cls, timeout: float | None = None, max_num_uploads: int | None = None) -> None:  # noqa: ARG003
        """Wait until all weights are uploaded, or nothing more can be done now since their destinations do not answer.

        Args:
            timeout: For so many seconds at most.
            max_num_uploads: Of no effect: all are waited for.

        """
        outputs_of(current_session()).uploader.wait(timeout)

    def connect(self, task: Any, name: str | None = None, ignore_remote_overrides: bool = False) -> None:  # noqa: ARG002
        """Make the model known as its task's.

        Args:
            task: Its task.
            name: Its name from now on.
            ignore_remote_overrides: Of no effect.

        Raises:
            InvalidArgumentError: It is another task's.

        """
        if task.id != self._task_id:
            raise InvalidArgumentError(f"model {self.name!r} is of task {self._task_id}: it can't be another's output.")
        self._change(**({"name": as_name(name)} if name else {}))

    def update_labels(self, labels: Mapping[str, int]) -> bool:
        """Set the numbers of its labels, and its task's.

        Raises:
            InvalidArgumentError: They are no names and whole numbers.
            ModelError: It is published.

        """
        self._require_draft()
        self._task.set_model_label_enumeration(labels)
        self._change_lazily(labels=dict(labels))
        return True

    def update_design(self, config_text: str | None = None, config_dict: Mapping[str, Any] | None = None) -> bool:
        """Set its design, as text or as a dict.

        Raises:
            ModelError: It is published.

        """
        self._require_draft()
        self._change_lazily(design=design_text(config_text, config_dict))
        return True

    def update_weights(
        self,
        weights_filename: str | Path | None = None,
        upload_uri: str | None = None,
        target_filename: str | None = None,
        auto_delete_file: bool = True,
        register_uri: str | None = None,
        iteration: int | None = None,
        update_comment: bool = True,
        is_package: bool = False,
        async_enable: bool = True,
    ) -> str:
        """Upload a weights file, or register one that lies somewhere already, and return its URL.

        When this returns the weights are kept: the file may be written anew. The log knows of them when they are at
        their destination.

        Args:
            weights_filename: The file; a folder becomes a package.
            upload_uri: Where to, from now on: a folder or `s3://bucket/prefix`.
            target_filename: The file's name there (default: its own).
            auto_delete_file: Remove the file when it is uploaded to a place that was named (by `upload_uri`, the task's
                `output_uri` or the like); it stays when it goes to the blob store of the settings.
            register_uri: The URL of weights that lie somewhere already, instead of a file.
            iteration: The iteration they are from (default: the task's last one).
            update_comment: Note in the comment which file they came from.
            is_package: The file is an archive of several.
            async_enable: Do not wait for the upload.

        Raises:
            InvalidArgumentError: Both or neither of file and URL were given, or the file does not exist.
            ModelError: The model is published; or the upload failed, and `async_enable` is not set.

        """
        if bool(weights_filename) == bool(register_uri):
            raise InvalidArgumentError("give either weights_filename or register_uri.")
        self._require_draft()
        if upload_uri:
            self.set_upload_destination(upload_uri)
        path = Path(weights_filename).expanduser() if weights_filename else None
        if path is not None and path.is_dir():
            return self.update_weights_package(
                weights_path=path,
                target_filename=target_filename or path.name,
                auto_delete_file=auto_delete_file,
                iteration=iteration,
                async_enable=async_enable,
            )
        self._describe_weights(str(weights_filename or register_uri), iteration, update_comment, is_package)
        if path is None:
            self._change(uri=_url(str(register_uri)), size=0, sha256="")
            return self.url
        return self._upload(path, target_filename or path.name, delete=auto_delete_file, wait=not async_enable)

    def update_weights_package(
        self,
        weights_filenames: Sequence[str | Path] | None = None,
        weights_path: str | Path | None = None,
        upload_uri: str | None = None,
        target_filename: str | None = None,
        auto_delete_file: bool = True,
        iteration: int | None = None,
        async_enable: bool = True,
    ) -> str:
        """Upload several files as one zip archive and return its URL.

        Args:
            weights_filenames: The files.
            weights_path: A folder with all of them, instead.
            upload_uri: As for `update_weights`, as are the others.
            target_filename: The archive's name there (default `model_package.zip`).
            auto_delete_file: As for `update_weights`.
            iteration: As for `update_weights`.
            async_enable: As for `update_weights`.

        Raises:
            InvalidArgumentError: Both or neither were given, or there are no such files.
            ModelError: As for `update_weights`.

        """
        if bool(weights_filenames) == bool(weights_path):
            raise InvalidArgumentError("give either weights_filenames or weights_path.")
        self._require_draft()
        if upload_uri:
            self.set_upload_destination(upload_uri)
        files = _members(weights_filenames or (), weights_path)
        name = target_filename or "model_package"
        name = name if name.lower().endswith(".zip") else f"{name}.zip"
        source = str(weights_path or ", ".join(str(path) for path, _ in files))
        self._describe_weights(source, iteration, update_comment=True, is_package=True)
        with tempfile.TemporaryDirectory(prefix="tasktape-package-") as folder:
            archive = Path(folder) / "package.zip"
            pack(archive, files, compress=False)
            url = self._upload(archive, name, delete=False, wait=not async_enable)
        if auto_delete_file and self._is_named_place():
            _delete_members([path for path, _ in files], weights_path)
        return url

    def _change(self, **changes: Any) -> None:
        """Change the record and say so; weights that still wait for their upload take the change with them."""
        self._is_known = True
        self._record = self._record.model_copy(update=changes)
        event = ModelSaved(meta=self._session.stamp(), task=self._task_id, run=self._run, model=self._record)
        if self._waiting is not None and self._outputs.uploader.say_instead(self._waiting, event):
            weights = {field: getattr(self._former, field) for field in ("uri", "size", "sha256")}
            self._say(self._record.model_copy(update=weights))
        else:
            self._say(self._record)

    def _change_lazily(self, **changes: Any) -> None:
        """Change the record, and say so where the log knows the model already."""
        if self._is_known:
            self._change(**changes)
        else:
            self._record = self._record.model_copy(update=changes)

    def _require_draft(self) -> None:
        if self.published:
            raise ModelError(f"model {self.name!r} is published and can't be changed.")

    def _describe_weights(self, source: str, iteration: int | None, update_comment: bool, is_package: bool) -> None:
        """Note where weights come from; what is said with them."""
        comment = (
            f"snapshot {source} stored\n{_SNAPSHOT.sub('', self.comment)}".rstrip() if update_comment else self.comment
        )
        last = self._session.outbox.last_step(self._task_id)
        self._record = self._record.model_copy(
            update={
                "comment": comment,
                "iteration": last if iteration is None else int(iteration),
                "framework": self.framework or framework_of(source),
                "tags": [*self.tags, *([PACKAGE] if is_package else [])],
            },
        )

    def _upload(self, path: Path, name: str, *, delete: bool, wait: bool) -> str:
        if not path.is_file():
            raise InvalidArgumentError(f"there is no weights file {str(path)!r}.")
        place = destination(self._task, "models", self.name, self._destination or self._default_uri)
        gone = (path.absolute(),) if delete and self._is_named_place() else ()
        content = Content(name, source=path.absolute(), delete=gone)
        self._former = self._record
        uploader = self._outputs.uploader
        try:
            ref, self._waiting = uploader.send(content, place, f"{self._task_id}/model/{self.id}", self._weights_event)
        except BlobError as error:
            if wait:
                raise ModelError(f"the weights of model {self.name!r} were not uploaded: {error}") from error
            LOGGER.warning("the weights of model %r were lost: %s", self.name, error, extra={"action": "weights_lost"})
            return ""
        if wait and not uploader.wait() and self._waiting is not None and self._waiting.folder.exists():
            raise ModelError(f"the weights of model {self.name!r} wait for {place}, which does not answer.")
        return ref.uri

    def _weights_event(self, ref: BlobRef, meta: Meta) -> ModelSaved:
        self._is_known = True
        self._record = self._record.model_copy(update={"uri": ref.uri, "size": ref.size, "sha256": ref.sha256})
        self._outputs.models.setdefault(self._task_id, {})[self.id] = self._record
        return ModelSaved(meta=meta, task=self._task_id, run=self._run, model=self._record)

    def _is_named_place(self) -> bool:
        """Whether somebody named where weights go; else they go to the blob store of the settings."""
        settings = self._session.settings
        return (self.upload_storage_uri or settings.output_uri or settings.blobs) != settings.blobs


def _based_on(model_id: str | None) -> ModelPart | None:
    if model_id is None:
        return None
    rows = model_rows(ids=(model_id,))
    if not rows:
        raise ModelError(f"there is no model {model_id!r} on this log.")
    return part_of(rows[0]).model_copy(update={"direction": "output"})


def _url(uri: str) -> str:
    """A URL as it is, a path as a `file://` URL."""
    return uri if scheme_of(uri) else Path(uri).expanduser().absolute().as_uri()


def _members(files: Sequence[str | Path], folder: str | Path | None) -> list[tuple[Path, str]]:
    """The files of a package, each with its name in the archive."""
    paths = sorted(Path(folder).expanduser().rglob("*")) if folder else [Path(name).expanduser() for name in files]
    paths = [path.absolute() for path in paths if path.is_file()]
    if not paths:
        raise InvalidArgumentError(f"there are no files in {str(folder or list(files))!r}.")
    root = Path(folder).expanduser().absolute() if folder else Path(os.path.commonpath([p.parent for p in paths]))
    return [(path, path.relative_to(root).as_posix()) for path in paths]


def _delete_members(files: Sequence[Path], folder: str | Path | None) -> None:
    for path in files:
        path.unlink(missing_ok=True)
    if folder:
        shutil.rmtree(Path(folder).expanduser(), ignore_errors=True)
