"""Model files that frameworks write and read become models of the task: its output, or what it starts from."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from .. import lineage
from .patches import safely

if TYPE_CHECKING:
    from ..models import OutputModel
    from ..task import Task

WAIT_SECONDS: Final = 10.0
"""How long the end of a task waits for models it started from to be looked up."""


class ModelFiles:
    """The model files of one task. What is written again to a path is the same model, in a newer state."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._saved: dict[str, OutputModel] = {}
        self._loaded: set[str] = set()
        self._looking: list[threading.Thread] = []

    def saved(self, target: Any, framework: str, chosen: Any = True) -> None:
        """A framework has written a file; `chosen` may be a pattern or several that its name must match.

        It is uploaded where the task has a place for its outputs, or runs under an agent, whose folder won't last;
        elsewhere it is registered where it lies, as in ClearML.
        """
        path = file_of(target)
        if path is None or not _matches(path, chosen) or not path.exists():
            return
        model = self._saved.get(str(path)) or self._new_model(path, framework)
        self._saved[str(path)] = model
        if self._task.output_uri or self._task._session.settings.output_uri or lineage.runs_remotely():  # noqa: SLF001
            model.update_weights(str(path), auto_delete_file=False)
        else:
            model.update_weights(register_uri=path.as_uri())

    def _new_model(self, path: Path, framework: str) -> OutputModel:
        from ..models import OutputModel  # noqa: PLC0415  only for tasks that have models

        return OutputModel(task=self._task, name=f"{self._task.name} - {path.stem}", framework=framework)

    def loaded(self, source: Any, framework: str, chosen: Any = True) -> None:
        """A framework has read a file; that it is a model the task starts from is looked up beside the program."""
        path = file_of(source)
        if path is None or not _matches(path, chosen) or str(path) in self._saved or str(path) in self._loaded:
            return
        self._loaded.add(str(path))
        lookup = threading.Thread(target=safely, args=("input model", self._attach, path, framework), daemon=True)
        self._looking.append(lookup)
        lookup.start()

    def _attach(self, path: Path, framework: str) -> None:
        from ..models import InputModel  # noqa: PLC0415  only for tasks that have models

        model = InputModel.import_model(str(path), framework=framework)
        model.connect(self._task, name=path.stem, ignore_remote_overrides=True)

    def settle(self) -> None:
        """Wait for what is being looked up."""
        deadline = time.monotonic() + WAIT_SECONDS
        for lookup in self._looking:
            lookup.join(max(0.0, deadline - time.monotonic()))


def file_of(target: Any) -> Path | None:
    """The file a framework was told to write or read: by its path, or opened; None for what is no file."""
    name = getattr(target, "name", None) if hasattr(target, "read") or hasattr(target, "write") else target
    if hasattr(target, "flush") and not getattr(target, "closed", True):
        target.flush()
    if not isinstance(name, str | bytes | os.PathLike) or not name:
        return None
    return Path(os.fsdecode(name)).expanduser().absolute()


def _matches(path: Path, chosen: Any) -> bool:
    """ClearML's rule: True, a pattern, or a list of patterns for the file's name or path."""
    if isinstance(chosen, bool) or chosen is None:
        return bool(chosen)
    patterns: Iterable[str] = [chosen] if isinstance(chosen, str) else chosen
    return any(fnmatch(path.name, pattern) or fnmatch(str(path), pattern) for pattern in patterns)
