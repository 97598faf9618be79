"""DataFrames that a task keeps in step with an artifact: looked at now and then, uploaded when they have changed."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from .artifact_formats import TABLE, Format, shortened
from .warn import LOGGER

PERIOD: Final = 60.0
Upload = Callable[[str, Format, Mapping[str, Any]], None]


@dataclass
class _Table:
    """One DataFrame. `columns` tell rows apart in the preview; `digest` is that of what was uploaded last."""

    frame: Any
    metadata: Mapping[str, Any]
    columns: Sequence[str] | None
    digest: str = ""


class RegisteredTables:
    """The registered tables of one task in one process. `upload` sends one on its way. Thread-safe."""

    def __init__(self, upload: Upload, period: float = PERIOD) -> None:
        self._upload = upload
        self._period = period
        self._tables: dict[str, _Table] = {}
        self._lock = threading.RLock()
        self._stop = threading.Event()

    @property
    def frames(self) -> dict[str, Any]:
        """The DataFrames by name."""
        with self._lock:
            return {name: table.frame for name, table in self._tables.items()}

    def register(
        self, name: str, frame: Any, metadata: Mapping[str, Any] | None, columns: bool | Sequence[str]
    ) -> None:
        """Keep an artifact in step with a DataFrame from now on."""
        with self._lock:
            if not self._tables:
                self._stop = threading.Event()
                threading.Thread(target=self._watch, args=(self._stop,), name="tasktape-tables", daemon=True).start()
            wanted = None if isinstance(columns, bool) else list(columns)
            self._tables[name] = _Table(frame, dict(metadata or {}), wanted)

    def unregister(self, name: str) -> None:
        """Upload a DataFrame for the last time and let go of it."""
        with self._lock:
            if name in self._tables:
                self._upload_if_changed(name, self._tables[name])
                del self._tables[name]
            if not self._tables:
                self._stop.set()

    def upload_changed(self) -> None:
        """Upload the DataFrames that have changed since they were uploaded last."""
        with self._lock:
            for name, table in self._tables.items():
                self._upload_if_changed(name, table)

    def _watch(self, stop: threading.Event) -> None:
        while not stop.wait(self._period):
            self.upload_changed()

    def _upload_if_changed(self, name: str, table: _Table) -> None:
        try:
            text = table.frame.to_csv(index=False).encode("utf-8", "surrogatepass")
            digest = hashlib.sha256(text).hexdigest()
            if digest != table.digest:
                write = partial(_write, text)
                found = Format(TABLE, f"{name}.csv.gz", "text/csv", _preview(table), write)
                self._upload(name, found, table.metadata)
                table.digest = digest
        except Exception as error:  # noqa: BLE001  the training changes the frame while we read it: next time
            LOGGER.warning("table %r was not uploaded: %r", name, error, extra={"action": "table_not_uploaded"})


def _write(text: bytes, path: Path) -> None:
    import gzip  # noqa: PLC0415  only where used

    with gzip.GzipFile(path, "wb", mtime=0) as file:
        file.write(text)


def _preview(table: _Table) -> str:
    try:
        unique = len(table.frame.drop_duplicates(table.columns))
    except (TypeError, KeyError):  # values that can't be compared, or columns that are gone
        return shortened(repr(table.frame))
    return shortened(f"{table.frame!r}\n\n{len(table.frame)} rows, {unique} of them unique")
