"""Pipelines: steps that are tasks of their own, put in order by a controller that is a task too."""
