"""The settings a task's program reads: the agent's, in a file of the run's own, without what is the agent's alone.

A file, because variables are printed, recorded and inherited by whatever a program starts; of the run's own, because
the agent's may hold what opens private repositories.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from ..events.private_file import toml_lines, write_private
from ..events.settings import PREFIX, Settings

_AGENTS_OWN: Final = frozenset({"git", "environments_count", "environments_gigabytes"})
_FAMILIES: Final = (f"{PREFIX}KAFKA_", f"{PREFIX}GIT_")
_NAMES: Final = frozenset({f"{PREFIX}{name.upper()}" for name in Settings.model_fields} | {f"{PREFIX}CONFIG"})


def write_run_settings(path: Path, settings: Settings) -> None:
    """Write the file that `TASKTAPE_CONFIG` names for the program."""
    given = {name: getattr(settings, name) for name in Settings.model_fields if name not in _AGENTS_OWN}
    write_private(path, "\n".join(toml_lines(given)) + "\n")


def without_settings(variables: Mapping[str, str]) -> dict[str, str]:
    """Variables without those that are settings: the file has them."""
    return {name: value for name, value in variables.items() if name not in _NAMES and not name.startswith(_FAMILIES)}
