"""Making tasks without running them: from a repository, a script, a module or another task, as drafts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from ..events.base import new_task_id
from ..events.parts import Container, Script, TaskSpec
from ..events.task_events import TaskCreated
from . import describing
from . import spec as specs
from .errors import InvalidArgumentError
from .parameters import ARGUMENTS_SECTION, full_name, make
from .requirements import read_requirements
from .session import Session, current_session, process
from .task_editing import checked_type, handed_on
from .task_queues import QueuesMixin


@dataclass(frozen=True)
class Code:
    """What `Task.create` was told about the code to run."""

    repo: str | None
    branch: str | None
    commit: str | None
    script: str | None
    working_directory: str | None
    module: str | None
    binary: str | None
    use_repository: bool
    add_init: bool

    @property
    def is_given(self) -> bool:
        """Whether there is anything to run."""
        return bool(self.repo or self.script or self.module)

    def found(self, session: Session) -> Script:
        """The script: read where it lies on this machine, else taken as it was named."""
        folder = Path(self.repo).expanduser() if self.repo else Path()
        file = folder / Path(self.script).expanduser() if self.script else None
        if (self.repo and not folder.is_dir()) or (file and not file.is_file()):
            return self._named()
        return self._read(session, folder, file)

    def _named(self) -> Script:
        if not self.repo:
            raise InvalidArgumentError(f"script {self.script} is no file here, and no repository is named for it.")
        point = f"-m {self.module}" if self.module else self.script or ""
        script = Script(
            repository=self.repo,
            branch=self.branch or "",
            commit=self.commit or "",
            working_dir=self.working_directory or ".",
            entry_point=point,
        )
        return describing.with_init(script) if self.add_init else script

    def _read(self, session: Session, folder: Path, file: Path | None) -> Script:
        start = Path(self.working_directory).expanduser() if self.working_directory else folder
        start = start if start.is_absolute() or start.is_dir() else folder / start
        entry = describing.entry_of(start, file, self.module or "")
        found = describing.describe(entry, session, use_repository=self.use_repository)
        overrides = {"branch": self.branch, "commit": self.commit}
        found = found.model_copy(update={name: value for name, value in overrides.items() if value})
        needs_init = self.add_init and not (file and describing.calls_init(file))
        return describing.with_init(found) if needs_init else found


class CreateMixin(QueuesMixin):
    """`create` and `clone`."""

    @classmethod
    def create(
        cls,
        project_name: str | None = None,
        task_name: str | None = None,
        task_type: str | None = None,
        repo: str | None = None,
        branch: str | None = None,
        commit: str | None = None,
        script: str | None = None,
        working_directory: str | None = None,
        packages: bool | Sequence[str] | None = None,
        requirements_file: str | Path | None = None,
        docker: str | None = None,
        docker_args: str | None = None,
        docker_bash_setup_script: str | None = None,
        argparse_args: Sequence[tuple[str, str]] | None = None,
        base_task_id: str | None = None,
        add_task_init_call: bool = True,
        force_single_script_file: bool = False,
        binary: str | None = None,
        module: str | None = None,
        detect_repository: bool = True,
    ) -> Self:
        """Make a draft, without running anything.

        Args:
            project_name: Its project; the current task's by default.
            task_name: Its name; the script's by default.
            task_type: A value of `TaskTypes`.
            repo: Address of a repository, or path of a local copy.
            branch: Branch, whose latest commit is run where none is named.
            commit: Commit.
            script: Path of the script, relative to the repository where one is given.
            working_directory: Folder to run in, relative to the repository.
            packages: Requirement lines; True (or None) for those that a local script imports, False for none.
            requirements_file: Path of a requirements file.
            docker: Container image.
            docker_args: Arguments of the container.
            docker_bash_setup_script: Shell script to run in the container first.
            argparse_args: Pairs of argument and value.
            base_task_id: A task to copy, with what is given here changed.
            add_task_init_call: Run the script as a task even if it does not call `Task.init` itself.
            force_single_script_file: Let a local script travel alone, without its repository.
            binary: Interpreter, `python` by default.
            module: Module (and its arguments) to run in place of a script, as after `python -m`.
            detect_repository: Look for the repository that a local script is in.

        Raises:
            InvalidArgumentError: No project is named and there is no current task; or there is no such script.

        """
        project = project_name or (process.task.get_project_name() if process.task else None)
        if not project and not base_task_id:
            raise InvalidArgumentError("name the project: there is no current task whose project could be taken.")
        code = Code(
            repo=repo,
            branch=branch,
            commit=commit,
            script=script,
            working_directory=working_directory,
            module=module,
            binary=binary,
            use_repository=detect_repository and not force_single_script_file,
            add_init=add_task_init_call,
        )
        spec = cls._base_spec(base_task_id, project, task_name or _name_of(code), task_type)
        spec = _with_code(spec, code, packages, requirements_file)
        spec = _with_container(spec, docker, docker_args, docker_bash_setup_script)
        return cls._created(_with_arguments(spec, argparse_args or ()))

    @classmethod
    def clone(
        cls,
        source_task: Any = None,
        name: str | None = None,
        comment: str | None = None,
        parent: Any = None,
        project: str | None = None,
    ) -> Self:
        """Make a draft with the same code, parameters and configuration.

        Args:
            source_task: The task or its id.
            name: The clone's name; `Clone Of …` by default.
            comment: Its description.
            parent: Its parent; by default the source's parent, else the source.
            project: Its project; the source's by default.

        Raises:
            UnknownTaskError: There is no such task; also a `ValueError`.

        """
        source = cls._given(source_task)
        source._settle()
        spec = source._spec
        changes = {
            "name": name or f"Clone Of {spec.name}",
            "comment": spec.comment if comment is None else comment,
            "parent": str(getattr(parent, "id", parent) or spec.parent or source.id),
            "project": project or spec.project,
            "user": current_session().actor,
            "system_tags": handed_on(spec.system_tags),
        }
        return cls._created(spec.model_copy(update=changes))

    @classmethod
    def _created(cls, spec: TaskSpec) -> Self:
        session, spec = current_session(), specs.fit_spec(spec)
        task = cls(new_task_id(), run=0, spec=spec)
        session.emit(TaskCreated(meta=session.stamp(), task=task.id, spec=spec))
        return task

    @classmethod
    def _base_spec(cls, base: str | None, project: str | None, name: str | None, task_type: str | None) -> TaskSpec:
        if base is None:
            return TaskSpec(
                project=project or "",
                name=name or "",
                task_type=checked_type(task_type),
                user=current_session().actor,
            )
        spec = cls._by_id(base)._spec
        given = {
            "project": project,
            "name": name or f"Clone Of {spec.name}",
            "task_type": checked_type(task_type) if task_type else None,
            "parent": base,
            "user": current_session().actor,
            "system_tags": handed_on(spec.system_tags),
        }
        return spec.model_copy(update={field: value for field, value in given.items() if value is not None})


def _name_of(code: Code) -> str | None:
    if code.module:
        return code.module.split()[0]
    return Path(code.script).stem if code.script else None


def _with_code(
    spec: TaskSpec, code: Code, packages: bool | Sequence[str] | None, requirements_file: str | Path | None
) -> TaskSpec:
    script = code.found(current_session()) if code.is_given else spec.script
    changes: dict[str, Any] = {"binary": code.binary} if code.binary else {}
    if requirements_file is not None:
        changes["requirements"] = read_requirements(Path(requirements_file))
    elif packages is False:
        changes["requirements"] = []
    elif packages is not None and packages is not True:
        changes["requirements"] = read_requirements(packages)
    return spec.model_copy(update={"script": script.model_copy(update=changes)})


def _with_container(spec: TaskSpec, image: str | None, arguments: str | None, setup: str | None) -> TaskSpec:
    given: Mapping[str, str | None] = {"image": image, "arguments": arguments, "setup_script": setup}
    changes = {field: value for field, value in given.items() if value is not None}
    container: Container = spec.container.model_copy(update=changes)
    return spec.model_copy(update={"container": container})


def _with_arguments(spec: TaskSpec, pairs: Iterable[tuple[str, str]]) -> TaskSpec:
    given = [make(full_name(name, ARGUMENTS_SECTION), value) for name, value in pairs]
    names = {parameter.name for parameter in given}
    kept = [held for held in spec.parameters if held.name not in names]
    return spec.model_copy(update={"parameters": [*kept, *given]})
