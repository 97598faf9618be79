"""References between steps: `${pipeline.x}`, `${step.id}`, `${step.artifacts.name.url}` and the like. Pure.

A text that is one reference and nothing else becomes the value it refers to, with its type; others take its text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from .errors import BadReferenceError

PIPELINE: Final = "pipeline"
KINDS: Final = frozenset(
    {
        "id",
        "artifacts",
        "parameters",
        "models",
        "script",
        "execution",
        "container",
        "output",
        "comment",
        "tags",
        "system_tags",
        "project",
        "name",
    }
)
_PATTERN: Final = re.compile(r"\$\{[^}]*\}")
_DOT: Final = re.compile(r"(?<!\\)\.")
_MODEL_PARTS: Final = 3
_ALONE: Final = frozenset({"id", "comment", "tags", "system_tags", "project", "name"})


@dataclass(frozen=True, slots=True)
class Reference:
    """One `${…}`: the step it names (or `pipeline`), and the path in it."""

    text: str
    step: str
    path: tuple[str, ...]

    @classmethod
    def of(cls, text: str, reader: str) -> Reference:
        """Parse a reference that step `reader` makes. Raises `BadReferenceError` where it has no path."""
        step, *path = (part.replace("\\.", ".") for part in _DOT.split(text[2:-1].strip()))
        if not step or not path or not all(path):
            raise BadReferenceError(reader, text, "write ${step.artifacts.NAME.url}, ${step.id} or ${pipeline.NAME}")
        return cls(text, step, tuple(path))


Lookup = Callable[[Reference], Any]


def references(value: Any, reader: str, *, deep: bool = True) -> Iterator[Reference]:
    """Yield the references in a value; `deep` looks into containers too."""
    if isinstance(value, str):
        yield from (Reference.of(found, reader) for found in _PATTERN.findall(value))
    elif deep and isinstance(value, Mapping):
        for item in value.values():
            yield from references(item, reader)
    elif deep and isinstance(value, (list, tuple)):
        for item in value:
            yield from references(item, reader)


def resolved(value: Any, reader: str, lookup: Lookup, *, deep: bool = False) -> Any:
    """Return a value with its references replaced; `deep` looks into containers too."""
    if isinstance(value, str):
        return _text(value, reader, lookup)
    if deep and isinstance(value, Mapping):
        return {key: resolved(item, reader, lookup, deep=True) for key, item in value.items()}
    if deep and isinstance(value, (list, tuple)):
        items = [resolved(item, reader, lookup, deep=True) for item in value]
        return items if isinstance(value, list) else tuple(items)
    return value


def _text(text: str, reader: str, lookup: Lookup) -> Any:
    if _PATTERN.fullmatch(text):
        return lookup(Reference.of(text, reader))
    return _PATTERN.sub(lambda found: str(lookup(Reference.of(found.group(), reader))), text)


def check(reference: Reference, reader: str, arguments: Mapping[str, Any], steps: Mapping[str, Sequence[str]]) -> None:
    """Raise `BadReferenceError` unless a reference may have a value; `steps` maps each step to its return values."""
    if reason := _fault(reference, arguments, steps):
        raise BadReferenceError(reader, reference.text, reason)


def _fault(reference: Reference, arguments: Mapping[str, Any], steps: Mapping[str, Sequence[str]]) -> str:
    kind, *rest = reference.path
    if reference.step == PIPELINE:
        name = ".".join(reference.path)
        return "" if name in arguments else f"the pipeline has no parameter {name!r}; add it with add_parameter"
    if reference.step not in steps:
        return f"there is no step {reference.step!r}"
    if kind in steps[reference.step] and not rest:
        by_url = f"${{{reference.step}.artifacts.{kind}.url}}"
        return f"a return value is one of function_kwargs by itself, of a step that is added first; or take {by_url}"
    if kind not in KINDS:
        return f"{kind!r} is neither a return value of that step nor one of {', '.join(sorted(KINDS))}"
    if not rest and kind not in _ALONE:
        return f"{kind!r} needs a name behind it"
    return _fault_of_model(rest) if kind == "models" else ""


def _fault_of_model(rest: Sequence[str]) -> str:
    is_complete = len(rest) >= _MODEL_PARTS and rest[0].lower() in {"input", "output"}
    if not is_complete or not re.fullmatch(r"-?\d+", rest[1]):
        return "a model is named as in ${step.models.output.-1.url}"
    return ""
