"""Reports of every kind, as ClearML's own examples make them."""

import json
import logging
from pathlib import Path

import numpy as np
from clearml import Logger, Task


def report_curves(logger):
    for iteration in range(10):
        logger.report_scalar("unified graph", "series A", iteration=iteration, value=1.0 / (iteration + 1))
        logger.report_scalar("unified graph", "series B", iteration=iteration, value=10.0 / (iteration + 1))
        Logger.current_logger().report_scalar(title="loss", series="train", value=0.5**iteration, iteration=iteration)
    logger.report_single_value("accuracy", 0.93)
    logger.report_single_value(name="f1", value=1)


def report_plots(logger):
    iteration = 4
    confusion = np.array([[50, 2], [3, 45]])
    logger.report_confusion_matrix(
        "confusion", "ignored", iteration=iteration, matrix=confusion, xaxis="title X", yaxis="title Y"
    )
    logger.report_histogram(
        title="histogram", series="random", iteration=iteration, values=np.arange(10), xaxis="bins", yaxis="count"
    )
    logger.report_vector(title="vector", series="A", iteration=iteration, values=[1, 4, 9])
    xs = np.arange(5)
    lines = [{"name": "squares", "data": np.stack([xs, xs**2], axis=1).tolist()}]
    logger.report_line_plot("line", lines, "x", "y", iteration=iteration)
    logger.report_scatter2d(
        "scatter 2d", "A", iteration=iteration, scatter=np.stack([xs, xs], axis=1), xaxis="x", yaxis="y", mode="markers"
    )
    logger.report_scatter3d(
        title="scatter 3d", series="A", iteration=iteration, scatter=np.random.randint(10, size=(10, 3)), xaxis="x"
    )
    logger.report_surface("surface", "A", iteration=iteration, matrix=np.arange(9).reshape(3, 3), zaxis="z")
    logger.report_table("table", "rows", iteration=iteration, table_plot=[["a", "b"], [1, 2], [3, 4]])
    logger.report_plotly(
        title="plotly",
        series="bars",
        iteration=iteration,
        figure={"data": [{"type": "bar", "y": [1, 2]}], "layout": {}},
    )


def report_media(logger):
    picture = np.zeros((8, 8, 3), dtype=np.uint8)
    picture[:, :4] = 255
    logger.report_image("image", "black and white", iteration=0, image=picture)
    Path("page.html").write_text("<h1>hello</h1>")
    logger.report_media("html", "page", iteration=0, local_path="page.html")


def main():
    task = Task.init(project_name="examples", task_name="reporting", task_type=Task.TaskTypes.testing)
    logger = task.get_logger()
    report_curves(logger)
    report_plots(logger)
    report_media(logger)
    logger.report_text("a text for the console", level=logging.INFO, print_console=False)
    print("printed by the script")
    task.flush(wait_for_uploads=True)
    Path("result.json").write_text(json.dumps({"id": task.id, "last": task.get_last_scalar_metrics()}))


if __name__ == "__main__":
    main()
