"""A function as a task: its script, its arguments as parameters, and what it needs to run elsewhere, in one `TaskSpec`.

The same function with the same arguments always makes the same spec: that is how a step's earlier result is found.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from ...events.parts import Container, Parameter, Script, TaskSpec
from ..capture.packages import imported
from ..capture.repository import Repository, find
from ..errors import InvalidArgumentError
from ..parameters import make
from ..requirements import read_requirements
from ..task_editing import checked_type
from ..warn import LOGGER
from .function_code import StepCode, step_code
from .function_source import FunctionSourceError, unwrapped
from .step_run import ARGUMENTS, ARTIFACTS
from .value_tree import kind_of
from .values import Deserialization, Serialization

_PLAIN: Final = frozenset({type(None), bool, int, float, str})
_CONTAINERS: Final = frozenset({list, tuple, set})
_LIBRARIES: Final = frozenset({"pandas", "scipy", "sklearn"})
"""Whose objects are read and written by these libraries themselves."""


def function_spec(
    function: Callable[..., Any],
    *,
    name: str,
    project: str,
    task_type: str | None = None,
    kwargs: Mapping[str, Any] | None = None,
    artifacts: Mapping[str, str] | None = None,
    returns: Sequence[str] | None = None,
    packages: bool | str | Path | Sequence[str] | None = None,
    repo: str | None = None,
    repo_branch: str | None = None,
    repo_commit: str | None = None,
    helper_functions: Iterable[Callable[..., Any]] | None = None,
    docker: str | None = None,
    docker_args: str | None = None,
    docker_bash_setup_script: str | None = None,
    tags: Iterable[str] | None = None,
    output_uri: str | None = None,
    working_dir: str | None = None,
    auto_connect_frameworks: bool | Mapping[str, Any] | None = None,
    auto_connect_arg_parser: bool | Mapping[str, Any] | None = None,
    skip_global_imports: bool = False,
    serialization: Serialization = None,
    deserialization: Deserialization = None,
    parent: str = "",
    user: str = "",
) -> TaskSpec:
    """Describe the task that calls a function.

    Args:
        function: The function, perhaps with decorators.
        name: The task's name.
        project: Its project.
        task_type: A value of `TaskTypes`; `training` by default.
        kwargs: Arguments that are plain values (`fits_parameter`). Plain defaults of others are parameters too.
        artifacts: Arguments that are artifacts, as `TASK.ARTIFACT`; a reference that is to be resolved later passes.
        returns: Names of the return values; each becomes an artifact.
        packages: Requirement lines, or the path of a file of them; None (or True) for those that the code imports,
            False for none.
        repo: Address of a repository to run in, or a folder of a local copy that its remote has, too.
        repo_branch: Its branch.
        repo_commit: Its commit.
        helper_functions: Functions to take along.
        docker: Container image.
        docker_args: Arguments of the container.
        docker_bash_setup_script: Shell script to run in the container first.
        tags: Tags.
        output_uri: Where its artifacts go.
        working_dir: Folder to run in, relative to the repository.
        auto_connect_frameworks: As of `Task.init`.
        auto_connect_arg_parser: As of `Task.init`.
        skip_global_imports: Take along only those imports of the function's module that it uses.
        serialization: Makes bytes of return values; or `pickle` or `cloudpickle`, for those without a safe format.
        deserialization: Makes arguments of artifacts' bytes; or a pickle's name, to read those of others as well.
        parent: The parent task.
        user: Who makes it.

    Raises:
        FunctionSourceError: The function can't travel as source.
        InvalidArgumentError: An argument has no place in the function or is no plain value; there is no such task
            type, no requirements file, or no repository at a local folder.

    """
    try:
        code = step_code(
            function,
            returns=returns or (),
            helper_functions=helper_functions or (),
            serialization=serialization,
            deserialization=deserialization,
            auto_connect_frameworks=True if auto_connect_frameworks is None else auto_connect_frameworks,
            auto_connect_arg_parser=True if auto_connect_arg_parser is None else auto_connect_arg_parser,
            skip_global_imports=skip_global_imports,
        )
    except FunctionSourceError as error:
        raise FunctionSourceError(error.name, error.reason, name) from error
    for note in code.notes:
        LOGGER.warning("step %r: %s", name, note, extra={"action": "step_note"})
    script = Script(
        source=code.source,
        entry_point=_file_name(code),
        working_dir=working_dir or ".",
        python_version="{}.{}.{}".format(*sys.version_info),
        requirements=_requirements(packages, _imports(code, serialization, takes_values=bool(artifacts)), function),
        **_checkout(repo, repo_branch, repo_commit),
    )
    return TaskSpec(
        project=project,
        name=name,
        task_type=checked_type(task_type),
        user=user,
        tags=list(tags or ()),
        parent=parent,
        script=script,
        container=Container(
            image=docker or "", arguments=docker_args or "", setup_script=docker_bash_setup_script or ""
        ),
        parameters=_parameters(unwrapped(function), kwargs or {}, artifacts or {}),
        output_uri=output_uri or "",
    )


def fits_parameter(value: Any) -> bool:
    """Whether a value comes back from a parameter as it is: else it must be an artifact."""
    kind = type(value)
    if kind in _CONTAINERS:
        return all(map(fits_parameter, value))
    if kind is dict:
        return all(map(fits_parameter, [*value, *value.values()]))
    return kind in _PLAIN or isinstance(value, Enum)


def _parameters(function: Any, kwargs: Mapping[str, Any], artifacts: Mapping[str, str]) -> list[Parameter]:
    """The arguments in the function's order, its plain defaults among them, then those that are artifacts."""
    signature = inspect.signature(function).parameters
    takes_any = any(about.kind in {about.VAR_KEYWORD, about.VAR_POSITIONAL} for about in signature.values())
    for name in {**kwargs, **artifacts}:
        if name not in signature and not takes_any:
            known = ", ".join(signature) or "none"
            raise InvalidArgumentError(f"{function.__name__} has no argument {name!r} (arguments: {known}).")
    defaults = {name: about.default for name, about in signature.items() if about.default is not about.empty}
    values = {name: value for name, value in defaults.items() if fits_parameter(value) and name not in artifacts}
    values |= kwargs
    order = {name: place for place, name in enumerate(signature)}
    listed = sorted(values.items(), key=lambda pair: (order.get(pair[0], len(order)), pair[0]))
    return [
        *(_parameter(function.__name__, name, value) for name, value in listed),
        *(make(f"{ARTIFACTS}/{name}", reference) for name, reference in sorted(artifacts.items())),
    ]


