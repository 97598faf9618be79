"""Models under the path that scripts written for ClearML import them from."""

from .producers.models import InputModel, Model, OutputModel

__all__ = ["InputModel", "Model", "OutputModel"]
