"""Pipelines, under the module name that ClearML's scripts import them from."""

from __future__ import annotations

from ..producers.pipelines.controller import PipelineController
from ..producers.pipelines.decorator import PipelineDecorator

__all__ = ["PipelineController", "PipelineDecorator"]
