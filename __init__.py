"""tasktape: two lines make a script a tracked, repeatable task whose every fact is an event on a message log.

Names are imported when they are first used, so that `import tasktape` costs a script next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from .producers.errors import UsageError
    from .producers.logger import Logger
    from .producers.models import InputModel, Model, OutputModel
    from .producers.pipelines.controller import PipelineController
    from .producers.pipelines.decorator import PipelineDecorator
    from .producers.storage import StorageManager
    from .producers.task import Task
    from .producers.types import TaskTypes

__all__ = [
    "InputModel",
    "Logger",
    "Model",
    "OutputModel",
    "PipelineController",
    "PipelineDecorator",
    "StorageManager",
    "Task",
    "TaskTypes",
    "UsageError",
    "__version__",
]

_MODULES: Final = {
    "InputModel": "models",
    "Logger": "logger",
    "Model": "models",
    "OutputModel": "models",
    "PipelineController": "pipelines.controller",
    "PipelineDecorator": "pipelines.decorator",
    "StorageManager": "storage",
    "Task": "task",
    "TaskTypes": "types",
    "UsageError": "errors",
}
_NOT_YET: Final = frozenset({"Dataset"})


def __getattr__(name: str) -> Any:
    """Import a public name on first use (PEP 562)."""
    if name in _MODULES:
        value = _imported(name)
    elif name == "__version__":
        value = _version()
    elif name in _NOT_YET:
        raise ImportError(f"tasktape has no {name} yet.", name=__name__)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def _imported(name: str) -> Any:
    from .producers.collector import collector_paused  # noqa: PLC0415  for those who import more

    with collector_paused():
        return getattr(import_module(f".producers.{_MODULES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415  costs more than all the rest here

    try:
        return version("tasktape")
    except PackageNotFoundError:
        return "0+unknown"