def _parameter(function: str, name: str, value: Any) -> Parameter:
    if not fits_parameter(value):
        raise InvalidArgumentError(f"argument {name!r} of {function} is a {kind_of(value)}: pass it as an artifact.")
    return make(f"{ARGUMENTS}/{name}", value)


def _file_name(code: StepCode) -> str:
    """The script's name; another than the function's where it would hide a module that something imports."""
    tops = {"tasktape", *map(_top, code.imports)}
    hides = code.name in sys.stdlib_module_names or code.name in tops
    return f"{code.name}_step.py" if hides else f"{code.name}.py"


def _imports(code: StepCode, serialization: Serialization, *, takes_values: bool) -> set[str]:
    """What the script imports, its functions or those that read and write its values.

    A function need not name the library of a value that it only passes on: then its module's imports tell.
    """
    names = set(code.imports)
    if takes_values:
        names |= {name for name in code.around if _top(name) in _LIBRARIES}
    if "sklearn" in map(_top, names) and find_spec("skops"):
        names.add("skops")
    if serialization == "cloudpickle":
        names.add("cloudpickle")
    return names


def _top(name: str) -> str:
    return name.partition(".")[0]


def _requirements(
    packages: bool | str | Path | Sequence[str] | None, imports: set[str], function: Callable[..., Any]
) -> list[str]:
    if packages is False:
        return []
    if packages is not None and packages is not True:
        return read_requirements(packages)
    return imported(sorted(imports), _boundary(unwrapped(function)))


def _boundary(function: Any) -> Path:
    """The folder of the user's own code: the repository's, else that of the function's file."""
    file = Path(inspect.getsourcefile(function) or "").resolve()
    folder = file.parent if file.is_file() else Path.cwd()
    return next((parent for parent in (folder, *folder.parents) if (parent / ".git").exists()), folder)


def _checkout(repo: str | None, branch: str | None, commit: str | None) -> dict[str, str]:
    """Repository, branch and commit of a script."""
    folder = Path(repo).expanduser() if repo else None
    if folder is None or not folder.is_dir():
        return {"repository": repo or "", "branch": branch or "", "commit": commit or ""}
    found: Repository | None = find(folder)
    if found is None or not found.url:
        raise InvalidArgumentError(f"{folder} is in no repository that has a remote, from which others could get it.")
    return {
        "repository": found.url,
        "branch": branch or found.branch,
        "commit": commit or ("" if branch else found.commit),
    }
