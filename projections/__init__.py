"""Folds of the log: the task state machine, the queue fold, DuckDB tables and the queries over them."""
