"""The part of `Logger` that reports plots, with the names and defaults of ClearML's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from . import plots
from .figures import Figure
from .reporter import Reporter, never_raises
from .tables import table, table_of

Labels = Sequence[str] | None


class PlotsMixin(Reporter):
    """Each method reports one plot at a place: title, series, iteration (None: 0). None of them raises.

    What can't be drawn is warned about once and left out. `extra_layout` is put on top of plotly's layout.
    """

    SeriesInfo = plots.SeriesInfo

    @never_raises
    def report_histogram(
        self,
        title: str,
        series: str,
        values: Any,
        iteration: int | None = None,
        labels: Labels = None,
        xlabels: Labels = None,
        xaxis: str | None = None,
        yaxis: str | None = None,
        mode: str | None = None,
        data_args: Figure | None = None,
        extra_layout: Figure | None = None,
    ) -> None:
        """Report bars, one for each value.

        Args:
            title: The metric.
            series: The variant.
            values: Heights; with two dimensions, a group of bars for each row.
            iteration: Where on the axis of iterations.
            labels: Name of each row.
            xlabels: Name of each column.
            xaxis: Title of the x-axis.
            yaxis: Title of the y-axis.
            mode: `group` (default), `stack` or `relative`.
            data_args: What else plotly's bar should have.
            extra_layout: What else plotly's layout should have.

        """
        texts: Figure = {"labels": labels, "xlabels": xlabels, "xaxis": xaxis, "yaxis": yaxis, "mode": mode}
        figure = plots.histogram(title, series, values, **texts, data_args=data_args, extra_layout=extra_layout)
        self._report_figure(title, series, iteration, figure)

    @never_raises
    def report_vector(
        self,
        title: str,
        series: str,
        values: Any,
        iteration: int | None = None,
        labels: Labels = None,
        xlabels: Labels = None,
        xaxis: str | None = None,
        yaxis: str | None = None,
        mode: str | None = None,
        extra_layout: Figure | None = None,
    ) -> None:
        """Report a vector as bars: see `report_histogram`."""
        texts: Figure = {"labels": labels, "xlabels": xlabels, "xaxis": xaxis, "yaxis": yaxis, "mode": mode}
        figure = plots.histogram(title, series, values, **texts, extra_layout=extra_layout)
        self._report_figure(title, series, iteration, figure)

    @never_raises
    def report_table(
        self,
        title: str,
        series: str,
        iteration: int | None = None,
        table_plot: Any = None,
        csv: str | None = None,
        url: str | None = None,
        extra_layout: Figure | None = None,
        extra_data: Figure | None = None,
    ) -> None:
        """Report a table: its first 10,000 rows.

        Args:
            title: The metric.
            series: The variant.
            iteration: Where on the axis of iterations.
            table_plot: A data frame, or a list of rows of which the first is the heading.
            csv: Path of a CSV file.
            url: Address of a CSV file.
            extra_layout: What else plotly's layout should have.
            extra_data: What else plotly's table should have.

        """
        content = table_of(table_plot, csv, url)
        self._report_figure(title, series, iteration, table(title, series, content, extra_layout, extra_data))

    @never_raises
    def report_line_plot(
        self,
        title: str,
        series: Any,
        xaxis: str,
        yaxis: str,
        mode: str = "lines",
        iteration: int | None = None,
        reverse_xaxis: bool = False,
        comment: str | None = None,
        extra_layout: Figure | None = None,
    ) -> None:
        """Report several lines in one plot.

        Args:
            title: The metric; the plot's variant has no name.
            series: For each line a dict or an object with `name` and `data`, an array of (x, y) rows.
            xaxis: Title of the x-axis.
            yaxis: Title of the y-axis.
            mode: `lines`, `markers` or `lines+markers`.
            iteration: Where on the axis of iterations.
            reverse_xaxis: Whether x grows to the left.
            comment: Text below the title.
            extra_layout: What else plotly's layout should have.

        """
        more: Figure = {"mode": mode, "reverse_xaxis": reverse_xaxis, "comment": comment, "extra_layout": extra_layout}
        figure = plots.lines(title, series, xaxis, yaxis, **more)
        self._report_figure(title, "", iteration, figure)

    @never_raises
    def report_scatter2d(
        self,
        title: str,
        series: str,
        scatter: Any,
        iteration: int | None = None,
        xaxis: str | None = None,
        yaxis: str | None = None,
        labels: Labels = None,
        mode: str = "lines",
        comment: str | None = None,
        extra_layout: Figure | None = None,
    ) -> None:
        """Report points of a plane.

        Args:
            title: The metric.
            series: The variant.
            scatter: Array of (x, y) rows, or of y alone.
            iteration: Where on the axis of iterations.
            xaxis: Title of the x-axis.
            yaxis: Title of the y-axis.
            labels: Text to show on hover, for each point.
            mode: `lines`, `markers` or `lines+markers`.
            comment: Text below the title.
            extra_layout: What else plotly's layout should have.

        """
        texts: Figure = {"xaxis": xaxis, "yaxis": yaxis, "labels": labels, "mode": mode, "comment": comment}
        figure = plots.scatter2d(title, series, scatter, **texts, extra_layout=extra_layout)
        self._report_figure(title, series, iteration, figure)

    @never_raises
    def report_scatter3d(
        self,
        title: str,
        series: str,
        scatter: Any,
        iteration: int | None = None,
        xaxis: str | None = None,
        yaxis: str | None = None,
        zaxis: str | None = None,
        labels: Any = None,
        mode: str = "markers",
        fill: bool = False,
        comment: str | None = None,
        extra_layout: Figure | None = None,
    ) -> None:
        """Report points of space.

        Args:
            title: The metric.
            series: The variant.
            scatter: Array of (x, y, z) rows, or a list of such arrays, each a cloud of its own.
            iteration: Where on the axis of iterations.
            xaxis: Title of the x-axis.
            yaxis: Title of the y-axis.
            zaxis: Title of the z-axis.
            labels: Text to show on hover, for each point (of each cloud).
            mode: `lines`, `markers` or `lines+markers`.
            fill: Whether the area below is filled.
            comment: Text below the title.
            extra_layout: What else plotly's layout should have.

        """
        more: Figure = {"labels": labels, "mode": mode, "fill": fill, "comment": comment, "extra_layout": extra_layout}
        figure = plots.scatter3d(title, series, scatter, axes=(xaxis, yaxis, zaxis), **more)
        self._report_figure(title, series, iteration, figure)

    @never_raises
    def report_confusion_matrix(
        self,
        title: str,
        series: str,
        matrix: Any,
        iteration: int | None = None,
        xaxis: str | None = None,
        yaxis: str | None = None,
        xlabels: Labels = None,
        ylabels: Labels = None,
        yaxis_reversed: bool = False,
        comment: str | None = None,
        extra_layout: Figure | None = None,
    ) -> None:
        """Report a matrix as colours, with the number in each cell.

        Args:
            title: The metric.
            series: The variant.
            matrix: Array of rows and columns.
            iteration: Where on the axis of iterations.
            xaxis: Title of the columns.
            yaxis: Title of the rows.
            xlabels: Name of each column.
            ylabels: Name of each row.
            yaxis_reversed: Whether the first row is on top, not at the bottom.
            comment: Text below the title.
            extra_layout: What else plotly's layout should have.

        """
        texts: Figure = {"xaxis": xaxis, "yaxis": yaxis, "xlabels": xlabels, "ylabels": ylabels, "comment": comment}
        more: Figure = {"yaxis_reversed": yaxis_reversed, "extra_layout": extra_layout, "numbers": True}
        figure = plots.heatmap(title, series, matrix, **texts, **more)
        self._report_figure(title, series, iteration, figure)

    @never_raises
    def report_matrix(
        self,
        title: str,
        series: str,
        matrix: Any,
        iteration: int | None = None,
        xaxis: str | None = None,
        yaxis: str | None = None,
        xlabels: Labels = None,
        ylabels: Labels = None,
        yaxis_reversed: bool = False,
        extra_layout: Figure | None = None,
    ) -> None:
        """Report a matrix as colours, with the number in each cell: see `report_confusion_matrix`."""
        texts: Figure = {"xaxis": xaxis, "yaxis": yaxis, "xlabels": xlabels, "ylabels": ylabels}
        more: Figure = {"yaxis_reversed": yaxis_reversed, "extra_layout": extra_layout, "numbers": True}
        figure = plots.heatmap(title, series, matrix, **texts, **more)
        self._report_figure(title, series, iteration, figure)

    @never_raises
    def report_surface(
        self,
        title: str,
        series: str,
        matrix: Any,
        iteration: int | None = None,
        xaxis: str | None = None,
        yaxis: str | None = None,
        zaxis: str | None = None,
        xlabels: Labels = None,
        ylabels: Labels = None,
        camera: Sequence[float] | None = None,
        comment: str | None = None,
        extra_layout: Figure | None = None,
    ) -> None:
        """Report a matrix as a surface over a plane.

        Args:
            title: The metric.
            series: The variant.
            matrix: Array of heights, rows and columns.
            iteration: Where on the axis of iterations.
            xaxis: Title of the x-axis.
            yaxis: Title of the y-axis.
            zaxis: Title of the z-axis.
            xlabels: Name of each column.
            ylabels: Name of each row.
            camera: The eye's (x, y, z).
            comment: Text below the title.
            extra_layout: What else plotly's layout should have.

        """
        texts: Figure = {"xlabels": xlabels, "ylabels": ylabels, "camera": camera, "comment": comment}
        axes = (xaxis, yaxis, zaxis)
        figure = plots.surface(title, series, matrix, axes=axes, **texts, extra_layout=extra_layout)
        self._report_figure(title, series, iteration, figure)
