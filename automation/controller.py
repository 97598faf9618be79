"""Pipelines, under the module name that ClearML's scripts import them from."""

from __future__ import annotations

from ..producers.pipelines.controller import PipelineController

__all__ = ["PipelineController"]
