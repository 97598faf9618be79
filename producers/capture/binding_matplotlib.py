"""Figures that `matplotlib.pyplot.show` shows become plots of the task, each once in each state it is shown in."""

from __future__ import annotations

from collections import Counter
from types import ModuleType
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from .import_hook import ImportHook
from .patches import Patches

if TYPE_CHECKING:
    from ..task import Task

SERIES = "plot image"


def install(hook: ImportHook, patches: Patches, task: Task) -> None:
    """Watch pyplot once it is imported."""
    shown = _Shown(task)
    hook.when_imported(
        "matplotlib.pyplot", lambda module: patches.before(module, "show", lambda *_, **__: shown.report(module))
    )


class _Shown:
    """The figures of a task, by title, and the states in which they were reported."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._count: Counter[str] = Counter()
        self._states: WeakKeyDictionary[Any, int] = WeakKeyDictionary()

    def report(self, pyplot: ModuleType) -> None:
        """Report the open figures that are new or have changed."""
        for manager in pyplot._pylab_helpers.Gcf.get_all_fig_managers():  # noqa: SLF001  `figure(n)` would switch
            figure = manager.canvas.figure
            state = _state(figure)
            if self._states.get(figure) != state:
                self._states[figure] = state
                self._report(figure)

    def _report(self, figure: Any) -> None:
        title = _title(figure) or f"untitled {self._count['']:02d}"
        self._count[""] += title.startswith("untitled")
        self._task.get_logger().report_matplotlib_figure(title, SERIES, figure, self._count[title])
        self._count[title] += 1


def _title(figure: Any) -> str:
    """What the figure is called: its own title, those of its axes, or its label."""
    axes = ", ".join(filter(None, (axes.get_title() for axes in figure.get_axes())))
    above = figure.get_suptitle() if hasattr(figure, "get_suptitle") else ""
    return str(above or axes or figure.get_label())


def _state(figure: Any) -> int:
    """A number that changes when the figure is drawn upon."""
    lines = tuple(line.get_xydata().tobytes() for axes in figure.get_axes() for line in axes.get_lines())
    images = tuple(image.get_array().tobytes() for axes in figure.get_axes() for image in axes.get_images())
    children = tuple(len(axes.get_children()) for axes in figure.get_axes())
    return hash((_title(figure), children, lines, images))
