"""Pipelines: graphs of steps, each a task, run by a controller that is a task itself."""
