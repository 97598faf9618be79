"""A step made ready to run: its task's description with everything that was overridden and all references resolved."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ...events.parts import TaskSpec
from ..controllers.channel import patient
from ..controllers.ids import child_id
from ..errors import UnknownTaskError
from ..spec import fit_spec
from ..task_editing import handed_on
from . import overrides
from .cache_key import cache_key
from .errors import BadReferenceError, PipelineError
from .outcomes import Outcome
from .references import PIPELINE, Reference, resolved

if TYPE_CHECKING:
    from ..session import Session
    from .node import Node


@dataclass(frozen=True)
class Prepared:
    """A step that can be run as run `run` of task `child`. `cached` is the task whose outcome it can take instead.

    `is_new` tells whether the task has to be made first, `is_draft` whether it was made for callbacks to change it.
    """

    node: Node
    child: str
    run: int
    spec: TaskSpec
    parameters: dict[str, Any]
    queue: str
    cache_key: str = ""
    cached: str = ""
    is_new: bool = True
    is_draft: bool = False

    @property
    def is_left(self) -> bool:
        """Whether it is left to others to enqueue it."""
        return self.node.draft


@dataclass
class Surroundings:
    """What all steps of a pipeline share. `project` is where their tasks go, empty for that of what they copy."""

    session: Session
    task: str
    project: str = ""
    tags: tuple[str, ...] = ()
    queue: str = ""
    output_uri: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)


class Preparer:
    """Makes steps ready. `outcome_of` tells what a step has come to, `may_lack` whether some of that may be missing."""

    def __init__(
        self, surroundings: Surroundings, outcome_of: Callable[[str], Outcome], may_lack: Callable[[str], bool]
    ) -> None:
        self._at = surroundings
        self._outcome_of = outcome_of
        self._may_lack = may_lack

    def prepare(self, node: Node, generation: int) -> Prepared:
        """Make a step ready.

        Raises:
            PipelineError: A reference names nothing, an override does not fit, or what the step copies is gone.

        """
        base = self._base(node)
        parameters = self._resolved(node, node.parameters, deep=node.recursively_parse_parameters)
        spec = self._spec(node, base.spec, parameters)
        child, run, is_new = child_id(self._at.task, generation, node.name), 1, True
        if base.is_used_itself:
            child, run, is_new = base.task, base.last_run + 1, False
        queue = str(resolved(node.queue or self._at.queue, node.name, self._lookup(node)))
        return self.looked_up(Prepared(node, child, run, spec, parameters, queue, is_new=is_new))

    def looked_up(self, one: Prepared) -> Prepared:
        """A step with the earlier run whose outcome it can take, if there is one: it depends on all of its spec."""
        key = cache_key(one.spec, self._content) if one.node.cache_executed_step else ""
        return replace(one, cache_key=key, cached=self._cached(key) if key else "")

    def _base(self, node: Node) -> Base:
        if node.base_spec is not None and node.clone_task:
            return Base("", node.base_spec)
        if node.task_factory_func is not None:
            return self._read(node, _made(node, node.task_factory_func), is_used_itself=True)
        return self._read(node, node.base_task_id or "", is_used_itself=not node.clone_task)

    def _read(self, node: Node, task: str, *, is_used_itself: bool) -> Base:
        if not self._at.session.outbox.synced(self._at.session.settings.close_timeout):
            raise PipelineError(f"its task {task} is not on the log yet.", node.name)
        try:
            return patient(lambda: read_base(self._at.session, task, is_used_itself=is_used_itself))
        except UnknownTaskError as error:
            raise PipelineError(str(error), node.name) from error

    def _spec(self, node: Node, base: TaskSpec, parameters: Mapping[str, Any]) -> TaskSpec:
        """The task's description: the copied one's, changed by the step."""
        changes: dict[str, Any] = {
            "name": node.name,
            "project": self._at.project or base.project,
            "user": self._at.session.actor,
            "parent": self._at.task,
            "tags": list(dict.fromkeys([*base.tags, *self._at.tags])),
            "system_tags": handed_on(base.system_tags),
            "time_limit": node.timeout or base.time_limit,
            "output_uri": self._output_uri(node) or base.output_uri,
        }
        spec = overrides.with_parameters(base.model_copy(update=changes), parameters)
        spec = overrides.with_configurations(spec, self._resolved(node, node.configurations))
        if node.explicit_docker_image:
            spec = overrides.with_fields(spec, {"container.image": node.explicit_docker_image}, node.name)
        return fit_spec(overrides.with_fields(spec, self._resolved(node, node.task_overrides), node.name))

    def _output_uri(self, node: Node) -> str:
        if node.output_uri is None:
            return self._at.output_uri
        return self._at.session.settings.blobs if node.output_uri is True else str(node.output_uri or "")

    def _resolved(self, node: Node, values: Mapping[str, Any], *, deep: bool = False) -> dict[str, Any]:
        lookup = self._lookup(node)
        return {name: resolved(value, node.name, lookup, deep=deep) for name, value in values.items()}

    def _lookup(self, node: Node) -> Callable[[Reference], Any]:
        return lambda reference: self._value(node, reference)

    def _value(self, node: Node, reference: Reference) -> Any:
        if reference.step == PIPELINE:
            name = ".".join(reference.path)
            if name not in self._at.arguments:
                raise BadReferenceError(node.name, reference.text, f"the pipeline has no parameter {name!r}")
            return self._at.arguments[name]
        try:
            return self._outcome_of(reference.step).value(reference, node.name)
        except ValueError as error:
            if self._may_lack(reference.step):
                return None
            if isinstance(error, BadReferenceError):
                raise
            raise BadReferenceError(node.name, reference.text, str(error)) from error

    def _content(self, encoded: str) -> str:
        """SHA-256 of the artifact that a parameter names as JSON text, or the text where it can't be told."""
        task, _, name = encoded.strip('"').partition(".")
        try:
            return patient(lambda: Outcome.of_task(self._at.session, task)).artifacts[name].sha256 or encoded
        except (ValueError, KeyError):
            return encoded

    def _cached(self, key: str) -> str:
        with patient(self._at.session.queries) as queries:
            return queries.cached_step(key) or ""


@dataclass(frozen=True)
class Base:
    """What a step runs: a copy of a description, or the very task."""

    task: str
    spec: TaskSpec
    last_run: int = 0
    is_used_itself: bool = False


def _made(node: Node, factory: Callable[[Node], Any]) -> str:
    """Id of the task that the user's own function makes for a step."""
    try:
        return str(factory(node).id)
    except Exception as error:
        raise PipelineError(f"its task could not be made: {type(error).__name__}: {error}", node.name) from error


def read_base(session: Session, task: str, *, is_used_itself: bool = False) -> Base:
    """Read a task that a step is to run. Raises `UnknownTaskError` where there is none."""
    with session.queries() as queries:
        row, spec = queries.task(task), queries.spec(task)
    if row is None or spec is None:
        raise UnknownTaskError(task)
    return Base(task, spec, row.last_run, is_used_itself)
