"""The part of `Logger` that reports images, media and finished figures, with the names and defaults of ClearML's."""

from __future__ import annotations

import base64
import contextlib
import io
from pathlib import Path
from typing import Any, ClassVar

from .figures import Figure
from .images import PNG, Payload, content_type_of, image_payload
from .mpl_figure import REPORTED, to_plotly
from .reporter import Reporter, never_raises
from .text import as_name, as_text


class MediaMixin(Reporter):
    """Each method reports at a place: title, series, iteration (None: 0). None of them raises.

    Files go to the blob store, or where `set_default_upload_destination` says, and nothing is ever overwritten there:
    `max_image_history` and `max_history` are for scripts that set them elsewhere.
    """

    _always_pictures: ClassVar[bool] = False

    @never_raises
    def report_image(
        self,
        title: str,
        series: str,
        iteration: int | None = None,
        local_path: str | None = None,
        image: Any = None,
        matrix: Any = None,
        max_image_history: int | None = None,
        delete_after_upload: bool = False,
        url: str | None = None,
    ) -> None:
        """Report an image: one of a file, a PIL image or array, or an address.

        Args:
            title: The metric.
            series: The variant.
            iteration: Where on the axis of iterations.
            local_path: Path of an image file.
            image: A PIL image, or an array or tensor: rows, columns and channels (first or last). Floats from 0 to 1 or
                from -1 to 1 are stretched to the range of bytes.
            matrix: The same as `image`.
            max_image_history: Accepted; all images are kept.
            delete_after_upload: Whether the file goes when its content is stored.
            url: Address of an image that lies elsewhere, and stays there.

        """
        del max_image_history
        picture = image if image is not None else matrix
        if picture is not None:
            self._report_payload(title, series, iteration, image_payload(picture, "image"))
        else:
            self._report_elsewhere(title, series, iteration, local_path, url, delete=delete_after_upload)

    def report_image_and_upload(
        self,
        title: str,
        series: str,
        iteration: int | None = None,
        path: str | None = None,
        matrix: Any = None,
        max_image_history: int | None = None,
        delete_after_upload: bool = False,
    ) -> None:
        """Report an image: `report_image` under its former name."""
        self.report_image(title, series, iteration, path, None, matrix, max_image_history, delete_after_upload)

    @never_raises
    def report_media(
        self,
        title: str,
        series: str,
        iteration: int | None = None,
        local_path: str | None = None,
        stream: Any = None,
        file_extension: str | None = None,
        max_history: int | None = None,
        delete_after_upload: bool = False,
        url: str | None = None,
    ) -> None:
        """Report sound, video, a page or any other file: one of a file, a stream or an address.

        Args:
            title: The metric.
            series: The variant.
            iteration: Where on the axis of iterations.
            local_path: Path of a file.
            stream: A stream of bytes or text, read from where it stands.
            file_extension: What a stream holds, as a file's suffix (`.mp4`).
            max_history: Accepted; all files are kept.
            delete_after_upload: Whether the file goes when its content is stored.
            url: Address of a file that lies elsewhere, and stays there.

        """
        del max_history
        if stream is not None:
            self._report_payload(title, series, iteration, _stream_payload(stream, file_extension or ""))
        else:
            self._report_elsewhere(title, series, iteration, local_path, url, delete=delete_after_upload)

    def _report_elsewhere(
        self, title: str, series: str, iteration: int | None, path: str | None, url: str | None, *, delete: bool
    ) -> None:
        if path is not None:
            self._report_file(title, series, iteration, Path(path).expanduser(), delete=delete)
        elif url is not None:
            self._report_address(title, series, iteration, as_text(url))
        else:
            raise ValueError("there is nothing to report: pass a file, content or a url")

    @never_raises
    def report_plotly(self, title: str, series: str, figure: Any, iteration: int | None = None) -> None:
        """Report a plotly figure, or the dict of one."""
        self._report_figure(title, series, iteration, figure)

    @never_raises
    def report_matplotlib_figure(
        self,
        title: str,
        series: str,
        figure: Any,
        iteration: int | None = None,
        report_image: bool = False,
        report_interactive: bool = True,
    ) -> None:
        """Report a matplotlib figure (or `matplotlib.pyplot`, for its current one).

        Args:
            title: The metric.
            series: The variant.
            figure: The figure.
            iteration: Where on the axis of iterations.
            report_image: Report a picture of it among the debug images, not a plot.
            report_interactive: Report a plotly figure where one can show the same; else a plot that is a picture.

        """
        drawn = figure.gcf() if hasattr(figure, "gcf") else figure
        with contextlib.suppress(TypeError):  # a stranger's figure that can't be remembered
            REPORTED.add(drawn)
        picture = None if report_interactive and not report_image and not self._always_pictures else _picture(drawn)
        if report_image and picture is not None:
            self._report_payload(title, series, iteration, picture)
            return
        converted = to_plotly(drawn) if picture is None else None
        self._report_figure(title, series, iteration, converted or _around(picture or _picture(drawn), as_name(title)))

    @classmethod
    def matplotlib_force_report_non_interactive(cls, force: bool) -> None:
        """Report all matplotlib figures as pictures from now on, or not."""
        cls._always_pictures = force

    @classmethod
    def draws_pictures(cls) -> bool:
        """Return whether `matplotlib_force_report_non_interactive` was asked for."""
        return cls._always_pictures


def _stream_payload(stream: Any, suffix: str) -> Payload:
    content = stream.read()
    data = content.encode("utf-8", "backslashreplace") if isinstance(content, str) else bytes(content)
    name = f"media.{suffix.lstrip('.')}" if suffix else "media"
    return Payload(data, content_type_of(name), name)


def _picture(figure: Any) -> Payload:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", bbox_inches="tight")
    return Payload(buffer.getvalue(), PNG, "figure.png")


def _around(picture: Payload, title: str) -> Figure:
    """A plotly figure that is nothing but a picture."""
    source = f"data:{PNG};base64,{base64.b64encode(picture.data).decode()}"
    whole = {"xref": "paper", "yref": "paper", "x": 0, "y": 1, "sizex": 1, "sizey": 1, "sizing": "contain"}
    hidden = {"visible": False, "range": [0, 1]}
    layout = {"title": {"text": title}, "xaxis": hidden, "yaxis": hidden, "images": [whole | {"source": source}]}
    return {"data": [], "layout": layout}
