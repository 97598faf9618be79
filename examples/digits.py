"""Recognise handwritten digits with a small neural network, and report everything about its training.

Run it with `python examples/digits.py`, or with other parameters: `python examples/digits.py --lr 0.01 --hidden 128`.
"""

import argparse
import tempfile

import joblib
import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import confusion_matrix, log_loss
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

from tasktape import OutputModel, Task

DIGITS = np.arange(10)


def parse_arguments() -> argparse.Namespace:
    """Hyper-parameters, which the task keeps and a clone may change."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lr", type=float, default=0.003, help="learning rate of Adam")
    parser.add_argument("--hidden", type=int, default=48, help="neurons of the hidden layer")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--seed", type=int, default=7)
    return parser.parse_args()


def train_one_epoch(network: MLPClassifier, x: np.ndarray, y: np.ndarray, batch_size: int, order: np.ndarray) -> None:
    """See every example once, a batch at a time."""
    for start in range(0, len(x), batch_size):
        batch = order[start : start + batch_size]
        network.partial_fit(x[batch], y[batch], classes=DIGITS)


def mosaic(images: np.ndarray) -> np.ndarray:
    """Images of 8 x 8 pixels side by side, 0 to 255, each pixel 8 pixels large."""
    across = max(1, int(np.ceil(np.sqrt(len(images)))))
    tiles = np.zeros((across * across, 10, 10))
    tiles[: len(images), 1:9, 1:9] = images.reshape(-1, 8, 8)
    rows = tiles.reshape(across, across, 10, 10).transpose(0, 2, 1, 3).reshape(across * 10, across * 10)
    return np.kron(rows * 255, np.ones((8, 8))).astype(np.uint8)


def main() -> None:
    """Train, report, keep the network."""
    task = Task.init(project_name="examples", task_name="digits", auto_connect_frameworks={"joblib": False})
    options = parse_arguments()
    logger = task.get_logger()

    pixels, labels = load_digits(return_X_y=True)
    x, x_val, y, y_val = train_test_split(pixels / 16, labels, test_size=0.3, random_state=options.seed)
    network = MLPClassifier(options.hidden, learning_rate_init=options.lr, random_state=options.seed)
    shuffle = np.random.default_rng(options.seed).permutation

    for epoch in range(options.epochs):
        train_one_epoch(network, x, y, options.batch_size, shuffle(len(x)))
        for name, inputs, truth in (("train", x, y), ("validation", x_val, y_val)):
            logger.report_scalar("loss", name, log_loss(truth, network.predict_proba(inputs)), epoch)
            logger.report_scalar("accuracy", name, network.score(inputs, truth), epoch)
        print(f"epoch {epoch + 1}/{options.epochs}: {network.score(x_val, y_val):.1%} of new digits recognised")

    guessed = network.predict(x_val)
    logger.report_confusion_matrix("confusion", "validation", confusion_matrix(y_val, guessed), options.epochs)
    logger.report_image("mistakes", "validation", options.epochs, image=mosaic(x_val[guessed != y_val]))
    logger.report_single_value("mistakes", int((guessed != y_val).sum()))

    with tempfile.NamedTemporaryFile(suffix=".joblib", delete=False) as file:
        joblib.dump(network, file)
    OutputModel(task, name="digits", framework="scikit-learn").update_weights(
        file.name, target_filename="digits.joblib"
    )
    task.close()


if __name__ == "__main__":
    main()
