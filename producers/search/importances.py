"""How much of a search's objective each parameter explains, as Optuna judges from the trials that completed.

It is for show: without Optuna, or with trials too few or too alike to tell, there is nothing to say.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from ...events.search_events import Objective
from ..parameters import full_name, text_of
from .figures import Shown, are_numbers, parameter_names
from .parameters import LogUniformParameterRange

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

FEWEST: Final = 10
"""Completed trials before which there is nothing to tell: Optuna compares the best tenth with all."""
_MOST: Final = 1000


def importances(trials: Sequence[Shown], objective: Objective, space: str = "") -> dict[str, float]:
    """Return the share of each parameter that was varied, by full name; empty where nothing can be said.

    `space` is the search space as JSON text: parameters that are powers there are compared by their exponents.
    """
    seen = [trial for trial in trials if trial.status == "completed" and trial.values][-_MOST:]
    seen = [trial for trial in seen if math.isfinite(trial.values[0])]
    names = [name for name in parameter_names(seen) if _is_varied([one.parameters.get(name) for one in seen])]
    names = [name for name in names if all(name in trial.parameters for trial in seen)]
    if len(seen) < FEWEST or not names or not _is_varied([trial.values[0] for trial in seen]):
        return {}
    try:
        import optuna  # noqa: PLC0415, F401  an extra
    except ImportError:
        return {}
    return _judged(seen, names, objective, powers_of(space))


def _is_varied(values: Sequence[Any]) -> bool:
    return len({text_of(value) for value in values}) > 1


def powers_of(space: str) -> set[str]:
    """Return the full names of the parameters that are powers in a search space, given as JSON text."""
    ranges = json.loads(space) if space else []
    kind = LogUniformParameterRange.__name__
    return {full_name(one["name"]) for one in ranges if one.get("type") == kind}


def _judged(
    trials: Sequence[Shown], names: Sequence[str], objective: Objective, powers: Collection[str]
) -> dict[str, float]:
    from optuna import create_study, importance  # noqa: PLC0415  an extra
    from optuna.trial import create_trial  # noqa: PLC0415  the same

    held = {name: _column([trial.parameters[name] for trial in trials], log=name in powers) for name in names}
    with _quiet():
        study = create_study(direction="maximize" if objective.sign.startswith("max") else "minimize")
        study.add_trials(
            create_trial(
                params={name: values[place] for name, (values, _) in held.items()},
                distributions={name: distribution for name, (_, distribution) in held.items()},
                value=trial.values[0],
            )
            for place, trial in enumerate(trials)
        )
        return dict(importance.get_param_importances(study))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Optuna from telling of a study that nobody asked for."""
    from optuna import logging  # noqa: PLC0415  an extra

    before = logging.get_verbosity()
    logging.set_verbosity(max(before, logging.WARNING))
    try:
        yield
    finally:
        logging.set_verbosity(before)


def _column(values: Sequence[Any], *, log: bool) -> tuple[Sequence[Any], BaseDistribution]:
    """A parameter's values as Optuna holds them: numbers between the least and the greatest seen, or categories."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution  # noqa: PLC0415  an extra

    if are_numbers(values):
        floats = [float(value) for value in values]
        return floats, FloatDistribution(min(floats), max(floats), log=log and min(floats) > 0)
    texts = [text_of(value) for value in values]
    return texts, CategoricalDistribution(sorted(set(texts)))
