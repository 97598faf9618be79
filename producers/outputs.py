"""What a process has made for its tasks: its uploader, and the artifacts and models it knows without asking the log."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Final

from .registered_tables import RegisteredTables
from .upload_spool import has_left_uploads
from .uploader import Uploader

if TYPE_CHECKING:
    from ..events.parts import Artifact, Model
    from .session import Session


class Outputs:
    """The outputs of one session. `artifacts` and `models` are by task, then by name or id: the latest said of each."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.uploader = Uploader(session.settings, session.stamp, session.emit)
        self.artifacts: dict[str, dict[str, Artifact]] = {}
        self.models: dict[str, dict[str, Model]] = {}
        self.tables: dict[str, RegisteredTables] = {}
        if has_left_uploads(session.settings):
            threading.Thread(target=self.uploader.adopt, name="tasktape-adopt-uploads", daemon=True).start()


class _Current:
    """The outputs of this process's session. A forked child starts with none."""

    def __init__(self) -> None:
        self.forked()

    def forked(self) -> None:
        self._lock = threading.Lock()
        self._outputs: Outputs | None = None

    def of(self, session: Session) -> Outputs:
        with self._lock:
            former = self._outputs
            if former is None or former.session is not session:
                if former is not None:
                    former.uploader.close(0)
                self._outputs = Outputs(session)
            assert self._outputs is not None  # noqa: S101  for the type checker
            return self._outputs


_current: Final = _Current()
os.register_at_fork(after_in_child=_current.forked)
outputs_of: Final = _current.of
