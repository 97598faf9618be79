"""Watches all parsers of command lines at once, for the one `Arguments` this process has."""

from __future__ import annotations

from typing import Final

from . import (
    arguments_absl,
    arguments_argparse,
    arguments_click,
    arguments_fire,
    arguments_hydra,
    arguments_jsonargparse,
)
from .arguments import Arguments
from .import_hook import ImportHook
from .patches import Patches

_PARSERS: Final = (
    arguments_absl,
    arguments_argparse,
    arguments_click,
    arguments_fire,
    arguments_hydra,
    arguments_jsonargparse,
)


class ArgumentWatch:
    """The parsers' watch: on from `start` to `stop`, as often as needed."""

    def __init__(self) -> None:
        self.arguments = Arguments()
        self._hook = ImportHook()
        self._patches: Patches | None = None

    def start(self) -> None:
        """Watch the parsers that are imported and those that will be; a second start changes nothing."""
        if self._patches is None:
            self._patches = Patches()
            for parser in _PARSERS:
                parser.install(self._hook, self._patches, self.arguments)

    def stop(self) -> None:
        """Leave all parsers as they were."""
        self.arguments.detach()
        self._hook.remove()
        if self._patches is not None:
            self._patches.undo()
            self._patches = None


watch = ArgumentWatch()
