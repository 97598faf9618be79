"""What TensorBoard's writers (torch's and tensorboardX's) write becomes curves, plots, images, sounds and texts.

It is taken from the summaries on their way into the event file, so every `add_…` method counts, whoever calls it.
Titles and series are ClearML's: a curve `section/part/name` is the series `name` of the plot `section_part`, an image
`section/part/name` the series `part_name` of `section`. Where a writer of another folder has a series of that name,
the folder's name is added, so that the curves of `runs/train` and `runs/val` are told apart.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Mapping
from pathlib import PurePath
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ...events.report_events import TextReported
from .import_hook import ImportHook
from .patches import Patches

if TYPE_CHECKING:
    from ..logger import Logger
    from ..task import Task


class _Kind(NamedTuple):
    """How a tag becomes a title and a series: `depth` parts are the series, `apart` is what another folder makes."""

    untitled: str
    depth: int
    apart: tuple[str, str]


_CURVE: Final = _Kind("", 1, ("{title}", "{folder}: {series}"))
_HISTOGRAM: Final = _Kind("Histograms", 1, ("{title}", "{series} :{folder}"))
_IMAGE: Final = _Kind("Images", 3, ("{title} {folder}", "{series}"))
_SOUND: Final = _IMAGE._replace(untitled="Audio")
_TEXT: Final = _IMAGE._replace(untitled="Text")
_MODULES: Final = ("torch.utils.tensorboard.writer", "tensorboardX.writer")
HYPERPARAMETERS: Final = "TB_hparams"
_UNGROUPED: Final = "Scalars"
_SUFFIXES: Final = {b"\x89PNG": ".png", b"GIF8": ".gif", b"\xff\xd8\xff": ".jpg"}


def install(hook: ImportHook, patches: Patches, task: Task, options: Any = True) -> None:
    """Watch the writers once they are imported; `options` may be ClearML's dict with `report_hparams`."""
    writers = _Writers(task)
    with_hyperparameters = not isinstance(options, Mapping) or bool(options.get("report_hparams", True))

    def patch(module: ModuleType) -> None:
        patches.after(module.FileWriter, "add_summary", writers.summary)
        patches.around(module.SummaryWriter, "add_scalars", writers.scalars)
        if with_hyperparameters:
            patches.around(module.SummaryWriter, "add_hparams", writers.hyperparameters)

    for name in _MODULES:
        hook.when_imported(name, patch)


class _Writers:
    """Reports what the writers of one task are given."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._folders: dict[tuple[str, str], str] = {}
        self._next: Counter[tuple[str, str]] = Counter()

    @property
    def _logger(self) -> Logger:
        return self._task.get_logger()

    def summary(self, _result: Any, writer: Any, summary: Any, global_step: Any = None, *_: Any, **__: Any) -> None:
        """A summary on its way into the file of a `FileWriter`."""
        folder = str(writer.get_logdir())
        for value in summary.value:
            self._report(value, folder, self._step(folder, value.tag, global_step))

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
            self._logger.report_scalar(*self._told_apart(main_tag, series, folder, _CURVE), value, step)

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
            self._logger.report_scalar(*self._curve(tag, folder), value, self._step(folder, tag, global_step))

    def _report(self, value: Any, folder: str, step: int) -> None:
        kind = value.WhichOneof("value")
        if kind == "simple_value":
            self._logger.report_scalar(*self._curve(value.tag, folder), value.simple_value, step)
        elif kind == "image":
            self._media(*self._place(value.tag, folder, _IMAGE), step, value.image.encoded_image_string)
        elif kind == "audio":
            self._media(*self._place(value.tag, folder, _SOUND), step, value.audio.encoded_audio_string, ".wav")
        elif kind == "histo":
            self._histogram(*self._place(value.tag, folder, _HISTOGRAM), step, value.histo)
        elif kind == "tensor":
            self._tensor(value, folder, step)

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

    def _tensor(self, value: Any, folder: str, step: int) -> None:
        plugin, tensor = value.metadata.plugin_data.plugin_name, value.tensor
        if plugin == "text":
            text = "\n".join(part.decode("utf-8", "replace") for part in tensor.string_val)
            place = self._logger._place(*self._place(value.tag, folder, _TEXT), step)  # noqa: SLF001  as the logger
            self._task._session.emit(TextReported(**place, text=text))  # noqa: SLF001  the same
        elif plugin == "scalars" and tensor.float_val:
            self._logger.report_scalar(*self._curve(value.tag, folder), tensor.float_val[0], step)
        elif plugin == "pr_curves" and tensor.float_val:
            self._precision_over_recall(value.tag, value.metadata.display_name, tensor, step)

    def _precision_over_recall(self, tag: str, name: str, tensor: Any, step: int) -> None:
        """`add_pr_curve`: rows of true and false positives, true and false negatives, precision and recall."""
        columns = tensor.tensor_shape.dim[1].size
        rows = [tensor.float_val[start : start + columns] for start in range(0, len(tensor.float_val), columns)]
        names = ("TP", "FP", "TN", "FN", "precision", "recall")
        labels = [
            f"threshold {number / columns:.3f}<br>" + "  ".join(map("{} {:.2f}".format, names, values))
            for number, values in enumerate(zip(*rows, strict=True))
        ]
        line = {"name": name or tag, "data": list(zip(rows[-1], rows[-2], strict=True)), "labels": labels}
        self._logger.report_line_plot(tag, [line], "recall", "precision", iteration=step)

    def _curve(self, tag: str, folder: str) -> tuple[str, str]:
        """Title and series of a curve's tag, after what the user chose for TensorBoard's curves."""
        untitled = _UNGROUPED if self._logger.get_tensorboard_auto_group_scalars() else tag
        title, series = self._place(tag, folder, _CURVE._replace(untitled=untitled))
        alone = self._logger.get_tensorboard_single_series_per_graph()
        return (f"{title} - {series}" if alone else title, series)

    def _place(self, tag: str, folder: str, kind: _Kind) -> tuple[str, str]:
        parts = tag.split("/")
        depth = max(1, min(kind.depth, len(parts) - 1))
        title, series = "_".join(parts[:-depth]) or kind.untitled, "_".join(parts[-depth:])
        return self._told_apart(title, series, folder, kind)

    def _told_apart(self, title: str, series: str, folder: str, kind: _Kind) -> tuple[str, str]:
        """The same, with what the folder has in its name and that of the first one to write there has not."""
        first = self._folders.setdefault((title, series), folder)
        if first == folder:
            return title, series
        others = set(PurePath(first).parts)
        own = "/".join(part for part in PurePath(folder).parts if part not in others)
        names = {"title": title, "series": series, "folder": own or PurePath(folder).name}
        return kind.apart[0].format(**names), kind.apart[1].format(**names)

    def _step(self, folder: str, tag: str, step: Any) -> int:
        """The step that was given; without one, calls are counted."""
        if step is not None:
            return int(step)
        self._next[folder, tag] += 1
        return self._next[folder, tag] - 1


def _folder_of(writer: Any) -> str:
    """The folder of a `SummaryWriter`: tensorboardX says `logdir`, torch `log_dir`."""
    return str(getattr(writer, "logdir", None) or getattr(writer, "log_dir", ""))
