"""Figures that pyplot shows, and those that are saved to files, become plots of the task, each once in each state.

Titles and places are ClearML's. A figure is called by its title above, else by that of its current axes, else it is
`untitled 00` and so on; it is at the last iteration that was reported, and a title that comes again there gets a
number (`title/1`). The series is `plot` for what can be drawn anew, `plot image` for what has several axes or has to
be a picture. What `pyplot.imshow` draws and `show` shows is a debug sample.

Where there are no windows (`agg`), nobody closes a figure that was shown. The next thing drawn through pyplot goes to
a new figure then, as it does where `show` waits until the window is closed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary, WeakSet

from ..mpl_figure import REPORTED, to_plotly
from .import_hook import ImportHook
from .patches import Patches, safely

if TYPE_CHECKING:
    from ..task import Task

PLOT: Final = "plot"
PICTURE: Final = "plot image"


def install(hook: ImportHook, patches: Patches, task: Task) -> None:
    """Watch pyplot once it is imported."""

    def patch(pyplot: ModuleType) -> None:
        shown = _Shown(task, pyplot)
        patches.before(pyplot, "show", lambda *_, **__: shown.all())
        patches.before(pyplot, "gca", lambda *_, **__: shown.begin_anew())
        patches.wrap(pyplot, "imshow", shown.watching_images)
        patches.before(pyplot.Figure, "show", lambda figure, *_, **__: shown.report([figure]))
        patches.after(pyplot.Figure, "savefig", shown.saved)

    hook.when_imported("matplotlib.pyplot", patch)


class _Shown:
    """The figures of a task, and the states in which they were reported."""

    def __init__(self, task: Task, pyplot: ModuleType) -> None:
        self._task = task
        self._pyplot = pyplot
        self._untitled: Counter[str] = Counter()
        self._latest: dict[str, tuple[int, int]] = {}
        self._states: WeakKeyDictionary[Any, int] = WeakKeyDictionary()
        self._images: WeakSet[Any] = WeakSet()
        self._aside: WeakSet[Any] = WeakSet()

    @property
    def _managers(self) -> Any:
        return self._pyplot._pylab_helpers.Gcf  # noqa: SLF001  `figure(n)` would switch to another

    def all(self) -> None:
        """`pyplot.show`: report the figures that are open, or were till something else was drawn."""
        figures = [manager.canvas.figure for manager in self._managers.get_all_fig_managers()]
        self.report([*figures, *(figure for figure in self._aside if figure not in figures)])
        if self._pyplot.get_backend().lower() == "agg":
            self._aside.update(figures)

    def begin_anew(self) -> None:
        """Something is drawn through pyplot: not on a figure that was shown, unless there are windows."""
        current = self._managers.get_active()
        if current is not None and current.canvas.figure in self._aside:
            for manager in self._managers.get_all_fig_managers():
                if manager.canvas.figure in self._aside:
                    self._managers.destroy(manager)

    def watching_images(self, imshow: Callable[..., Any]) -> Callable[..., Any]:
        """Note which figures `imshow` draws on."""

        def noting(*args: Any, **kwargs: Any) -> Any:
            image = imshow(*args, **kwargs)
            safely("imshow", lambda: self._images.add(image.figure))
            return image

        return noting

    def saved(self, _result: Any, figure: Any, fname: Any = None, *_: Any, **__: Any) -> None:
        """`savefig`: report the figure, if it was saved to a file."""
        if isinstance(fname, (str, Path)):
            self.report([figure], of_files=True)

    def report(self, figures: Iterable[Any], *, of_files: bool = False) -> None:
        """Report the figures that are new or have changed, and that the script does not report itself."""
        for figure in figures:
            state = _state(figure)
            is_mine = figure in self._states
            if self._states.get(figure) != state and (is_mine or figure not in REPORTED):
                self._states[figure] = state
                self._report(figure, as_sample=figure in self._images and not of_files)

    def _report(self, figure: Any, *, as_sample: bool) -> None:
        logger = self._task.get_logger()
        step = logger.last_iteration()
        title = self._title(figure, step, "sample" if as_sample else "plot")
        drawn = None if as_sample or len(figure.axes) > 1 or logger.draws_pictures() else to_plotly(figure)
        if drawn is not None:
            logger.report_plotly(title, PLOT, drawn, step)
        else:
            logger.report_matplotlib_figure(title, PICTURE, figure, step, report_image=as_sample)

    def _title(self, figure: Any, step: int, kind: str) -> str:
        """The figure's title, different from those of others at this step."""
        title = figure.get_suptitle() or (figure.gca().get_title() if figure.axes else "")
        if not title:
            self._untitled[kind] += 1
            return f"untitled {self._untitled[kind] - 1:02d}"
        place, count = self._latest.get(title, (step, -1))
        self._latest[title] = (step, count + 1 if place == step else 0)
        return f"{title}/{count + 1}" if place == step and count >= 0 else str(title)


def _state(figure: Any) -> int:
    """A number that changes when the figure is drawn upon."""
    titles = (figure.get_suptitle(), *(axes.get_title() for axes in figure.get_axes()))
    lines = tuple(line.get_xydata().tobytes() for axes in figure.get_axes() for line in axes.get_lines())
    images = tuple(image.get_array().tobytes() for axes in figure.get_axes() for image in axes.get_images())
    children = tuple(len(axes.get_children()) for axes in figure.get_axes())
    return hash((titles, children, lines, images))
