"""The strategy of the package, under the name of the module that ClearML has it in."""

from __future__ import annotations

from ...producers.search.bohb import OptimizerBOHB

__all__ = ["OptimizerBOHB"]
