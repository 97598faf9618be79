"""From what `add_step` and its like are called with to the step: names in ClearML's words, checked at once."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ...projections.rows import TaskFilter
from ..errors import UnknownTaskError
from ..session import Session, current_session
from .errors import PipelineError
from .node import Node, Pair
from .preparing import Base, read_base
from .references import PIPELINE

RetryRule = int | Callable[[Any, Node, int], bool] | None
_RESERVED: Final = frozenset({PIPELINE})


@dataclass(frozen=True)
class Choices:
    """What every kind of step may be told."""

    parents: Sequence[str] | None = None
    execution_queue: str | None = None
    monitor_metrics: Sequence[Any] | None = None
    monitor_artifacts: Sequence[Any] | None = None
    monitor_models: Sequence[Any] | None = None
    time_limit: float | None = None
    continue_on_fail: bool = False
    pre_execute_callback: Callable[..., Any] | None = None
    post_execute_callback: Callable[..., Any] | None = None
    cache_executed_step: bool = False
    retry_on_failure: RetryRule = None
    status_change_callback: Callable[..., Any] | None = None
    output_uri: str | bool | None = None
    continue_behaviour: Mapping[str, bool] | None = None
    stage: str | None = None
    draft: bool = False

    def node(self, name: str, default_retries: RetryRule, **fields: Any) -> Node:
        """A step with these choices."""
        rule = default_retries if self.retry_on_failure is None else self.retry_on_failure
        callbacks = {
            "pre": self.pre_execute_callback,
            "post": self.post_execute_callback,
            "status": self.status_change_callback,
            "retry": rule if callable(rule) else None,
        }
        return Node(
            name,
            queue=self.execution_queue,
            parents=list(self.parents or ()),
            timeout=self.time_limit,
            cache_executed_step=self.cache_executed_step,
            monitor_metrics=pairs(self.monitor_metrics, of_names=False),
            monitor_artifacts=pairs(self.monitor_artifacts),
            monitor_models=pairs(self.monitor_models),
            output_uri=self.output_uri,
            draft=self.draft,
            continue_on_fail=self.continue_on_fail,
            continue_behaviour=self.continue_behaviour,
            stage=self.stage,
            retries=0 if rule is None or callable(rule) else int(rule),
            callbacks={name: function for name, function in callbacks.items() if function is not None},
            **fields,
        )


def pairs(given: Iterable[Any] | None, *, of_names: bool = True) -> list[Pair]:
    """What to take over and the name it gets: `"a"`, `("a", "b")`, `("title", "series")`, or a pair of those."""
    found: list[Pair] = []
    for one in given or ():
        is_pair = isinstance(one, (tuple, list)) and (of_names or not isinstance(one[0], str))
        found.append((one[0], one[-1]) if is_pair else (one, one))
    return [(tuple(a), tuple(b)) if isinstance(a, list) else (a, b) for a, b in found]


def check_name(name: str, known: Iterable[str]) -> None:
    """Raise `PipelineError` for a name that a step can't have."""
    if not name or not isinstance(name, str):
        raise PipelineError("a step needs a name.")
    if name in _RESERVED:
        raise PipelineError(f"{name!r} stands for the pipeline itself: give the step another name.", name)
    if name in known:
        raise PipelineError("there is a step of this name already: give this one another.", name)


@dataclass
class Bases:
    """Tasks that steps copy, each looked up once."""

    _found: dict[tuple[str | None, str | None, str | None], Base] = field(default_factory=dict)

    def find(self, step: str, task_id: str | None, project: str | None, name: str | None) -> Base:
        """The task that a step is to copy: named, or the latest of that project and name.

        Raises:
            PipelineError: Nothing was named, or there is no such task.

        """
        if not task_id and not (project and name):
            raise PipelineError("name the task it runs: base_task_id, or base_task_project and base_task_name.", step)
        key = (task_id, None, None) if task_id else (None, project, name)
        if key not in self._found:
            self._found[key] = _look_up(step, task_id, project or "", name or "")
        return self._found[key]


def _look_up(step: str, task_id: str | None, project: str, name: str) -> Base:
    session = current_session()
    try:
        return read_base(session, task_id or _latest(session, step, project, name))
    except UnknownTaskError as error:
        raise PipelineError(str(error), step) from error


def _latest(session: Session, step: str, project: str, name: str) -> str:
    wanted = TaskFilter(projects=(project,), name=f"^{re.escape(name)}$", include_archived=False)
    with session.queries() as queries:
        found = [row for row in queries.tasks(wanted) if row.name == name]
    if not found:
        raise PipelineError(f"there is no task {name!r} in project {project!r}.", step)
    return found[0].id
