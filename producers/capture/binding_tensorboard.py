"""What TensorBoard's writers (torch's and tensorboardX's) write becomes curves, plots, images, sounds and texts.

It is taken from the summaries on their way into the event file, so every `add_…` method counts, whoever calls it.
A tag `section/name` is the series `name` of the plot `section`. Writers of other folders than the first one's add the
folder's name to their series, so that the curves of `runs/train` and `runs/val` are told apart.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Mapping
from pathlib import PurePath
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from ...events.report_events import TextReported
from .import_hook import ImportHook
from .patches import Patches

if TYPE_CHECKING:
    from ..logger import Logger
    from ..task import Task

_MODULES: Final = ("torch.utils.tensorboard.writer", "tensorboardX.writer")
HYPERPARAMETERS: Final = "Hparams"
_TEXT_ENDING: Final = "/text_summary"
_UNGROUPED: Final = "Scalars"
_SUFFIXES: Final = {b"\x89PNG": ".png", b"GIF8": ".gif", b"\xff\xd8\xff": ".jpg"}


def install(hook: ImportHook, patches: Patches, task: Task, options: Any = True) -> None:
    """Watch the writers once they are imported; `options` may be ClearML's dict with `report_hparams`."""
    writers = _Writers(task)
    with_hyperparameters = not isinstance(options, Mapping) or bool(options.get("report_hparams", True))

    def patch(module: ModuleType) -> None:
        patches.after(module.FileWriter, "add_summary", writers.summary)
        patches.around(module.SummaryWriter, "add_scalars", writers.scalars)
        patches.around(module.SummaryWriter, "add_figure", writers.figure)
        if with_hyperparameters:
            patches.around(module.SummaryWriter, "add_hparams", writers.hyperparameters)

    for name in _MODULES:
        hook.when_imported(name, patch)


class _Writers:
    """Reports what the writers of one task are given."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._folder: str | None = None
        self._next: Counter[tuple[str, str]] = Counter()

    @property
    def _logger(self) -> Logger:
        return self._task.get_logger()

    def summary(self, _result: Any, writer: Any, summary: Any, global_step: Any = None, *_: Any, **__: Any) -> None:
        """A summary on its way into the file of a `FileWriter`."""
        folder = str(writer.get_logdir())
        for value in summary.value:
            tag = value.tag.removesuffix(_TEXT_ENDING)
            self._report(value, *self._place(tag, folder), self._step(folder, tag, global_step))

    def scalars(
        self,
        writer: Any,
        main_tag: str,
        tag_scalar_dict: Mapping[str, Any],
        global_step: Any = None,
        *_: Any,
        **__: Any,
    ) -> None:
        """`add_scalars`: curves of one plot, which TensorBoard itself puts into a file each."""
        folder = _folder_of(writer)
        step = self._step(folder, main_tag, global_step)
        for series, value in tag_scalar_dict.items():
            self._logger.report_scalar(main_tag, self._told_apart(series, folder), value, step)

    def figure(self, writer: Any, tag: str, figure: Any, global_step: Any = None, *_: Any, **__: Any) -> None:
        """`add_figure`, which would turn the figure into a picture and close it."""
        folder = _folder_of(writer)
        title, series = self._place(tag, folder)
        step = self._step(folder, tag, global_step)
        figures = figure if isinstance(figure, list) else [figure]
        for number, drawn in enumerate(figures):
            name = f"{series} {number}" if len(figures) > 1 else series
            self._logger.report_matplotlib_figure(title, name, drawn, step)

    def hyperparameters(
        self,
        writer: Any,
        hparam_dict: Mapping[str, Any],
        metric_dict: Mapping[str, Any],
        *_: Any,
        global_step: Any = None,
        **__: Any,
    ) -> None:
        """`add_hparams`: parameters, and the metrics they led to."""
        self._task.update_parameters({f"{HYPERPARAMETERS}/{name}": value for name, value in hparam_dict.items()})
        folder = _folder_of(writer)
        for tag, value in metric_dict.items():
            self._logger.report_scalar(*self._place(tag, folder), value, self._step(folder, tag, global_step))

    def _report(self, value: Any, title: str, series: str, step: int) -> None:
        kind = value.WhichOneof("value")
        if kind == "simple_value":
            self._logger.report_scalar(title, series, value.simple_value, step)
        elif kind == "image":
            self._media(title, series, step, value.image.encoded_image_string)
        elif kind == "audio":
            self._media(title, series, step, value.audio.encoded_audio_string, ".wav")
        elif kind == "histo":
            self._histogram(title, series, step, value.histo)
        elif kind == "tensor":
            self._tensor(title, series, step, value)

    def _media(self, title: str, series: str, step: int, content: bytes, suffix: str = "") -> None:
        found = (ending for start, ending in _SUFFIXES.items() if content.startswith(start))
        self._logger.report_media(
            title, series, step, stream=io.BytesIO(content), file_extension=suffix or next(found, ".png")
        )

    def _histogram(self, title: str, series: str, step: int, histogram: Any) -> None:
        """Counts by the upper ends of their buckets; the outermost buckets reach to infinity, and are empty."""
        ends = [f"{end:.4g}" for end in histogram.bucket_limit]
        counts = list(histogram.bucket)
        self._logger.report_histogram(title, series, counts, step, xlabels=ends, xaxis="value", yaxis="count")

    def _tensor(self, title: str, series: str, step: int, value: Any) -> None:
        plugin, tensor = value.metadata.plugin_data.plugin_name, value.tensor
        if plugin == "text":
            text = "\n".join(part.decode("utf-8", "replace") for part in tensor.string_val)
            place = self._logger._place(title, series, step)  # noqa: SLF001  a report like the logger's own
            self._task._session.emit(TextReported(**place, text=text))  # noqa: SLF001  the same
        elif plugin == "scalars" and tensor.float_val:
            self._logger.report_scalar(title, series, tensor.float_val[0], step)

    def _place(self, tag: str, folder: str) -> tuple[str, str]:
        """Title and series of a tag, after what the user chose for TensorBoard's curves."""
        section, _, name = tag.partition("/")
        title = section if name else _UNGROUPED if self._logger.get_tensorboard_auto_group_scalars() else tag
        series = self._told_apart(name or tag, folder)
        return (
            (f"{title} - {series}", series)
            if self._logger.get_tensorboard_single_series_per_graph()
            else (title, series)
        )

    def _told_apart(self, series: str, folder: str) -> str:
        self._folder = self._folder or folder
        return series if folder == self._folder else f"{series} - {PurePath(folder).name}"

    def _step(self, folder: str, tag: str, step: Any) -> int:
        """The step that was given; without one, calls are counted."""
        if step is not None:
            return int(step)
        self._next[folder, tag] += 1
        return self._next[folder, tag] - 1


def _folder_of(writer: Any) -> str:
    """The folder of a `SummaryWriter`: tensorboardX says `logdir`, torch `log_dir`."""
    return str(getattr(writer, "logdir", None) or getattr(writer, "log_dir", ""))
