"""The SDK: tasks, loggers, artifacts and models, and the one way by which a process says things."""
