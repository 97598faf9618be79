"""Which task a script had last on this machine, so that the next run may take its place, as ClearML's does.

One small file for each log, project, name and type. Its lock is held as long as the process lives that has the task:
two processes that run the same script at once never share a task. All of it is a convenience: where a file can't be
had, there is a new task.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from pydantic import ConfigDict, Field, TypeAdapter

from ..events.base import Part
from ..events.log.port import TopicPartition, partition_of
from .replay import Replayed

if TYPE_CHECKING:
    from ..events.log.port import Log
    from ..events.settings import Settings

HOURS: Final = 72
_HOUR_US: Final = 3_600_000_000
_ENDS: Final = TypeAdapter(dict[str, dict[str, int]], config=ConfigDict(defer_build=True))


class LastTask(Part):
    """A task, when it was used last (µs since 1970), and what was `known` of it up to a position of its partition.

    `on_log` tells whether all that its run said was on the log when it ended; None while it runs, or if it was killed.
    """

    task: str
    at: int
    known: Replayed = Field(default_factory=Replayed)
    on_log: bool | None = None


class Slot:
    """The file of one script's last task, locked for this process."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def take(cls, settings: Settings, *key: str) -> Slot | None:
        """Lock the file of this project, name and type; None where another process has it, or it can't be written."""
        path = settings.home / "last" / f"{_digest(settings.log, *key)}.json"
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            return None
        return cls(descriptor)

    def read(self, now: int) -> LastTask | None:
        """The last task, if it was used within 72 hours of `now` (µs since 1970)."""
        try:
            size = os.fstat(self._descriptor).st_size
            last = LastTask.model_validate_json(os.pread(self._descriptor, size, 0))
        except (OSError, ValueError):
            return None
        return last if 0 <= now - last.at < HOURS * _HOUR_US else None

    def write(self, last: LastTask) -> None:
        """Remember a task as the last one."""
        text = last.model_dump_json().encode()
        try:
            os.pwrite(self._descriptor, text, 0)
            os.ftruncate(self._descriptor, len(text))
        except OSError:
            return

    def release(self) -> None:
        """Let another process have it."""
        os.close(self._descriptor)


class Horizon:
    """How far each partition was when this machine looked last, as known when this object was made.

    What begins later lies beyond that, so nobody need read what lies before.
    """

    def __init__(self, settings: Settings) -> None:
        self._path = settings.home / "last" / f"{_digest(settings.log)}.ends.json"
        self._ends = self._read()

    def _read(self) -> dict[str, dict[str, int]]:
        try:
            return _ENDS.validate_json(self._path.read_bytes())
        except (OSError, ValueError):
            return {}

    def end(self, source: TopicPartition) -> int:
        """An offset of this partition before which lies nothing that begins now."""
        return self._ends.get(source.topic, {}).get(str(source.partition), 0)

    def start(self, topic: str) -> int:
        """An offset before which no partition of the topic holds anything that begins now."""
        return min(self._ends.get(topic, {}).values(), default=0)

    def partition(self, topic: str, key: str) -> TopicPartition | None:
        """The partition of a key, whose topic's partitions never change; None where nobody has looked."""
        count = len(self._ends.get(topic, {}))
        return TopicPartition(topic, partition_of(key, count)) if count else None

    def look(self, log: Log, topics: Iterable[str]) -> None:
        """Remember for later processes where the partitions end."""
        ends: dict[str, dict[str, int]] = {}
        for source, end in log.end_positions(topics).items():
            ends.setdefault(source.topic, {})[str(source.partition)] = end
        temporary = self._path.with_suffix(f".{os.getpid()}")
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            temporary.write_text(json.dumps(ends), encoding="utf-8")
            temporary.replace(self._path)
        except OSError:
            temporary.unlink(missing_ok=True)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode(errors="surrogatepass")).hexdigest()[:32]
