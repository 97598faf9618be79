"""The kinds of task and the states of a task, under the names and values that ClearML's users know."""

from __future__ import annotations

from enum import StrEnum


class TaskTypes(StrEnum):
    """What a task is for."""

    training = "training"
    testing = "testing"
    inference = "inference"
    data_processing = "data_processing"
    application = "application"
    monitor = "monitor"
    controller = "controller"
    optimizer = "optimizer"
    service = "service"
    qc = "qc"
    custom = "custom"


class TaskStatusEnum(StrEnum):
    """The states of a task."""

    created = "created"
    queued = "queued"
    in_progress = "in_progress"
    stopped = "stopped"
    published = "published"
    publishing = "publishing"
    closed = "closed"
    failed = "failed"
    completed = "completed"
    unknown = "unknown"
