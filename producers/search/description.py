"""A search that is told in words: kept as the parameters of its task, from which any run of the task makes it again.

So it can be read, cloned with changes and enqueued as any other task, and goes on wherever its next run is. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final

from ..errors import InvalidArgumentError
from ..parameters import make
from .written import objective, parameter

if TYPE_CHECKING:
    from ...events.parts import Parameter as Held
    from .objectives import Objective
    from .parameters import Parameter

SECTION: Final = "Search"
SPACE: Final = "Space"
"""Sections of the task's parameters: all about the search, and a range for each parameter of its base task."""
STRATEGIES: Final = ("random", "grid", "optuna", "bohb")


@dataclass(frozen=True)
class Description:
    """All about a search. `space` are ranges by the full names of parameters, `objectives` are as people write them.

    Times are in minutes; 0 stands for no limit, as it does for numbers of trials and of iterations. Without a `queue`
    trials are processes of the controller's machine. Of the trials the `top` best stay in sight, 0 for all.
    """

    base_task: str
    objectives: tuple[str, ...]
    space: tuple[tuple[str, str], ...]
    strategy: str = "random"
    sampler: str = ""
    pruner: str = ""
    seed: int | None = None
    queue: str = ""
    concurrent: int = 1
    trials: int = 0
    time_limit: float = 0.0
    compute_time_limit: float = 0.0
    trial_time_limit: float = 0.0
    min_iterations: int = 0
    max_iterations: int = 0
    project: str = ""
    top: int = 0

    def goals(self) -> list[Objective]:
        """What is optimised. Raises `WrittenError`."""
        return [objective(text) for text in self.objectives]

    def ranges(self, types: Mapping[str, str]) -> list[Parameter]:
        """What is tried; `types` are those of the base task's parameters. Raises `WrittenError`."""
        return [parameter(f"{name}={text}").range(name, types.get(name, "")) for name, text in self.space]

    def check(self) -> None:
        """Raise `InvalidArgumentError` where the parts of it do not go together."""
        for reason, is_wrong in self._faults():
            if is_wrong:
                raise InvalidArgumentError(f"{reason}.")

    def _faults(self) -> Iterator[tuple[str, bool]]:
        is_optuna, is_bohb = self.strategy == "optuna", self.strategy == "bohb"
        iterations = self.min_iterations and self.max_iterations and self.trials
        has_end = self.trials or self.time_limit or self.compute_time_limit
        yield (
            f"there is no strategy {self.strategy!r}: give one of {', '.join(STRATEGIES)}",
            self.strategy not in STRATEGIES,
        )
        yield "there is nothing to optimise: name an objective", not self.objectives
        yield "there is nothing to try: name a parameter", not self.space
        yield (
            "a sampler and a pruner are Optuna's: take the strategy optuna",
            bool(self.sampler or self.pruner) and not is_optuna,
        )
        yield (
            "BOHB shares out iterations: give the least and the most of a trial, and how many trials",
            is_bohb and not iterations,
        )
        yield "BOHB has one objective: take the strategy optuna for several", is_bohb and len(self.objectives) > 1
        yield (
            "Optuna prunes by one objective alone: leave the pruner out",
            bool(self.pruner) and len(self.objectives) > 1,
        )
        yield "nothing ends this search: limit its trials, or its time", not has_end and self.strategy != "grid"


def held(description: Description) -> list[Held]:
    """The parameters of a task that describe a search."""
    about = [(field.name, getattr(description, field.name)) for field in fields(description) if field.name != "space"]
    listed = [(name, list(value) if isinstance(value, tuple) else value) for name, value in about]
    return [
        *(make(f"{SECTION}/{name}", value) for name, value in listed),
        *(make(f"{SPACE}/{name}", text) for name, text in description.space),
    ]


def described(values: Mapping[str, Any]) -> Description:
    """The search that a task's parameters describe. Raises `InvalidArgumentError` where they describe none."""
    known = {field.name for field in fields(Description)}
    about: dict[str, Any] = {name: value for name, value in _section(values, SECTION) if name in known}
    space = tuple((name, str(text)) for name, text in _section(values, SPACE))
    if not {"base_task", "objectives"} <= about.keys():
        raise InvalidArgumentError("this task describes no search: `tasktape search run` makes one that does.")
    about["objectives"] = tuple(map(str, about["objectives"]))
    return Description(**about, space=space)


def _section(values: Mapping[str, Any], section: str) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        head, _, rest = name.partition("/")
        if head == section:
            yield rest, value
