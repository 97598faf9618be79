"""Searches over hyper-parameters, under the module name that ClearML's scripts import them from."""

from __future__ import annotations

from ..producers.search.objectives import Objective
from ..producers.search.optimizer import HyperParameterOptimizer
from ..producers.search.strategies import GridSearch, RandomSearch, SearchStrategy

__all__ = ["GridSearch", "HyperParameterOptimizer", "Objective", "RandomSearch", "SearchStrategy"]
