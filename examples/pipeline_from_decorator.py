"""A pipeline from decorated functions: plain Python calls them, and each call is a step of its own.

Run it with `python examples/pipeline_from_decorator.py` while an agent serves the queue `default`.
"""

from tasktape.automation import PipelineDecorator


@PipelineDecorator.component(return_values=["train", "test"], cache=True)
def digits(test_size: float = 0.3, seed: int = 7):
    """Images of handwritten digits as arrays: to learn from and to test with."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    pixels, labels = load_digits(return_X_y=True)
    x, x_test, y, y_test = train_test_split(pixels / 16, labels, test_size=test_size, random_state=seed)
    return (x, y), (x_test, y_test)


@PipelineDecorator.component(return_values=["model"])
def train(data, hidden: int = 32):
    """A network that has learnt from the data."""
    from sklearn.neural_network import MLPClassifier

    x, y = data
    return MLPClassifier(hidden, max_iter=60, random_state=7).fit(x, y)


@PipelineDecorator.component(return_values=["accuracy"])
def judge(model, data):
    """Share of the data that the model recognises."""
    x, y = data
    return float(model.score(x, y))


@PipelineDecorator.pipeline(
    name="from decorator", project="examples", version="1.0.0", return_value="best", start_controller_locally=True
)
def choose(widths: list, seed: int = 7):
    """Train one network of each width, side by side, and tell the best."""
    learn, test = digits(seed=seed)
    accuracies = {width: judge(train(learn, hidden=width), test) for width in widths}
    best = max(accuracies, key=lambda width: float(accuracies[width]))
    print(f"best with {best} neurons: {accuracies[best]:.1%} of new digits recognised")
    return best


if __name__ == "__main__":
    PipelineDecorator.set_default_execution_queue("default")
    choose(widths=[8, 32, 96])
