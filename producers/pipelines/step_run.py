"""What a step's script does where it runs: begin the task, take its arguments, call the function, keep what it returns.

Arguments are parameters of the section `kwargs`, and artifacts of other tasks that `kwargs_artifacts` names.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from ...events.errors import TasktapeError
from ..artifacts import Artifact, BlockedArtifactTypeError
from ..parameters import from_text, localized, make
from ..task_artifacts import are_stored, store_artifact
from ..warn import LOGGER
from .function_source import unwrapped
from .value_tree import UnsupportedValueError, kind_of
from .values import PICKLED, PICKLES, Deserialization, Serialization, is_pickle, value_format

if TYPE_CHECKING:
    from ..task import Task

ARGUMENTS: Final = "kwargs"
ARTIFACTS: Final = "kwargs_artifacts"
_READABLE: Final = frozenset({"bool", "int", "float", "list", "tuple", "set", "dict"})
_POSITIONAL: Final = {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD}
_failed_imports: Final[list[str]] = []
_WHENCE: Final = "Modules of your own come with the step's repo, others with its packages."


class StepArgumentError(TasktapeError, ValueError):
    """An argument of a step can't be had."""

    def __init__(self, step: str, argument: str, reason: str) -> None:
        super().__init__(f"step {step!r} can't have its argument {argument!r}: {reason}")
        self.step = step
        self.argument = argument


class StepReturnError(TasktapeError, ValueError):
    """A step's return value can't be kept."""

    def __init__(self, step: str, reason: str) -> None:
        super().__init__(f"step {step!r} {reason}")
        self.step = step


@contextmanager
def optional_import() -> Iterator[None]:
    """Go on where an import of the function's module fails: the function may not need it. If it does, that is said."""
    try:
        yield
    except Exception as error:  # noqa: BLE001  modules raise all kinds when they are imported
        _failed_imports.append(f"an import of its module failed here: {error!r}")
        LOGGER.info("%s", _failed_imports[-1], extra={"action": "import_left_out"})


def run_step(
    function: Callable[..., Any],
    *,
    returns: Sequence[str] = (),
    serialize: Serialization = None,
    deserialize: Deserialization = None,
    auto_connect_frameworks: bool | Mapping[str, Any] = True,
    auto_connect_arg_parser: bool | Mapping[str, Any] = True,
) -> None:
    """Run a function as the task this process was started for.

    Raises `StepArgumentError` and `StepReturnError`, and whatever the function does.
    """
    from ..task import Task  # noqa: PLC0415  all of it, once it is needed

    task = Task.init(
        auto_connect_frameworks=auto_connect_frameworks,
        auto_connect_arg_parser=auto_connect_arg_parser,
    )
    positional, named = arguments_of(task, function, deserialize)
    result = _called(function, positional, named)
    for name, value in returned(task.name, returns, result).items():
        keep(task, name, value, serialize)
    if not (task.flush(wait_for_uploads=True) and are_stored(task)):
        raise StepReturnError(task.name, "has return values that others can't read yet: see the warnings above.")


def _called(function: Callable[..., Any], positional: list[Any], named: dict[str, Any]) -> Any:
    try:
        return function(*positional, **named)
    except (NameError, ModuleNotFoundError) as error:
        missing = isinstance(error, ModuleNotFoundError)
        for note in [*_failed_imports, *([_WHENCE] if missing or _failed_imports else [])]:
            error.add_note(note)
        raise


def arguments_of(
    task: Task, function: Callable[..., Any], deserialize: Deserialization = None
) -> tuple[list[Any], dict[str, Any]]:
    """Positional and named arguments for a call of a function, of a task's parameters and of others' artifacts.

    Those of `*args` are named by their number.
    """
    signature = inspect.signature(unwrapped(function)).parameters
    held = task.get_parameters(cast=True)
    given = _of_parameters(task.name, signature, _section(held, ARGUMENTS))
    for name, reference in _section(held, ARTIFACTS).items():
        if reference:
            given[name] = _of_artifact(task.name, name, str(reference), deserialize)
    numbered = sorted((name for name in given if name.isdigit()), key=int)
    before = [name for name, about in signature.items() if about.kind in _POSITIONAL] if numbered else []
    only = [name for name, about in signature.items() if about.kind is inspect.Parameter.POSITIONAL_ONLY]
    positional = [name for name in [*(before or only), *numbered] if name in given]
    return [given.pop(name) for name in positional], given


def _section(held: Mapping[str, Any], section: str) -> dict[str, Any]:
    prefix = f"{section}/"
    return {name.removeprefix(prefix): value for name, value in held.items() if name.startswith(prefix)}


