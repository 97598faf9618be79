"""`Logger` under the path that scripts written for ClearML import it from."""

from .producers.logger import Logger

__all__ = ["Logger"]
