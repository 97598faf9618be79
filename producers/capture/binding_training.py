"""What xgboost, lightgbm and catboost measure while they train becomes curves, as in ClearML.

The title is the data set's name, the series the metric's. The second training of a task adds ` - 1` to its titles, and
so on, so that its curves are not those of the first one. lightgbm's parameters become parameters of the task.
"""

from __future__ import annotations

import inspect
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ..connect import is_value
from .import_hook import ImportHook
from .patches import Patches, safely

if TYPE_CHECKING:
    from ..task import Task

Train = Callable[..., Any]
Report = Callable[[int, Iterable[tuple[str, str, Any]]], None]
"""Takes an iteration, and for each value the data set's name and the metric's."""

CALLBACKS = "callbacks"


def install(hook: ImportHook, patches: Patches, task: Task, choice: Callable[[str], Any]) -> None:
    """Watch the frameworks once they are imported; `choice(key)` is the user's switch for ClearML's key."""
    trainings = _Trainings(task)

    def xgboost(module: ModuleType) -> None:
        patches.wrap(module, "train", lambda train: _watched(train, trainings.xgboost), "xgboost", "xgboost.sklearn")

    def lightgbm(module: ModuleType) -> None:
        patches.wrap(module, "train", lambda train: _watched(train, trainings.lightgbm), "lightgbm", "lightgbm.sklearn")

    def catboost(module: ModuleType) -> None:
        patches.wrap(module.CatBoost, "_fit", lambda fit: _watched(fit, trainings.catboost))

    for key, where, patch in (
        ("xgboost", "xgboost.training", xgboost),
        ("lightgbm", "lightgbm.engine", lightgbm),
        ("catboost", "catboost.core", catboost),
    ):
        if choice(key):
            hook.when_imported(where, patch)


def _watched(train: Train, callback_for: Callable[[Mapping[str, Any]], Any]) -> Train:
    """Let a training have one callback more, which `callback_for` makes of the arguments it is called with."""

    def extended(*args: Any, **kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        signature = inspect.signature(train)
        bound = signature.bind(*args, **kwargs)
        callback = callback_for(bound.arguments)
        if callback is not None and CALLBACKS in signature.parameters:
            bound.arguments[CALLBACKS] = [*(bound.arguments.get(CALLBACKS) or ()), callback]
        return bound.args, bound.kwargs

    def trained(*args: Any, **kwargs: Any) -> Any:
        args, kwargs = safely("training", extended, *args, **kwargs) or (args, kwargs)
        return train(*args, **kwargs)

    return trained


class _Trainings:
    """The trainings of one task: makes what reports each one's values, in the form of its framework's callbacks."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._count: Counter[str] = Counter()

    def _begin(self, framework: str) -> Report:
        number = self._count[framework]
        self._count[framework] += 1
        logger = self._task.get_logger()

        def report(iteration: int, values: Iterable[tuple[str, str, Any]]) -> None:
            for data, metric, value in values:
                logger.report_scalar(f"{data} - {number}" if number else data, metric, value, iteration)

        return report

    def xgboost(self, _arguments: Mapping[str, Any]) -> Any:
        """Make an object of `TrainingCallback`, as xgboost demands."""
        report = self._begin("xgboost")

        class Reporting(sys.modules["xgboost.callback"].TrainingCallback):  # type: ignore[misc]
            def after_iteration(self, _model: Any, epoch: int, evals_log: Any) -> bool:
                safely("xgboost", report, epoch, _latest(evals_log))
                return False

        return Reporting()

    def lightgbm(self, arguments: Mapping[str, Any]) -> Any:
        """Make a function of lightgbm's environment; note the parameters."""
        report = self._begin("lightgbm")
        self._task.connect({name: value for name, value in arguments["params"].items() if is_value(value)})

        def reporting(env: Any) -> None:
            safely("lightgbm", report, env.iteration, [each[:3] for each in env.evaluation_result_list or ()])

        return reporting

    def catboost(self, arguments: Mapping[str, Any]) -> Any:
        """Make an object with `after_iteration`; on a GPU catboost takes none."""
        if str(arguments["self"].get_params().get("task_type")).upper() == "GPU":
            return None
        return _CatBoostCallback(self._begin("catboost"))


class _CatBoostCallback:
    def __init__(self, report: Report) -> None:
        self._report = report

    def after_iteration(self, info: Any) -> bool:
        """Report the iteration's values, and let training go on."""
        safely("catboost", self._report, info.iteration, _latest(info.metrics))
        return True


def _latest(log: Mapping[str, Mapping[str, Any]] | None) -> list[tuple[str, str, Any]]:
    """The latest value of each metric for each data set."""
    return [(data, metric, values[-1]) for data, metrics in (log or {}).items() for metric, values in metrics.items()]
