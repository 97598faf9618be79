"""BOHB, under the module name that ClearML's scripts import it from."""

from __future__ import annotations

from ...producers.search.bohb import OptimizerBOHB

__all__ = ["OptimizerBOHB"]
