"""What describes a task to people, and where and with what it runs: names, tags, container, packages, code."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..events.task_events import RunProgressed
from .errors import InvalidArgumentError
from .requirements import read_requirements, wishes
from .task_policy import PolicyMixin
from .text import shown
from .types import TaskTypes
from .warn import LOGGER

OWN = "development"
"""System tag of a task that a person's own process runs; gone once it is enqueued."""
WATCHED = "watched"
"""System tag of a task by whose scalars a controller decides as they come: they go to the log without delay."""


def handed_on(system_tags: Iterable[str]) -> list[str]:
    """Those of a task's system tags that a copy of it has, too: not those about who runs it."""
    return [tag for tag in system_tags if tag not in {OWN, WATCHED}]


class EditingMixin(PolicyMixin):
    """Names, tags and texts may change at any time; code and packages in a draft, or by the run itself."""

    @property
    def name(self) -> str:
        """The task's name."""
        return self._identity.name

    @name.setter
    def name(self, value: str) -> None:
        self.rename(value)

    def get_project_name(self) -> str:
        """Return the name of the task's project."""
        return self._identity.project

    @property
    def project(self) -> str:
        """The project's id, which is its name."""
        return self._identity.project

    @property
    def task_type(self) -> str:
        """What the task is for: a value of `TaskTypes`."""
        return self._identity.task_type

    @property
    def comment(self) -> str:
        """The task's description."""
        return self._summary.comment

    @comment.setter
    def comment(self, value: str) -> None:
        self.set_comment(value)

    @property
    def parent(self) -> str | None:
        """Id of the parent task, None without one."""
        return self._summary.parent or None

    @property
    def user(self) -> str:
        """Who created the task."""
        return self._summary.user

    @property
    def output_uri(self) -> str | None:
        """Where artifacts and models go by default; None for the blob store of the settings."""
        return self._summary.output_uri or None

    @output_uri.setter
    def output_uri(self, value: str | bool | None) -> None:
        self._edit("output_uri", self._output_place(value))

    def rename(self, new_name: str) -> bool:
        """Give the task another name; returns whether it had not got it already."""
        return self._edit("name", str(new_name))

    def set_name(self, name: str | None = None) -> bool:
        """Give the task another name, the empty one for None."""
        return self.rename("" if name is None else name)

    def set_comment(self, comment: str) -> None:
        """Set the description."""
        self._edit("comment", str(comment))

    def set_parent(self, parent: Any | None = None) -> None:
        """Set the parent: a task or its id, None for none."""
        self._edit("parent", str(getattr(parent, "id", parent) or ""))

    def set_task_type(self, task_type: str | TaskTypes) -> None:
        """Set what the task is for.

        Raises:
            InvalidArgumentError: There is no such type.

        """
        self._edit("task_type", checked_type(task_type))

    def move_to_project(
        self,
        new_project_id: str | None = None,
        new_project_name: str | None = None,
        system_tags: Sequence[str] | None = None,
    ) -> bool:
        """Move the task to another project, which need not exist yet; returns whether it was elsewhere before.

        Args:
            new_project_id: The project's id, which is its name.
            new_project_name: The project's name.
            system_tags: Accepted; projects have none here.

        Raises:
            InvalidArgumentError: No project was named.

        """
        del system_tags
        project = new_project_name or new_project_id
        if not project:
            raise InvalidArgumentError("name the project to move to.")
        return self._edit("project", project)

    def set_project(self, project_id: str | None = None, project_name: str | None = None) -> bool:
        """Move the task to another project."""
        return self.move_to_project(project_id, project_name)

    def get_tags(self) -> list[str]:
        """Return the tags."""
        return list(self._summary.tags)

    def set_tags(self, tags: Sequence[str]) -> None:
        """Set the tags: those not given are removed.

        Raises:
            InvalidArgumentError: They are neither a list nor a text.

        """
        self._edit("tags", _unique(_listed(tags)))

    def add_tags(self, tags: Sequence[str] | str) -> None:
        """Add tags: a list, or a text of several with spaces between.

        Raises:
            InvalidArgumentError: They are neither.

        """
        self._edit("tags", _unique([*self._spec.tags, *_listed(tags)]))

    def remove_tags(self, tags: Sequence[str] | str) -> None:
        """Remove tags."""
        gone = set(_listed(tags))
        self._edit("tags", [tag for tag in self._spec.tags if tag not in gone])

    def get_system_tags(self) -> list[str]:
        """Return the tags that the system sets, such as `development`."""
        return list(self._summary.system_tags)

    def set_system_tags(self, tags: Sequence[str]) -> None:
        """Set the tags that the system sets."""
        self._edit("system_tags", _unique(tags))

    def set_progress(self, progress: int) -> None:
        """Say how far the run is, in percent; anything but a whole number from 0 to 100 is left out with a warning."""
        if type(progress) is not int or not 0 <= progress <= 100:  # noqa: PLR2004  percent
            LOGGER.warning(
                "progress %s is left out: it is no whole number from 0 to 100.",
                shown(progress),
                extra={"action": "progress_left_out"},
            )
            return
        self._progress = progress
        self._emit(RunProgressed(meta=self._session.stamp(), task=self._id, run=self.run, progress=progress))

    def get_progress(self) -> int | None:
        """Return how far the run is, in percent."""
        return self._progress if self._live else self._fresh_row().progress

    def set_base_docker(
        self,
        docker_cmd: str | None = None,
        docker_image: str | None = None,
        docker_arguments: str | Sequence[str] | None = None,
        docker_setup_bash_script: str | Sequence[str] | None = None,
    ) -> None:
        """Set the container the task asks for; under an agent this does nothing.

        Args:
            docker_cmd: Image and arguments in one text.
            docker_image: The image.
            docker_arguments: Arguments for `docker run`, one text or a list.
            docker_setup_bash_script: Shell script to run in the container first, one text or a list of lines.

        """
        if self._remote_wins():
            return
        image, _, arguments = (docker_image or docker_cmd or "").partition(" ")
        container = {
            "image": image,
            "arguments": _joined(docker_arguments if docker_arguments is not None else arguments, " "),
            "setup_script": _joined(docker_setup_bash_script or "", "\n"),
        }
        self._require_editable("given another container")
        self._edit("container", container)

    def get_base_docker(self) -> str:
        """Return image and arguments of the container in one text."""
        return f"{self._spec.container.image} {self._spec.container.arguments}".strip()

    def set_packages(self, packages: str | Path | Sequence[str]) -> None:
        """Set the packages the task needs, in place of those found; under an agent this does nothing.

        Args:
            packages: Requirement lines, or the path of a requirements file; an empty text for none, so that the
                repository's own requirements file counts.

        """
        if not self._remote_wins():
            self._set_script("script.requirements", read_requirements(packages))

    def get_requirements(self) -> dict[str, str]:
        """Return the packages the task needs as `{"pip": lines}`, once the analysis of its script is done."""
        self._settle()
        return {"pip": "\n".join(self._spec.script.requirements)}

    def set_repo(self, repo: str | None = None, branch: str | None = None, commit: str | None = None) -> None:
        """Set the repository the task's code comes from; under an agent this does nothing.

        Args:
            repo: Its address, or the path of a local copy, whose address, branch and commit are taken.
            branch: The branch, empty for none.
            commit: The commit, empty for the branch's latest.

        """
        if self._remote_wins():
            return
        local = _local_repository(repo)
        given = {"repository": repo, "branch": branch, "commit": commit}
        self._set_script_fields(local or {field: value for field, value in given.items() if value is not None})

    def set_script(
        self,
        repository: str | None = None,
        branch: str | None = None,
        commit: str | None = None,
        diff: str | None = None,
        working_dir: str | None = None,
        entry_point: str | None = None,
        binary: str | None = None,
    ) -> None:
        """Set what the task runs; what is None stays as it is."""
        given = {
            "repository": repository,
            "branch": branch,
            "commit": commit,
            "diff": diff,
            "working_dir": working_dir,
            "entry_point": entry_point,
            "binary": binary,
        }
        self._set_script_fields({field: str(value) for field, value in given.items() if value is not None})

    def get_script(self) -> dict[str, str]:
        """Return working directory, entry point, branch and repository of what the task runs."""
        self._settle()
        return {
            field: getattr(self._spec.script, field)
            for field in ("working_dir", "entry_point", "branch", "repository", "commit", "binary")
        }

    @classmethod
    def add_requirements(cls, package_name: str, package_version: str | None = None) -> None:
        """Ask for a package that no import shows; call it before `Task.init`.

        Args:
            package_name: The package, or the path of a requirements file whose lines are all added.
            package_version: A version or specifier, empty for any; None for the version installed here.

        """
        if Path(package_name).is_file():
            wishes.added |= dict.fromkeys(read_requirements(Path(package_name)), "")
        else:
            wishes.added[package_name] = None if package_version is None else str(package_version)

    @classmethod
    def ignore_requirements(cls, package_name: str) -> None:
        """Leave a package out of those found; call it before `Task.init`."""
        wishes.ignored.add(package_name)

    @classmethod
    def force_requirements_env_freeze(cls, force: bool = True, requirements_file: str | Path | None = None) -> None:
        """Take all that is installed (or a requirements file) in place of what is imported; before `Task.init`."""
        wishes.freeze = force
        wishes.freeze_file = Path(requirements_file) if requirements_file else None

    @classmethod
    def force_store_standalone_script(cls, force: bool = True) -> None:
        """Let the script travel whole, without its repository; call it before `Task.init`."""
        wishes.standalone = force

    def _set_script_fields(self, fields: Mapping[str, str]) -> None:
        for field, value in fields.items():
            self._set_script(f"script.{field}", value)

    def _set_script(self, field: str, value: Any) -> None:
        self._require_editable("given other code")
        self._pinned.add(field)
        self._edit(field, value)

    def _output_place(self, value: str | bool | None) -> str:
        if value is True:
            return self._session.settings.blobs
        return str(value) if value else ""


