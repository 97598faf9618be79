"""Steps that are functions: the description of the task that calls one, made when the step becomes known."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from .errors import PipelineError
from .function_task import function_spec
from .node import Node
from .references import PIPELINE, Reference, references
from .step_run import ARGUMENTS, ARTIFACTS
from .steps import Choices, RetryRule
from .values import Serialization

_CALLS: Final = "calls"


class Makers(Protocol):
    """What a function step takes from its pipeline."""

    retry_on_failure: RetryRule
    serialization: Serialization
    deserialization: Serialization
    skips_global_imports: bool

    @property
    def returns(self) -> Mapping[str, Sequence[str]]:
        """Names of the return values of each step known so far."""


@dataclass(frozen=True)
class FunctionStep:
    """A function and how it is to be called. `code` is what `function_spec` takes beside that.

    `artifacts` are the arguments that others' artifacts are, as `TASK.NAME` or `${step.id}.NAME`.
    """

    name: str
    function: Callable[..., Any]
    returned: Sequence[str]
    choices: Choices
    code: Mapping[str, Any] = field(default_factory=dict)
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    artifacts: Mapping[str, str] = field(default_factory=dict)

    def node(self, pipeline: Makers) -> Node:
        """The step. Raises what `function_spec` does."""
        if not callable(self.function):
            raise PipelineError(f"a {type(self.function).__name__} can't be called.", self.name)
        kwargs, artifacts = self._told_apart(pipeline.returns)
        about = {"name": self.name, "project": "", **self.code}
        spec = function_spec(
            self.function,
            **about,
            kwargs=kwargs,
            artifacts=artifacts,
            returns=self.returned,
            skip_global_imports=pipeline.skips_global_imports,
            serialization=pipeline.serialization,
            deserialization=pipeline.deserialization,
        )
        given = {f"{ARGUMENTS}/{name}": value for name, value in kwargs.items()}
        given |= {f"{ARTIFACTS}/{name}": value for name, value in artifacts.items()}
        return self.choices.node(
            self.name,
            pipeline.retry_on_failure,
            base=getattr(self.function, "__name__", _CALLS),
            base_spec=spec,
            return_artifacts=list(self.returned),
            parameters={name: value for name, value in given.items() if list(references(value, self.name))},
            recursively_parse_parameters=True,
        )

    def _told_apart(self, returns: Mapping[str, Sequence[str]]) -> tuple[dict[str, Any], dict[str, str]]:
        """Plain arguments, and those that are return values of other steps: `${step.name}` alone."""
        kwargs, artifacts = dict(self.kwargs), dict(self.artifacts)
        for name, value in self.kwargs.items():
            if (found := self._return_value(value, returns)) is not None:
                del kwargs[name]
                artifacts[name] = f"${{{found.step}.id}}.{found.path[0]}"
        return kwargs, artifacts

    def _return_value(self, value: Any, returns: Mapping[str, Sequence[str]]) -> Reference | None:
        found = list(references(value, self.name)) if isinstance(value, str) else []
        if len(found) != 1 or found[0].text != value or found[0].step == PIPELINE or len(found[0].path) != 1:
            return None
        return found[0] if found[0].path[0] in returns.get(found[0].step, ()) else None
