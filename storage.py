"""`StorageManager` under the path that scripts written for ClearML import it from."""

from .producers.storage import StorageManager

__all__ = ["StorageManager"]
