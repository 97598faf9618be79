"""The one place that knows which log a URL means; each log's module is imported only when it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..errors import SettingsError
from .fork_gate import gate
from .pace import BRISK, Pace
from .port import Log


def open_log(url: str, properties: Mapping[str, str] | None = None, pace: Pace = BRISK) -> Log:
    """Open the log at `sqlite:///path`, `kafka://host:port[,host:port]` or `memory://name`.

    `properties` are librdkafka properties, for Kafka alone; `pace` is how often one wakes up that waits. A Kafka log is
    opened without waiting for the broker. Raises `SettingsError` for any other URL.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        raise SettingsError(f"{url!r} is no log URL: use sqlite:///path/to/log.db or kafka://host:9092.")
    if scheme == "sqlite":
        with gate:
            from .sqlite import SqliteLog  # noqa: PLC0415  imported only where used

        return SqliteLog(sqlite_path(rest), pace=pace)
    if scheme == "kafka":
        with gate:
            from .kafka import KafkaLog  # noqa: PLC0415  imported only where used

        return KafkaLog(rest, properties or {}, pace)
    if scheme == "memory":
        with gate:
            from .memory import MemoryLog  # noqa: PLC0415  imported only where used

        return MemoryLog.named(rest)
    raise SettingsError(f"{url!r} names no log: use sqlite:///path/to/log.db or kafka://host:9092.")


def sqlite_path(rest: str) -> Path:
    """Path of a SQLite URL without its scheme: always absolute, `/~` is the user's home."""
    path = rest.lstrip("/")
    return Path(path).expanduser() if path.startswith("~") else Path("/", path)
