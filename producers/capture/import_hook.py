"""Calls back when a library has been imported: at once if it is, else right after the user's script imports it."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

from .patches import safely

if TYPE_CHECKING:
    from importlib.abc import Loader  # it imports importlib.resources, and a script waits for that

OnImport = Callable[[ModuleType], object]


class ImportHook:
    """A finder at the front of `sys.meta_path` that finds nothing itself; other modules cost it one look-up."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[OnImport]] = {}
        self._searching = threading.local()

    def when_imported(self, name: str, call: OnImport) -> None:
        """Call `call(module)` once the module `name` is there."""
        module = sys.modules.get(name)
        if module is not None:
            safely(name, call, module)
            return
        self._waiting.setdefault(name, []).append(call)
        if self not in sys.meta_path:
            sys.meta_path.insert(0, self)

    def remove(self) -> None:
        """Call back no more."""
        self._waiting.clear()
        if self in sys.meta_path:
            sys.meta_path.remove(self)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Let the other finders find a module that is waited for, and see its loading."""
        if fullname not in self._waiting or getattr(self._searching, "name", "") == fullname:
            return None
        self._searching.name = fullname
        try:
            spec = _found_by_others(self, fullname, path, target)
        finally:
            self._searching.name = ""
        if spec is not None and hasattr(spec.loader, "exec_module"):
            spec.loader = cast("Loader", _SeenLoader(spec.loader, self._arrived))
        return spec

    def _arrived(self, module: ModuleType) -> None:
        for call in self._waiting.pop(module.__name__, []):
            safely(module.__name__, call, module)


def _found_by_others(
    hook: ImportHook, name: str, path: Sequence[str] | None, target: ModuleType | None
) -> ModuleSpec | None:
    finders = (finder for finder in list(sys.meta_path) if finder is not hook and hasattr(finder, "find_spec"))
    specs = (finder.find_spec(name, path, target) for finder in finders)
    return next((spec for spec in specs if spec is not None), None)


class _SeenLoader:
    """Stands in for a module's loader until it has loaded it; the module itself only ever knows its own loader."""

    def __init__(self, loader: Any, arrived: Callable[[ModuleType], None]) -> None:
        self._loader = loader
        self._arrived = arrived

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Let the true loader do so."""
        spec.loader = self._loader
        made: ModuleType | None = self._loader.create_module(spec)
        spec.loader = cast("Loader", self)
        return made

    def exec_module(self, module: ModuleType) -> None:
        """Load the module, and tell."""
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        self._arrived(module)
