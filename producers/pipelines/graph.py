"""Checks of a pipeline's graph before anything of it runs, in time that grows with steps and edges alone. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .errors import CycleError, PipelineError

Parents = Mapping[str, Sequence[str]]


def check_graph(parents: Parents) -> None:
    """Raise `PipelineError` where a step has a parent that there is not, `CycleError` where steps wait for each other.

    `parents` maps each step to those it waits for.
    """
    for name, named in parents.items():
        if unknown := next((parent for parent in named if parent not in parents), None):
            raise PipelineError(f"its parent {unknown!r} is no step of this pipeline.", name)
    ordered = order(parents)
    if rest := parents.keys() - set(ordered):
        raise CycleError(_cycle({name: named for name, named in parents.items() if name in rest}))


def order(parents: Parents) -> list[str]:
    """Return the steps, each behind its parents; those that wait for each other are left out."""
    waits_for = {name: len(set(named)) for name, named in parents.items()}
    children: dict[str, list[str]] = {name: [] for name in parents}
    for name, named in parents.items():
        for parent in set(named):
            children[parent].append(name)
    found = [name for name, count in waits_for.items() if not count]
    for name in found:  # grows while it is walked
        for child in children[name]:
            waits_for[child] -= 1
            if not waits_for[child]:
                found.append(child)
    return found


def _cycle(rest: Parents) -> list[str]:
    """Return one cycle; each step of `rest` has a parent in it."""
    name = next(iter(rest))
    way: dict[str, None] = {}
    while name not in way:
        way[name] = None
        name = next(parent for parent in rest[name] if parent in rest)
    walked = list(way)
    return walked[walked.index(name) :][::-1]
