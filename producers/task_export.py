"""Tasks as plain dicts, with ClearML's keys: out, edited by hand, and in again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, Self

from ..events.parts import Configuration, Container, Parameter, Script, TaskSpec
from .errors import InvalidArgumentError
from .parameters import encode, from_text, text_of, type_name, value_of
from .session import current_session
from .task_editing import checked_type, handed_on
from .task_remote import RemoteMixin

_SCRIPT_NAMES: Final = {"commit": "version_num"}
_SPEC_NAMES: Final = {"task_type": "type", "project": "project_name"}
_PLAIN: Final = (
    "name",
    "project",
    "task_type",
    "comment",
    "tags",
    "system_tags",
    "parent",
    "output_uri",
    "environment",
)


class ExportMixin(RemoteMixin):
    """`export_task`, `import_task`, `update_task`."""

    def export_task(self) -> dict[str, Any]:
        """Return the task's description as a dict that JSON can hold: code, parameters, configurations; no outputs."""
        self._settle()
        return {"id": self.id, "user": self._spec.user, **exported(self._spec)}

    @classmethod
    def import_task(cls, task_data: Mapping[str, Any], target_task: Any = None, update: bool = False) -> Self:
        """Make a draft of an exported task.

        Args:
            task_data: What `export_task` returned, perhaps edited.
            target_task: A task (or its id) to put it into, instead of a new one.
            update: Keep what `target_task` has and `task_data` lacks.

        Raises:
            InvalidArgumentError: `task_data` has something that does not fit.
            UnknownTaskError: There is no such target; also a `ValueError`.

        """
        if target_task is None:
            spec = imported(task_data, TaskSpec(project="", name="", user=current_session().actor))
            return cls._created(spec)
        target = cls._given(target_task)
        before = target._spec
        base = before if update else TaskSpec(project=before.project, name=before.name, user=before.user)
        target._become(imported(task_data, base))
        return target

    def update_task(self, task_data: Mapping[str, Any]) -> bool:
        """Change this task to what an exported one says; returns True."""
        self.import_task(task_data, target_task=self, update=True)
        return True

    def _become(self, spec: TaskSpec) -> None:
        """Say the differences between what the task is and what it is to be."""
        self._require_editable("imported into")
        for field in (*_PLAIN, "script", "container"):
            self._edit(field, getattr(spec, field))
        names = {parameter.name for parameter in spec.parameters}
        self._put_parameters(spec.parameters, [p.name for p in self._spec.parameters if p.name not in names])
        for configuration in spec.configurations:
            self._put_configuration(configuration)


def exported(spec: TaskSpec) -> dict[str, Any]:
    """A spec as a dict with ClearML's keys."""
    plain = {_SPEC_NAMES.get(field, field): value for field, value in spec.model_dump(include=set(_PLAIN)).items()}
    script = spec.script.model_dump(mode="json")
    return {
        **plain,
        "script": {_SCRIPT_NAMES.get(field, field): value for field, value in script.items()}
        | {"requirements": {"pip": "\n".join(spec.script.requirements)}},
        "container": {
            "image": spec.container.image,
            "arguments": spec.container.arguments,
            "setup_shell_script": spec.container.setup_script,
        },
        "hyperparams": _sections(spec.parameters),
        "configuration": {
            held.name: {"name": held.name, "value": held.text, "type": held.type, "description": held.description}
            for held in spec.configurations
        },
    }


def imported(data: Mapping[str, Any], base: TaskSpec) -> TaskSpec:
    """The spec that an exported dict means; what it lacks is as in `base`."""
    changes: dict[str, Any] = {}
    for field in _PLAIN:
        if (name := _SPEC_NAMES.get(field, field)) in data:
            changes[field] = data[name]
    if "system_tags" in changes:
        changes["system_tags"] = handed_on(changes["system_tags"] or ())
    if "task_type" in changes:
        changes["task_type"] = checked_type(changes["task_type"])
    try:
        if "script" in data:
            changes["script"] = _script(data["script"], base.script)
        if "container" in data:
            changes["container"] = _container(data["container"], base.container)
        if "hyperparams" in data:
            changes["parameters"] = list(_parameters(data["hyperparams"], base.parameters))
        if "configuration" in data:
            changes["configurations"] = list(_configurations(data["configuration"], base.configurations))
        return TaskSpec.model_validate(base.model_dump() | _dumped(changes))
    except (ValueError, TypeError, AttributeError) as error:
        raise InvalidArgumentError(f"this is no exported task: {error}") from error


def _dumped(changes: Mapping[str, Any]) -> dict[str, Any]:
    found = {}
    for field, value in changes.items():
        if isinstance(value, list):
            found[field] = [item.model_dump() if hasattr(item, "model_dump") else item for item in value]
        else:
            found[field] = value.model_dump() if hasattr(value, "model_dump") else value
    return found


def _sections(parameters: Iterable[Parameter]) -> dict[str, dict[str, dict[str, str]]]:
    found: dict[str, dict[str, dict[str, str]]] = {}
    for held in parameters:
        section, _, name = held.name.partition("/")
        about = {"type": held.type, "description": held.description, "json": held.value}
        about |= {"section": section, "name": name, "value": text_of(value_of(held))}
        found.setdefault(section, {})[name] = about
    return found


def _parameters(sections: Mapping[str, Any], base: Iterable[Parameter]) -> Iterable[Parameter]:
    given = {
        f"{section}/{name}": _parameter(f"{section}/{name}", about)
        for section, names in sections.items()
        for name, about in names.items()
    }
    return ({held.name: held for held in base} | given).values()


def _parameter(name: str, about: Mapping[str, Any]) -> Parameter:
    """One parameter; where a person has changed its text, the text counts, read as its type."""
    text, kind = about.get("value"), str(about.get("type") or "str")
    description = str(about.get("description") or "")
    known = Parameter(name=name, value=str(about.get("json", '""')), type=kind, description=description)
    if "json" in about and text_of(value_of(known)) == text:
        return known
    try:
        value = from_text(text, kind) if isinstance(text, str) else text
    except ValueError:
        value = text
    kind = kind if ":" in kind else type_name(value)
    return known.model_copy(update={"value": encode(value), "type": kind})


def _configurations(given: Mapping[str, Any], base: Iterable[Configuration]) -> Iterable[Configuration]:
    known = {held.name: held for held in base}
    for name, about in given.items():
        texts = {"text": about.get("value"), "type": about.get("type"), "description": about.get("description")}
        known[name] = Configuration(name=name, text="").model_copy(
            update={field: str(value) for field, value in texts.items() if value is not None},
        )
    return known.values()


def _script(given: Mapping[str, Any], base: Script) -> Script:
    ours = {theirs: field for field, theirs in _SCRIPT_NAMES.items()}
    changes = {ours.get(name, name): value for name, value in given.items() if value is not None}
    if isinstance(requirements := changes.get("requirements"), Mapping):
        changes["requirements"] = [line for line in str(requirements.get("pip", "")).split("\n") if line]
    return Script.model_validate(base.model_dump() | changes)


def _container(given: Mapping[str, Any], base: Container) -> Container:
    changes = {field: given.get(field) for field in ("image", "arguments")}
    changes["setup_script"] = given.get("setup_shell_script")
    return base.model_copy(update={field: str(value) for field, value in changes.items() if value is not None})
