"""Hyper-parameter search: trials of a task with other parameters, proposed by a strategy, run by a controller."""