def _of_parameters(step: str, signature: Mapping[str, inspect.Parameter], section: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments in the function's types. `name/key` is a key of an argument that is a dict."""
    given = {name: _typed(step, name, value, signature.get(name)) for name, value in section.items() if "/" not in name}
    for path, value in section.items():
        name, *keys = path.split("/")
        if keys and isinstance(given.get(name), dict):
            _put(given[name], keys, value)
    return given


def _put(target: dict[Any, Any], keys: list[str], value: Any) -> None:
    """Set a value in nested dicts, in the type it has there."""
    *path, last = keys
    for key in path:
        target = target.setdefault(key, {})
    target[last] = localized(make(last, value), target[last]) if last in target else value


def _typed(step: str, name: str, value: Any, about: inspect.Parameter | None) -> Any:
    """A value in the type of the function's default; a text that a person typed, in the type of the annotation."""
    if about is None:
        return value
    if about.default is not inspect.Parameter.empty and about.default is not None:
        return localized(make(name, value), about.default)
    kind = str(getattr(about.annotation, "__name__", about.annotation)).partition("[")[0]
    if not isinstance(value, str) or kind not in _READABLE:
        return value
    try:
        return from_text(value, kind)
    except ValueError as error:
        raise StepArgumentError(step, name, f"{error}.") from error


def _of_artifact(step: str, name: str, reference: str, deserialize: Deserialization) -> Any:
    from ..task import Task  # noqa: PLC0415  as above

    task_id, _, wanted = reference.partition(".")
    try:
        artifact = Task.get_task(task_id).artifacts[wanted]
        return load_artifact(artifact, deserialize)
    except KeyError as error:
        raise StepArgumentError(step, name, f"task {task_id}: {error.args[0]}.") from error
    except ImportError as error:
        reason = f"artifact {wanted!r} of task {task_id} needs a package: {error}. Add it to the step's packages."
        raise StepArgumentError(step, name, reason) from error
    except Exception as error:
        raise StepArgumentError(step, name, f"artifact {wanted!r} of task {task_id} can't be read: {error}") from error


def load_artifact(artifact: Artifact, deserialize: Deserialization = None) -> Any:
    """The object of an artifact. One that was pickled without a request of its user's is read at a request only.

    Raises `BlockedArtifactTypeError` for that, `ArtifactError` where it can't be had, and what its loading raises.
    """
    if callable(deserialize):
        return artifact.load(deserialize)
    if artifact.is_pickled and PICKLED not in artifact.metadata and deserialize not in PICKLES:
        raise BlockedArtifactTypeError(artifact.name)
    return artifact.load()


def returned(step: str, names: Sequence[str], result: Any) -> dict[str, Any]:
    """What a function has returned, by the names of its return values: one is the value itself, several a tuple's.

    Raises `StepReturnError` where there are not as many values as names.
    """
    if len(names) <= 1:
        return dict.fromkeys(names, result)
    count = len(result) if isinstance(result, (tuple, list)) else 1
    if count != len(names):
        listed, kind = ", ".join(names), type(result).__name__
        values = f"{count} values" if isinstance(result, (tuple, list)) else f"one value (a {kind})"
        raise StepReturnError(step, f"has {len(names)} return values by name ({listed}), but returned {values}.")
    return dict(zip(names, result, strict=True))


def keep(task: Task, name: str, value: Any, serialize: Serialization = None) -> None:
    """Keep a value as an artifact of a task. Raises `StepReturnError` where no format allowed holds it."""
    try:
        store_value(task, name, value, serialize)
    except UnsupportedValueError as error:
        raise StepReturnError(task.name, f"returns {name!r} as a {kind_of(value)}: {error} {HOW_TO_PICKLE}") from error


def store_value(task: Task, name: str, value: Any, serialize: Serialization = None) -> None:
    """Store a value as an artifact that `load_artifact` reads; a pickle with a warning.

    Raises `UnsupportedValueError` where no safe format holds it and no pickle is allowed.
    """
    found = value_format(value, name, serialize)
    if not is_pickle(found):
        store_artifact(task, name, found, {})
        return
    LOGGER.warning(
        "%r, a %s, is kept by %s as the pipeline asks: reading it runs code of whoever can write to its storage.",
        name,
        kind_of(value),
        serialize,
        extra={"action": "artifact_pickled", "artifact": name},
    )
    store_artifact(task, name, found, {PICKLED: str(serialize)})


HOW_TO_PICKLE: Final = (
    "Return arrays, tables or plain values instead, or allow pickle, which runs code when it is read: "
    'artifact_serialization_function="pickle" (or "cloudpickle") for the pipeline.'
)
