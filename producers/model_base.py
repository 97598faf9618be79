"""What all models have: their record, their file, and what can be noted with them at any time."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..events.errors import TasktapeError
from ..events.parts import BlobRef
from ..events.parts import Model as ModelPart
from ..events.task_events import ModelSaved
from .copies import local_copy
from .errors import InvalidArgumentError, UsageError
from .outputs import Outputs, outputs_of
from .session import Session, current_session
from .text import as_name, as_text
from .warn import LOGGER

if TYPE_CHECKING:
    from ..projections.rows import ModelRow

PACKAGE: Final = "package"


class ModelError(TasktapeError, ValueError):
    """A model can't be found, fetched or changed."""


class BaseModel:
    """A model by its record. Changes are noted in the history of `task_id` and `run`; `task` is what it is used in."""

    def __init__(self, record: ModelPart, task_id: str, run: int, task: Any = None) -> None:
        self._record = record
        self._task_id = task_id
        self._run = run
        self._task = task

    def __repr__(self) -> str:
        return f"{type(self).__name__}(id={self.id!r}, name={self.name!r}, url={self.url!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BaseModel) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __getattr__(self, name: str) -> Any:
        """Report with the logger of the model's task: `report_scalar` and all its kin."""
        if not name.startswith("report_"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        if self._task is None:
            raise UsageError(f"model {self.id} belongs to no task here: connect it to one before reporting.")
        return getattr(self._task.get_logger(), name)

    @property
    def id(self) -> str:
        """Its id: 32 hexadecimal digits."""
        return self._record.id

    @property
    def name(self) -> str:
        """Its name."""
        return self._record.name

    @name.setter
    def name(self, value: str) -> None:
        self._change(name=as_name(value))

    @property
    def project(self) -> str:
        """The name of its project."""
        return self._record.project

    @project.setter
    def project(self, value: str) -> None:
        self._change(project=as_name(value))

    @property
    def comment(self) -> str:
        """What people say about it."""
        return self._record.comment

    @comment.setter
    def comment(self, value: str) -> None:
        self._change(comment=as_text(value))

    @property
    def tags(self) -> list[str]:
        """Its tags."""
        return [tag for tag in self._record.tags if tag != PACKAGE]

    @tags.setter
    def tags(self, value: Sequence[str]) -> None:
        self._change(tags=[*map(as_text, value), *self.system_tags])

    @property
    def system_tags(self) -> list[str]:
        """Tags the system gave it: `package` where its file is an archive of several."""
        return [tag for tag in self._record.tags if tag == PACKAGE]

    @property
    def framework(self) -> str:
        """What it was made with."""
        return self._record.framework

    @property
    def labels(self) -> dict[str, int]:
        """The numbers of its labels by name."""
        return dict(self._record.labels)

    @property
    def config_text(self) -> str:
        """Its design as text."""
        return self._record.design

    @property
    def config_dict(self) -> dict[str, Any]:
        """Its design as a dict; empty where it is none."""
        try:
            found = json.loads(self._record.design or "{}")
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def url(self) -> str:
        """Where its file lies."""
        return self._record.uri

    @property
    def task(self) -> str:
        """Id of the task it is connected to, else of the one that made it."""
        return self._task.id if self._task else self.original_task

    @property
    def original_task(self) -> str:
        """Id of the task that made it, empty for an imported model."""
        return "" if self._task_id == self.id else self._task_id

    @property
    def published(self) -> bool:
        """Whether it is final."""
        return self._record.published

    @property
    def archived(self) -> bool:
        """Whether it is out of sight."""
        return self._record.archived

    def publish(self) -> None:
        """Make it final: its weights can't be changed any more."""
        if not self.published:
            self._change(published=True)

    def archive(self) -> None:
        """Put it out of sight."""
        if not self.archived:
            self._change(archived=True)

    def unarchive(self) -> None:
        """Put it back in sight."""
        if self.archived:
            self._change(archived=False)

    def get_weights(
        self, raise_on_error: bool = False, force_download: bool = False, extract_archive: bool = False
    ) -> str | None:
        """Return the path of a local copy of its file, or (with `extract_archive`) of the folder with its contents.

        Args:
            raise_on_error: Raise where it can't be had; else that is logged and None returned.
            force_download: Fetch it again even if a copy is there.
            extract_archive: Unpack a zip or tar archive.

        Raises:
            ModelError: It can't be had, and `raise_on_error` is set.

        """
        try:
            return str(self._copy(extract=extract_archive, fresh=force_download))
        except TasktapeError as error:
            if raise_on_error:
                raise ModelError(f"model {self.name!r} ({self.id}) can't be fetched: {error}") from error
            LOGGER.warning("model %r can't be fetched: %s", self.name, error, extra={"action": "model_not_fetched"})
            return None

    def get_weights_package(
        self,
        return_path: bool = False,
        raise_on_error: bool = False,
        force_download: bool = False,
        extract_archive: bool = True,
    ) -> str | list[Path] | None:
        """Return the files of a model that is a package of several; with `return_path` their folder.

        Raises:
            ModelError: It is no package; or it can't be had, and `raise_on_error` is set.

        """
        if not self.system_tags:
            raise ModelError(f"model {self.name!r} is no package: use get_weights().")
        path = self.get_weights(raise_on_error, force_download, extract_archive)
        return path if path is None or return_path else sorted(Path(path).glob("*"))

    def get_local_copy(
        self, extract_archive: bool | None = None, raise_on_error: bool = False, force_download: bool = False
    ) -> str | None:
        """Return the path of a local copy of its file; a package is unpacked unless `extract_archive` is False."""
        extract = bool(self.system_tags) if extract_archive is None else extract_archive
        return self.get_weights(raise_on_error, force_download, extract)

    def set_metadata(self, key: str, value: Any, v_type: str | None = None) -> bool:  # noqa: ARG002  see the docs
        """Note a value with it; returns True.

        Args:
            key: Its name.
            value: Kept as text.
            v_type: Of no effect: `get_metadata_casted` tells by the text.

        """
        self._change(metadata={**self._record.metadata, as_text(key): as_text(value)})
        return True

    def set_all_metadata(self, metadata: Mapping[str, Mapping[str, Any]], replace: bool = True) -> bool:
        """Note values given as `{key: {"value": …}}`, in place of all others or (`replace=False`) beside them."""
        given = {as_text(key): as_text(entry.get("value", "")) for key, entry in metadata.items()}
        self._change(metadata=given if replace else {**self._record.metadata, **given})
        return True

    def get_metadata(self, key: str) -> str | None:
        """Return a noted value as text, None where there is none."""
        return self._record.metadata.get(as_text(key))

    def get_metadata_casted(self, key: str) -> Any:
        """Return a noted value: as number, bool, list or dict where it reads as one, else as text."""
        text = self.get_metadata(key)
        return None if text is None else _cast(text)

    def get_all_metadata(self) -> dict[str, dict[str, str]]:
        """Return all noted values as `{key: {"key": key, "value": text, "type": type}}`."""
        return {
            key: {"key": key, "value": value, "type": type(_cast(value)).__name__}
            for key, value in self._record.metadata.items()
        }

    def get_all_metadata_casted(self) -> dict[str, Any]:
        """Return all noted values as `get_metadata_casted` does."""
        return {key: _cast(value) for key, value in self._record.metadata.items()}

    @property
    def _session(self) -> Session:
        return current_session()

    @property
    def _outputs(self) -> Outputs:
        return outputs_of(self._session)

    def _copy(self, *, extract: bool, fresh: bool) -> Path:
        if not self.url:
            raise ModelError(f"model {self.name!r} has no weights yet.")
        ref = BlobRef(uri=self.url, size=self._record.size, sha256=self._record.sha256)
        return local_copy(ref, extract=extract, fresh=fresh)

    def _change(self, **changes: Any) -> None:
        """Change the record and say so."""
        self._record = self._record.model_copy(update=changes)
        self._say(self._record)

    def _say(self, record: ModelPart) -> None:
        self._outputs.models.setdefault(self._task_id, {})[record.id] = self._record
        self._session.emit(ModelSaved(meta=self._session.stamp(), task=self._task_id, run=self._run, model=record))


def model_rows(**conditions: Any) -> list[ModelRow]:
    """Models as the projection knows them, by the conditions of `ModelFilter`."""
    from ..projections.rows import ModelFilter  # noqa: PLC0415  for those who ask

    with current_session().queries() as queries:
        return queries.models(ModelFilter(**conditions))


def part_of(row: ModelRow) -> ModelPart:
    """The record behind a row of the projection."""
    return ModelPart(
        **{name: getattr(row, name) for name in ModelPart.model_fields.keys() - {"tags"}}, tags=list(row.tags)
    )


def design_text(config_text: str | None, config_dict: Mapping[str, Any] | None) -> str:
    """The text of a design. Raises `InvalidArgumentError` where both were given."""
    if config_text and config_dict:
        raise InvalidArgumentError("give either config_text or config_dict.")
    return json.dumps(config_dict, indent=4, default=str) if config_dict else as_text(config_text or "")


def _cast(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text
