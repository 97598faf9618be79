"""Models as users find, load and import them: `Model`, `InputModel`, and (from a module of its own) `OutputModel`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Self

from ..events.base import new_task_id
from ..events.errors import TasktapeError
from ..events.named_sql import load_sql
from ..events.parts import BlobRef
from ..events.parts import Model as ModelPart
from ..events.task_events import ModelDeleted, ModelSaved
from .errors import InvalidArgumentError
from .frameworks import Framework, framework_of
from .model_base import PACKAGE, BaseModel, ModelError, design_text, model_rows, part_of
from .output_model import OutputModel
from .session import current_session, process
from .storage_places import name_of, scheme_of
from .tag_filter import tag_filter
from .text import as_name, as_text
from .unused_content import delete_unused
from .warn import LOGGER

if TYPE_CHECKING:
    from ..projections.rows import ModelRow

__all__ = ["BaseModel", "Framework", "InputModel", "Model", "ModelError", "OutputModel"]

_SQL = Path(__file__).with_suffix(".sql")


class Model(BaseModel):
    """An existing model, by its id. Raises `ModelError` where there is none."""

    def __init__(self, model_id: str) -> None:
        row = _row(model_id)
        super().__init__(part_of(row), row.task, row.run)

    @classmethod
    def of(cls, row: ModelRow) -> Self:
        """Model of a row that was read."""
        return cls.known(part_of(row), row.task, row.run)

    @classmethod
    def known(cls, record: ModelPart, task_id: str, run: int) -> Self:
        """Model of a record that need not be read."""
        model = cls.__new__(cls)
        BaseModel.__init__(model, record, task_id, run)
        return model

    @classmethod
    def query_models(
        cls,
        project_name: str | None = None,
        model_name: str | None = None,
        tags: Sequence[str] | None = None,
        only_published: bool = False,
        include_archived: bool = False,
        max_results: int | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> list[Model]:
        """Return the models that match, the latest changed first.

        Args:
            project_name: Exact name of their project.
            model_name: Their exact name.
            tags: One of these; `-tag` excludes, `__$all` and the like group as for tasks.
            only_published: Leave out drafts.
            include_archived: Do not leave out archived ones.
            max_results: At most so many.
            metadata: Values that must have been noted with them.

        """
        rows = model_rows(
            projects=(project_name,) if project_name else (),
            metadata=tuple((as_text(key), as_text(value)) for key, value in (metadata or {}).items()),
            only_published=only_published,
            include_archived=include_archived,
        )
        meant = tag_filter(tags or ())
        rows = [row for row in rows if model_name in {None, row.name} and meant.matches(set(row.tags) - {PACKAGE})]
        rows.sort(key=lambda row: row.updated_at, reverse=True)
        return [Model.of(row) for row in rows[:max_results]]

    @classmethod
    def remove(
        cls,
        model: str | BaseModel,
        delete_weights_file: bool = True,
        force: bool = False,
        raise_on_errors: bool = False,
    ) -> bool:
        """Remove a model, and its file unless something else shares it.

        Args:
            model: The model or its id.
            delete_weights_file: Remove its file too; one that was only registered stays.
            force: Remove it even if it is published or other tasks use it.
            raise_on_errors: Raise where something went wrong; else that is logged.

        Returns:
            Whether the model, and its file if wanted, are gone.

        Raises:
            ModelError: Something went wrong, and `raise_on_errors` is set.

        """
        try:
            _remove(_row(model if isinstance(model, str) else model.id), delete_weights_file, force)
        except TasktapeError as error:
            if raise_on_errors:
                raise ModelError(f"the model was not removed: {error}") from error
            LOGGER.warning("the model was not removed: %s", error, extra={"action": "model_not_removed"})
            return False
        return True


class InputModel(Model):
    """A model to start from: by id, or the latest one that matches. Raises `ModelError` where there is none."""

    def __init__(
        self,
        model_id: str | None = None,
        name: str | None = None,
        project: str | None = None,
        tags: Sequence[str] | None = None,
        only_published: bool = False,
    ) -> None:
        if not model_id:
            found = Model.query_models(project, name, tags, only_published, max_results=1)
            if not found:
                raise ModelError(f"there is no model with project={project} name={name} tags={tags}.")
            model_id = found[0].id
        super().__init__(model_id)

    @classmethod
    def import_model(
        cls,
        weights_url: str,
        config_text: str | None = None,
        config_dict: Mapping[str, Any] | None = None,
        label_enumeration: Mapping[str, int] | None = None,
        name: str | None = None,
        project: str | None = None,
        tags: Sequence[str] | None = None,
        comment: str | None = None,
        is_package: bool = False,
        create_as_published: bool = False,
        framework: str | None = None,
    ) -> InputModel:
        """Register weights that lie somewhere already; a model with that URL is returned as it is.

        Args:
            weights_url: Where they lie: a URL or a path.
            config_text: Its design as text.
            config_dict: Its design as a dict, instead of `config_text`.
            label_enumeration: The numbers of its labels.
            name: Its name (default: that of the file).
            project: Its project (default: that of the task that runs here).
            tags: Its tags.
            comment: What there is to say about it.
            is_package: Its file is an archive of several.
            create_as_published: It is final.
            framework: What it was made with (default: by the file's name).

        Raises:
            InvalidArgumentError: There is no URL, or the design was given twice.

        """
        url = _absolute(weights_url)
        if (known := cls.load_model(url)) is not None:
            return known
        task = process.task
        record = ModelPart(
            id=new_task_id(),
            name=as_name(name or PurePosixPath(name_of(url)).stem),
            direction="input",
            project=as_name(project or (task.get_project_name() if task else "")),
            framework=str(framework or framework_of(url)),
            uri=url,
            comment="\n".join(
                filter(None, [f"Imported by task id: {task.id}" if task else "", as_text(comment or "")])
            ),
            tags=[*map(as_text, tags or ()), *([PACKAGE] if is_package else [])],
            labels=dict(label_enumeration or {}),
            design=design_text(config_text, config_dict),
            published=create_as_published,
        )
        session = current_session()
        session.emit(ModelSaved(meta=session.stamp(), task=record.id, run=0, model=record))
        return cls.known(record, record.id, 0)

    @classmethod
    def load_model(cls, weights_url: str, load_archived: bool = False) -> InputModel | None:
        """Return the model whose weights lie at a URL, None where there is none.

        Raises:
            InvalidArgumentError: There is no URL.

        """
        url = _absolute(weights_url)
        rows = [row for row in model_rows(include_archived=load_archived) if row.uri == url]
        return cls.of(max(rows, key=lambda row: row.updated_at)) if rows else None

    def connect(self, task: Any, name: str | None = None, ignore_remote_overrides: bool = False) -> None:
        """Note that a task starts from this model; its design and labels become the task's where that has none.

        Args:
            task: The task.
            name: The model's name in the task (default: that of its file).
            ignore_remote_overrides: Use this model under an agent, even if the task was given another of that name.

        """
        name = as_name(name or PurePosixPath(name_of(self.url)).stem or "Input Model")
        given = None if ignore_remote_overrides else task._given_input_model(name)  # noqa: SLF001  the task's own part
        if given is not None:
            vars(self).update(vars(given))
        self._task = task
        task.set_input_model(self.id, name=name)


def _row(model_id: str) -> ModelRow:
    rows = model_rows(ids=(model_id,))
    if not rows:
        raise ModelError(f"there is no model {model_id!r} on this log.")
    return rows[0]


def _absolute(url: str) -> str:
    """A URL as it is, a path as a `file://` URL. Raises `InvalidArgumentError` for nothing."""
    if not url:
        raise InvalidArgumentError("weights_url names no file.")
    return url if scheme_of(str(url)) else Path(url).expanduser().absolute().as_uri()


def _remove(row: ModelRow, with_file: bool, force: bool) -> None:
    session = current_session()
    if not force and row.published:
        raise ModelError(f"model {row.id} is published: pass force=True.")
    if not force and (users := _users(row)):
        raise ModelError(f"model {row.id} is used by {len(users)} other tasks, such as {users[0]}: pass force=True.")
    session.emit(ModelDeleted(meta=session.stamp(), task=row.task, run=row.run, model_id=row.id))
    if with_file:
        delete_unused(session, BlobRef(uri=row.uri, size=row.size, sha256=row.sha256))


def _users(row: ModelRow) -> list[str]:
    """Other tasks that use a model."""
    quoted = (f"'{text.replace(chr(39), chr(39) * 2)}'" for text in (row.id, row.task))
    query = load_sql(_SQL)["users"].format(**dict(zip(("model", "task"), quoted, strict=True)))
    with current_session().queries() as queries:
        return [str(task) for task in queries.sql(query).column("task").to_pylist()]
