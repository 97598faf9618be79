"""Hyper-parameter search without effects: ranges of values, objectives, strategies that propose what to try next."""
