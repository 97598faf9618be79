"""What a reference to a finished step finds: its artifacts, models, parameters and fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from ...events.parts import Artifact, Model, TaskSpec
from ...projections.rows import ModelFilter
from .. import spec as specs
from ..parameters import value_of
from .errors import BadReferenceError
from .references import Reference

if TYPE_CHECKING:
    from ..controllers.children import Child
    from ..session import Session

_URL: Final = "url"
_ARTIFACT_FIELDS: Final = {"url": "uri", "hash": "sha256"}
_SPEC_FIELDS: Final = {"output.destination": "output_uri", "script.version_num": "script.commit"}


class Outcome:
    """What is known of a task that a reference may ask for."""

    def __init__(
        self, task: str, spec: TaskSpec, artifacts: Mapping[str, Artifact], models: Mapping[str, list[Model]]
    ) -> None:
        self.task = task
        self._spec = spec
        self.artifacts = artifacts
        self._models = models

    @classmethod
    def of_child(cls, child: Child) -> Outcome | None:
        """From the events of a child; None where they do not tell all."""
        spec = child.state.spec
        if spec is None or child.borrows:
            return None
        models: dict[str, list[Model]] = {"input": [], "output": []}
        for model in child.models:
            models[model.direction].append(model)
        return cls(child.task, spec, child.artifacts, models)

    @classmethod
    def of_task(cls, session: Session, task: str) -> Outcome:
        """From the projection. Raises `ValueError` where there is no such task."""
        with session.queries() as queries:
            spec, rows = queries.spec(task), queries.artifacts(task)
            models = sorted(queries.models(ModelFilter(task=task)), key=lambda row: row.created_at)
        if spec is None:
            raise ValueError(f"there is no task {task}")
        artifacts = {row.name: Artifact(**{name: getattr(row, name) for name in Artifact.model_fields}) for row in rows}
        made: dict[str, list[Model]] = {"input": [], "output": []}
        for row in models:
            made[row.direction].append(_model(row))
        return cls(task, spec, artifacts, made)

    def value(self, reference: Reference, reader: str) -> Any:
        """What the reference refers to. Raises `BadReferenceError` where that is not there."""
        kind, *rest = reference.path
        try:
            if kind == "id":
                return self.task
            if kind == "artifacts":
                return self._artifact(*rest)
            if kind == "parameters":
                return self._parameter(".".join(rest))
            return self._model(*rest) if kind == "models" else self._field(".".join(reference.path))
        except (KeyError, IndexError, AttributeError, TypeError, ValueError) as error:
            reason = f"task {self.task} has none ({type(error).__name__}: {error})"
            raise BadReferenceError(reader, reference.text, reason) from error

    def models(self, direction: str) -> list[Model]:
        """Its models, `input` or `output`, in the order in which they came."""
        return self._models[direction]

    def _artifact(self, name: str, field: str = _URL, *rest: str) -> Any:
        while name not in self.artifacts and rest:
            name, field, *rest = f"{name}.{field}", *rest  # type: ignore[assignment]
        value = getattr(self.artifacts[name], _ARTIFACT_FIELDS.get(field, field))
        return value[".".join(rest)] if rest else value

    def _parameter(self, name: str) -> Any:
        held = specs.parameter(self._spec, name)
        if held is None:
            raise KeyError(name)
        return value_of(held)

    def _model(self, direction: str, index: str, field: str = _URL) -> Any:
        return getattr(self._models[direction.lower()][int(index)], {"url": "uri"}.get(field, field))

    def _field(self, path: str) -> Any:
        return specs.value_at(self._spec, _SPEC_FIELDS.get(path, path))


def _model(row: Any) -> Model:
    known = {name: getattr(row, name) for name in Model.model_fields if hasattr(row, name)}
    return Model(**(known | {"tags": list(row.tags)}))
