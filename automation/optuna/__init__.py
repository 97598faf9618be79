"""Searches that Optuna guides, under the module name that ClearML's scripts import them from."""

from __future__ import annotations

from ...producers.search.optuna_strategy import OptimizerOptuna

__all__ = ["OptimizerOptuna"]
