"""Models under the path that scripts written for ClearML import them from."""

from .producers.models import Framework, InputModel, Model, OutputModel

__all__ = ["Framework", "InputModel", "Model", "OutputModel"]
