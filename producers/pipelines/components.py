"""A call of a component inside a running pipeline: it becomes a step, named and connected by the call itself.

A controller that goes on after its death runs the user's function again from the top. The same calls in the same order
get the same names, so each finds the step it made before, and what is over is not run again.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ...projections.pipeline_fold import DONE
from ..artifacts import Artifact
from .errors import StepFailedError
from .function_steps import FunctionStep
from .function_task import fits_parameter
from .lazy import LazyResult, lazies, loaded, origin

if TYPE_CHECKING:
    from .controller import PipelineController
    from .execution import Execution
    from .node import Node


@dataclass(frozen=True)
class Component:
    """A function that is a step whenever a pipeline calls it. `returns` names its return values."""

    function: Callable[..., Any]
    step: FunctionStep
    name: str

    def bound(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments by name, defaults included, those of `*args` by their number.

        Raises `TypeError` where they do not fit, as the function would.
        """
        signature = inspect.signature(self.function)
        found = signature.bind(*args, **kwargs)
        found.apply_defaults()
        named: dict[str, Any] = {}
        for name, value in found.arguments.items():
            match signature.parameters[name].kind:
                case inspect.Parameter.VAR_POSITIONAL:
                    named |= {str(place): item for place, item in enumerate(value)}
                case inspect.Parameter.VAR_KEYWORD:
                    named |= value
                case _:
                    named[name] = value
        return named


@dataclass
class Calls:
    """The calls of components in one run of a pipeline. Thread-safe."""

    pipeline: PipelineController
    execution: Execution
    nodes: dict[str, Node]
    _seen: set[str] = field(default_factory=set)
    _evaluated: dict[str, None] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def call(self, component: Component, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Make a step of the call and return its results, or stand-ins for them."""
        values = component.bound(args, kwargs)
        with self._lock:
            name = self._named(component.name)
        node = self._node(component, name, values)
        self._add(node)
        results = [LazyResult(name, returned, self._loader(name, returned)) for returned in node.return_artifacts]
        return results[0] if len(results) == 1 else results or None

    def _named(self, name: str) -> str:
        """The call's own name: that of the component, numbered when it was called before."""
        count, unique = 0, name
        while unique in self._seen:
            count += 1
            unique = f"{name}_{count}"
        self._seen.add(unique)
        return unique

    def _node(self, component: Component, name: str, values: Mapping[str, Any]) -> Node:
        parents = {step: None for value in values.values() for step, _ in lazies(value)}
        plain: dict[str, Any] = {}
        artifacts: dict[str, str] = {}
        for key, value in values.items():
            if (source := origin(value)) is not None:
                artifacts[key] = f"${{{source[0]}.id}}.{source[1]}"
            elif fits_parameter(value):
                plain[key] = value
            else:
                artifacts[key] = self._uploaded(name, key, loaded(value))
        step = replace(component.step, name=name, kwargs=plain, artifacts=artifacts)
        node = step.node(self.pipeline)
        node.parents = list(dict.fromkeys([*node.parents, *parents, *self._leaves()]))
        return node

    def _leaves(self) -> list[str]:
        """Steps whose results the pipeline's own code has looked at, without those that others of them wait for."""
        known = [self.nodes[name] for name in self._evaluated]
        inner = {parent for node in known for parent in node.parents}
        return [node.name for node in known if node.name not in inner]

    def _uploaded(self, step: str, key: str, value: Any) -> str:
        """Upload an argument that only an artifact can hold; returns what names it."""
        artifact = f"result_{step}_{key}"
        self.pipeline.upload_value(artifact, value)
        return f"{self.pipeline.id}.{artifact}"

    def _add(self, node: Node) -> None:
        """Let the controller know of the step."""
        self.execution.check(node)
        self.execution.conductor.add(node)

    def _loader(self, step: str, name: str) -> Callable[[], Any]:
        return lambda: self._result(step, name)

    def _result(self, step: str, name: str) -> Any:
        """Wait for a step and load one of its results; None of one that a callback skipped, or that may have none.

        Raises:
            StepFailedError: The step failed or was aborted, or is not run as one did that it depends on, and the
                pipeline does not go on without that.

        """
        self.execution.wait_for(step)
        self._evaluated[step] = None
        fold = self.execution.conductor.fold
        state = fold.steps[step]
        if state.spoils or fold.is_lost(step):
            raise StepFailedError(step, state.status, state.child, state.message)
        if state.status not in DONE:
            return None
        part = self.execution.conductor.outcome_of(step).artifacts.get(name)
        if part is None:
            raise StepFailedError(step, "has returned nothing of that name", state.child, name)
        assert state.ended_at is not None  # noqa: S101  for the type checker
        return self.pipeline.value_of(Artifact(part, state.ended_at))
