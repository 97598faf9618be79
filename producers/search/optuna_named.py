"""Optuna's samplers and pruners by name, for searches that are told in words: those that need no arguments."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from ..errors import InvalidArgumentError

if TYPE_CHECKING:
    import optuna

    from .description import Description


def optuna_arguments(description: Description) -> dict[str, Any]:
    """What `OptimizerOptuna` takes for the sampler, the pruner and the seed of a description.

    Raises `InvalidArgumentError` for names that Optuna lacks, and for what can't be made without arguments.
    """
    from optuna import pruners, samplers  # noqa: PLC0415  only where Optuna is there

    seed, found = description.seed, dict[str, Any]()
    usual = "TPESampler" if len(description.objectives) == 1 else "NSGAIISampler"
    if name := description.sampler or ("" if seed is None else usual):
        kind = _named(samplers, name, samplers.BaseSampler, "sampler")
        found["optuna_sampler"] = _made(kind, name, {} if seed is None else {"seed": seed})
    if description.pruner:
        kind = _named(pruners, description.pruner, pruners.BasePruner, "pruner")
        found["optuna_pruner"] = _made(kind, description.pruner, {})
    return found


def _named(module: Any, name: str, base: type[Any], what: str) -> type[Any]:
    """The class of this name; `tpe` is short for `TPESampler`."""
    known: dict[str, type[Any]] = {kind.__name__: kind for kind in vars(module).values() if _is_one(kind, base)}
    folded = {text: kind for one, kind in known.items() for text in (one.lower(), one.lower().removesuffix(what))}
    if name.lower() not in folded:
        raise InvalidArgumentError(f"Optuna has no {what} {name!r}. There are {', '.join(sorted(known))}.")
    return folded[name.lower()]


def _is_one(kind: object, base: type[Any]) -> bool:
    return isinstance(kind, type) and issubclass(kind, base) and not kind.__name__.startswith("Base")


def _made(
    kind: type[Any], name: str, wanted: dict[str, Any]
) -> optuna.samplers.BaseSampler | optuna.pruners.BasePruner:
    taken = inspect.signature(kind).parameters
    try:
        made: optuna.samplers.BaseSampler | optuna.pruners.BasePruner
        made = kind(**{argument: value for argument, value in wanted.items() if argument in taken})
    except (TypeError, ValueError) as error:
        hint = "a script with HyperParameterOptimizer can give them"
        raise InvalidArgumentError(f"Optuna's {name} needs arguments ({error}): {hint}.") from error
    return made