def checked_type(task_type: str | TaskTypes | None) -> str:
    """The task type meant, `training` for None. Raises `InvalidArgumentError` for what is none."""
    try:
        return TaskTypes(task_type or TaskTypes.training).value
    except ValueError:
        known = ", ".join(TaskTypes)
        raise InvalidArgumentError(f"there is no task type {task_type!r}: use one of {known}.") from None


def _listed(tags: Iterable[str] | str) -> list[str]:
    """Raises `InvalidArgumentError` for what are no tags."""
    if isinstance(tags, str):
        return tags.split()
    if not isinstance(tags, Iterable):
        raise InvalidArgumentError(f"tags are a list or a text with spaces between, not {shown(tags)}.")
    return list(tags)


def _unique(tags: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(str(tag) for tag in tags))


def _joined(parts: str | Sequence[str], separator: str) -> str:
    return parts if isinstance(parts, str) else separator.join(parts)


def _local_repository(repo: str | None) -> dict[str, str] | None:
    """Address, branch and commit of a local copy; None for what is no path of one."""
    if not repo or not Path(repo).expanduser().is_dir():
        return None
    from .capture.repository import find  # noqa: PLC0415  only where a path was given

    found = find(Path(repo).expanduser())
    return {"repository": found.url, "branch": found.branch, "commit": found.commit} if found else None
