"""`SeriesInfo` under the path that scripts written for ClearML import it from."""

from ..producers.plots import SeriesInfo

__all__ = ["SeriesInfo"]
