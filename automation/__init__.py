"""Tasks that run other tasks, under the names that ClearML's scripts import from `clearml.automation`."""

from __future__ import annotations

from ..producers.pipelines.controller import PipelineController
from ..producers.pipelines.decorator import PipelineDecorator

__all__ = ["PipelineController", "PipelineDecorator"]
