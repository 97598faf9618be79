"""Offline sessions: a folder with a log and blobs of its own, copied to the real log when there is one.

References into the folder's blob store are turned into references to where its blobs are put on import.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..events.errors import DecodeError
from ..events.log.past import past
from ..events.report_events import ReportEvent, ScalarsReported
from ..events.task_events import RunStarted, TaskCreated, TaskEdited, TasksEvent
from ..events.wire import read_event
from .errors import InvalidArgumentError

if TYPE_CHECKING:
    from ..events.base import Event, Meta
    from ..events.blobs import BlobStore
    from ..events.log.port import Log
    from ..events.settings import Settings
    from .session import Session

LOG_NAME: Final = "log.db"
BLOBS_NAME: Final = "blobs"
_ABOUT: Final = "session.json"


def offline_settings(settings: Settings, folder: Path) -> Settings:
    """Settings with log and blobs in a folder, and nothing that reaches out."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder / _ABOUT).write_text(json.dumps({"blobs": (folder / BLOBS_NAME).as_uri()}), encoding="utf-8")
    return settings.model_copy(
        update={
            "log": f"sqlite:///{folder / LOG_NAME}",
            "blobs": str(folder / BLOBS_NAME),
            "kafka": {},
            "schema_registry": None,
            "projection": None,
        },
    )


def zipped(folder: Path) -> Path:
    """A zip file of the folder, beside it."""
    return Path(shutil.make_archive(str(folder), "zip", folder))


@contextmanager
def unpacked(path: Path) -> Iterator[Path]:
    """The folder of a session, unpacked where a zip file was given.

    Raises:
        InvalidArgumentError: It is neither a session's folder nor a zip file of one.

    """
    with tempfile.TemporaryDirectory(prefix="tasktape-") as scratch:
        folder = path
        if path.is_file():
            try:
                zipfile.ZipFile(path).extractall(scratch)
            except zipfile.BadZipFile as error:
                raise InvalidArgumentError(f"{path} is no zip file of an offline session.") from error
            folder = Path(scratch)
        if not (folder / LOG_NAME).is_file():
            raise InvalidArgumentError(f"{path} is no offline session: there is no {LOG_NAME} in it.")
        yield folder


def events_in(folder: Path, open_log: Callable[[Path], Log], codec: Any) -> Iterator[Event]:
    """All events of a session, task events first, each topic in its order; unreadable ones are left out."""
    with open_log(folder / LOG_NAME) as log:
        for topic in sorted(log.topics(), key=lambda name: (name != TasksEvent.topic, name)):
            for record in past(log, log.end_positions([topic])):
                try:
                    yield read_event(record, codec=codec)
                except DecodeError:
                    continue


class Moved:
    """Turns references into a session's blobs into references into another store, where they are put."""

    def __init__(self, folder: Path, store: BlobStore) -> None:
        about = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
        self._prefix = str(about["blobs"])
        self._blobs = folder / BLOBS_NAME
        self._store = store

    def event(self, event: Event) -> Event:
        """The event with its references moved."""
        data = event.model_dump()
        moved = self._value(data)
        return event if moved == data else type(event).model_validate(moved)

    def _value(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self._value(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._value(item) for item in value]
        return self._text(value) if isinstance(value, str) else value

    def _text(self, text: str) -> str:
        if not text.startswith(self._prefix):
            return text
        file = self._blobs / text.removeprefix(self._prefix).lstrip("/")
        return self._store.put_file(file).uri if file.is_file() else text


def continuing(stamp: Callable[[], Meta], task: str, run: int, offset: int) -> Callable[[Event], Event | None]:
    """Turns a session's events into those of run `run` of another task, its iterations shifted by `offset`.

    What describes the session's own task falls away (None). Events get stamps of their own, but keep their times.
    """
    own: set[str] = set()

    def turned(event: Event) -> Event | None:
        if isinstance(event, TaskCreated):
            own.add(event.task)
        if isinstance(event, TaskCreated | TaskEdited):
            return None
        meta = stamp().model_copy(update={"occurred_at": event.meta.occurred_at})
        changes: dict[str, Any] = {"meta": meta, **_shifted(event, offset)}
        if event.key in own:
            changes["task"] = task
            if "run" in type(event).model_fields:
                changes["run"] = run
        return event.model_copy(update=changes)

    return turned


def _shifted(event: Event, offset: int) -> dict[str, Any]:
    match event:
        case RunStarted():
            return {"continues": True, "force": True, "initial_iteration": event.initial_iteration + offset}
        case ReportEvent():
            return {"iteration": event.iteration + offset}
        case ScalarsReported(steps=[first, *others]):
            return {"steps": [first + offset, *others]}
        case _:
            return {}


def import_session(session: Session, path: Path, turn: Callable[[Event], Event | None]) -> str:
    """Say all events of a session again, here; returns the task they are about.

    Raises:
        InvalidArgumentError: It is no offline session, or there is no task in it.

    """
    from ..events.log.open import open_log  # noqa: PLC0415  only for imports

    task = ""
    with unpacked(path) as folder:
        moved = Moved(folder, session.blobs)
        for event in events_in(folder, lambda file: open_log(f"sqlite:///{file.resolve()}"), session.codec):
            if isinstance(event, TaskCreated):
                task = task or event.task
            if (said := turn(moved.event(event))) is not None:
                session.emit(said)
    if not task:
        raise InvalidArgumentError(f"{path} is no offline session: there is no task in it.")
    return task
