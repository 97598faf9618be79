"""Classes of parameters under the path that scripts written for ClearML import them from."""

from .producers.parameter_classes import TaskParameters, param, percent_param, range_validator

__all__ = ["TaskParameters", "param", "percent_param", "range_validator"]
