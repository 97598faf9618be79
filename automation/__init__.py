"""Tasks that run other tasks, under the names that ClearML's scripts import from `clearml.automation`."""

from __future__ import annotations

from ..producers.pipelines.controller import PipelineController
from ..producers.pipelines.decorator import PipelineDecorator
from ..producers.search.described import run_search
from ..producers.search.objectives import Objective
from ..producers.search.optimizer import HyperParameterOptimizer
from ..producers.search.parameters import (
    DiscreteParameterRange,
    LogUniformParameterRange,
    ParameterSet,
    UniformIntegerParameterRange,
    UniformParameterRange,
)
from ..producers.search.strategies import GridSearch, RandomSearch

__all__ = [
    "DiscreteParameterRange",
    "GridSearch",
    "HyperParameterOptimizer",
    "LogUniformParameterRange",
    "Objective",
    "ParameterSet",
    "PipelineController",
    "PipelineDecorator",
    "RandomSearch",
    "UniformIntegerParameterRange",
    "UniformParameterRange",
    "run_search",
]
