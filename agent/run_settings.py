"""The settings a task's program reads: the agent's, in a file of the run's own, without what is the agent's alone.

A file, because variables are printed, recorded and inherited by whatever a program starts; of the run's own, because
the agent's may hold what opens private repositories.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..events.private_file import quoted, write_private
from ..events.settings import PREFIX, Settings

if TYPE_CHECKING:
    from typing import Any

_AGENTS_OWN: Final = frozenset({"git", "environments_count", "environments_gigabytes"})
_FAMILIES: Final = (f"{PREFIX}KAFKA_", f"{PREFIX}GIT_")
_NAMES: Final = frozenset({f"{PREFIX}{name.upper()}" for name in Settings.model_fields} | {f"{PREFIX}CONFIG"})


def write_run_settings(path: Path, settings: Settings) -> None:
    """Write the file that `TASKTAPE_CONFIG` names for the program."""
    given = {name: getattr(settings, name) for name in Settings.model_fields if name not in _AGENTS_OWN}
    write_private(path, "\n".join(_lines(given)) + "\n")


def _lines(given: Mapping[str, Any]) -> Iterator[str]:
    tables = {name: value for name, value in given.items() if isinstance(value, Mapping)}
    for name, value in given.items():
        if name not in tables and value is not None:
            yield f"{name} = {value if isinstance(value, int | float) else quoted(str(value))}"
    for name, table in tables.items():
        yield f"[{name}]"
        yield from (f"{quoted(key)} = {quoted(value)}" for key, value in table.items())


def without_settings(variables: Mapping[str, str]) -> dict[str, str]:
    """Variables without those that are settings: the file has them."""
    return {name: value for name, value in variables.items() if name not in _NAMES and not name.startswith(_FAMILIES)}
