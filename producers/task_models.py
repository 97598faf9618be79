"""A task's models: those it made, those it started from, and the design they share."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, SupportsIndex, overload

from ..events.errors import TasktapeError
from ..events.task_events import ModelAttached
from .errors import InvalidArgumentError
from .model_base import BaseModel, design_text, model_rows
from .models import Model
from .outputs import outputs_of
from .storage_places import name_of, scheme_of
from .task_connect import ConnectMixin
from .text import as_name
from .warn import warn_once

DESIGN = "design"


class ModelsList(list[Model]):
    """Models in the order they were made. `models[name]` finds one by its name in the task, its own, or its file's."""

    def __init__(self, models: Iterable[tuple[str, Model]] = ()) -> None:
        listed = list(models)
        super().__init__(model for _, model in listed)
        self._names = [attached or model.name for attached, model in listed]

    @overload
    def __getitem__(self, key: SupportsIndex | str) -> Model: ...

    @overload
    def __getitem__(self, key: slice) -> list[Model]: ...

    def __getitem__(self, key: SupportsIndex | slice | str) -> Model | list[Model]:
        if not isinstance(key, str):
            return super().__getitem__(key)
        if (found := self.get(key)) is None:
            raise KeyError(f"there is no model {key!r} (models: {', '.join(map(repr, self._names)) or 'none'})")
        return found

    def __contains__(self, key: object) -> bool:
        return self.get(key) is not None if isinstance(key, str) else super().__contains__(key)

    def get(self, name: str, default: Model | None = None) -> Model | None:
        """Return the latest model of that name, else `default`."""
        for names in (self._names, [_stem(model) for model in self]):
            for known, model in zip(reversed(names), reversed(self), strict=True):
                if known == name:
                    return model
        return default

    def keys(self) -> list[str]:
        """Return the models' names in the task."""
        return list(self._names)

    def values(self) -> list[Model]:
        """Return the models."""
        return list(self)

    def items(self) -> list[tuple[str, Model]]:
        """Return the models with their names in the task."""
        return list(zip(self._names, self, strict=True))


class TaskModels(dict[str, ModelsList]):
    """Lists of models by direction."""

    @property
    def input(self) -> ModelsList:
        """Models the task uses."""
        return self["input"]

    @property
    def output(self) -> ModelsList:
        """Models the task made."""
        return self["output"]


class ModelsMixin(ConnectMixin):
    """Read a task's models, and note what it starts from."""

    @property
    def models(self) -> TaskModels:
        """The task's models, as `models["input"]` or `models.input`: lists that names find their way in, too."""
        found = self._found_models()
        return TaskModels(
            (direction, ModelsList((name, model) for kind, name, model in found if kind == direction))
            for direction in ("input", "output")
        )

    def get_models(self) -> TaskModels:
        """The same as `models`."""
        return self.models

    def update_output_model(
        self,
        model_path: str | Path,
        name: str | None = None,
        comment: str | None = None,
        tags: Sequence[str] | None = None,
        model_name: str | None = None,
        iteration: int | None = None,
        auto_delete_file: bool = True,
    ) -> str:
        """Make a model of a weights file or folder and return the URL where it will be once it is uploaded.

        Args:
            model_path: The file or folder; an address is noted as it is.
            name: The model's name in the task.
            comment: For people.
            tags: The model's tags.
            model_name: The model's name (default: the task's, and `name`).
            iteration: The iteration the weights are from (default: the task's last one).
            auto_delete_file: Remove the file when it is uploaded, as for `OutputModel.update_weights`.

        Raises:
            InvalidArgumentError: There is no such file.

        """
        from .models import OutputModel  # noqa: PLC0415  for those who make models

        known_as = model_name or (f"{self._summary.name} - {name}" if name else None)
        model = OutputModel(self, name=known_as, comment=comment, tags=tags)
        if scheme_of(str(model_path)):
            return model.update_weights(register_uri=str(model_path), iteration=iteration)
        return model.update_weights(model_path, iteration=iteration, auto_delete_file=auto_delete_file)

    @property
    def input_models_id(self) -> dict[str, str]:
        """Ids of the models the task starts from, by their names in the task."""
        return {name: model.id for name, model in self.models["input"].items()}

    @property
    def output_models_id(self) -> dict[str, str]:
        """Ids of the models the task made, by name."""
        return {name: model.id for name, model in self.models["output"].items()}

    def set_input_model(
        self,
        model_id: str | None = None,
        model_name: str | None = None,
        update_task_design: bool = True,
        update_task_labels: bool = True,
        name: str | None = None,
    ) -> None:
        """Note that the task starts from a model.

        Args:
            model_id: The model.
            model_name: Its name, instead of the id: the latest one is taken.
            update_task_design: Take over its design, where the task has none.
            update_task_labels: Take over its labels, where the task has none.
            name: Its name in the task (default: that of its file).

        Raises:
            InvalidArgumentError: Neither id nor name was given.
            ModelError: There is no such model.

        """
        model = _meant(model_id, model_name)
        known = as_name(name or _stem(model) or model.name)
        said = ModelAttached(meta=self._session.stamp(), task=self._id, run=self.run, model_id=model.id, name=known)
        self._emit(said)
        if update_task_design and model.config_text and not self.get_model_config_text():
            self.set_model_config(config_text=model.config_text)
        if update_task_labels and model.labels and not self.get_labels_enumeration():
            self.set_model_label_enumeration(model.labels)

    def set_model_config(self, config_text: str | None = None, config_dict: Mapping[str, Any] | None = None) -> None:
        """Set the design of the task's models, as text or as a dict.

        Raises:
            InvalidArgumentError: Both were given.

        """
        self.set_configuration_object(DESIGN, config_text=design_text(config_text, config_dict))

    def get_model_config_text(self) -> str:
        """Return the design of the task's models as text, empty where there is none."""
        return self.get_configuration_object(DESIGN) or ""

    def get_model_config_dict(self) -> dict[str, Any]:
        """Return the design of the task's models as a dict, empty where it is none."""
        try:
            found = json.loads(self.get_model_config_text() or "{}")
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    def _found_models(self) -> list[tuple[str, str, Model]]:
        """Direction, name in the task and model of each, once uploads of this process are done."""
        if self._live:
            uploader = outputs_of(self._session).uploader
            uploader.wait(uploader.patience())
        try:
            rows = model_rows(task=self._id)
            attached = tuple(row.id for row in rows if row.attached_as)
            makers = {row.id: row for row in model_rows(ids=attached)} if attached else {}
        except TasktapeError as error:
            if not self._live:
                raise
            warn_once("models_not_read", f"only the models of this process are known now: {error}")
            known = outputs_of(self._session).models.get(self._id, {})
            return [(record.direction, "", Model.known(record, self._id, self.run)) for record in known.values()]
        return [(row.direction, row.attached_as, Model.of(makers.get(row.id, row))) for row in rows]

    def _given_input_model(self, name: str) -> Model | None:
        """The model that this task was given under a name before its run began, where what it was given counts."""
        return self.models["input"].get(name) if self._remote_wins() else None


def _meant(model_id: str | None, model_name: str | None) -> BaseModel:
    if model_id:
        return Model(model_id)
    if not model_name:
        raise InvalidArgumentError("give model_id or model_name.")
    found = Model.query_models(model_name=model_name, max_results=1)
    if not found:
        raise InvalidArgumentError(f"there is no model {model_name!r}.")
    return found[0]


def _stem(model: BaseModel) -> str:
    return PurePosixPath(name_of(model.url)).stem
