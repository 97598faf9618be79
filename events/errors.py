"""Every error tasktape raises on purpose: one base class, one class per kind, data in attributes."""


class TasktapeError(Exception):
    """Something tasktape can name went wrong; the message says what, to what, and what to do next."""


class SettingsError(TasktapeError):
    """A setting is missing or can't be understood."""


class LogUnavailableError(TasktapeError):
    """The message log does not answer."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"the log {url} does not answer: {reason}. Check TASKTAPE_LOG, or run `tasktape doctor`.")
        self.url = url
        self.reason = reason


class LogSettingsError(LogUnavailableError):
    """The log refuses what the settings say, or is not where they say it is: waiting does not help."""

    def __init__(self, url: str, reason: str) -> None:
        TasktapeError.__init__(
            self,
            f"the log {url} can't be used with these settings: {reason}. "
            "Correct TASKTAPE_LOG or the settings for Kafka; `tasktape doctor` tries them.",
        )
        self.url = url
        self.reason = reason


class NotAllowedError(LogUnavailableError):
    """The log's access rules do not let this client do it: waiting does not help, an admin does."""

    def __init__(self, url: str, principal: str, operation: str, resource: str) -> None:
        TasktapeError.__init__(
            self,
            f"{principal} may not {operation} {resource} on {url}: "
            "an admin allows it with `tasktape acls`, or makes what is missing.",
        )
        self.url = url
        self.principal = principal
        self.operation = operation
        self.resource = resource


class LogClosedError(TasktapeError):
    """The log was used after `close`."""


class UnknownTopicError(TasktapeError):
    """A topic that was never created was named."""

    def __init__(self, topic: str) -> None:
        super().__init__(f"there is no topic {topic!r} on this log: create it first.")
        self.topic = topic


class TopicMismatchError(TasktapeError):
    """A topic exists with another number of partitions than asked for."""

    def __init__(self, topic: str, existing: int, wanted: int) -> None:
        super().__init__(
            f"topic {topic!r} has {existing} partitions, not {wanted}: the number is fixed once a topic exists.",
        )
        self.topic = topic
        self.existing = existing
        self.wanted = wanted


class AppendError(TasktapeError):
    """A record could not be appended; the delivery report carries this."""


class RecordRefusedError(AppendError):
    """The log will never take this record, however often it is offered: it is too large, or not allowed."""


class RecordNotAllowedError(NotAllowedError, RecordRefusedError):
    """The log's access rules do not let this client write the record."""


class EncodeError(TasktapeError):
    """An event holds something its schema has no room for, such as an integer beyond 64 bits."""


class DecodeError(TasktapeError):
    """A record's bytes are not an event that can be read."""


class UnknownSchemaError(DecodeError):
    """A record names a schema this version does not have."""

    def __init__(self, schema: str) -> None:
        super().__init__(f"no schema known for {schema}: written by a newer version? Upgrade this reader.")
        self.schema = schema


class RegistryUnavailableError(TasktapeError):
    """The schema registry does not answer: nothing is wrong with the record, try again later."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"the schema registry {url} does not answer: {reason}. Check TASKTAPE_SCHEMA_REGISTRY.")
        self.url = url
        self.reason = reason


class BlobError(TasktapeError):
    """A blob could not be stored, or what came back is not what was stored."""
