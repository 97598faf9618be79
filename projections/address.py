"""Where a projection is served: a file beside its database for its owner alone, and how a stale one is told."""

from __future__ import annotations

import json
import os
import socket
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from ..events.processes import is_alive

_PROBE_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True)
class Address:
    """Who serves a projection, where, and the token that opens it. `repr` keeps the token to itself."""

    address: str
    token: str
    pid: int

    def __repr__(self) -> str:
        return f"Address({self.address!r}, pid={self.pid})"


def address_file(database: Path) -> Path:
    """File that names the server of this database."""
    return database.with_name(database.name + ".server")


def write_address(database: Path, address: Address) -> None:
    """Tell where the database is served: at once, whole, and to its owner alone."""
    path = address_file(database)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(asdict(address), file)
    draft.replace(path)


def remove_address(database: Path) -> None:
    """Tell that the database is no longer served here."""
    found = _read(database)
    if found is not None and found.pid == os.getpid():
        address_file(database).unlink(missing_ok=True)


def live_address(database: Path) -> Address | None:
    """Return where the database is served, or None where nobody does or whoever did is dead."""
    found = _read(database)
    return found if found is not None and is_alive(found.pid) and _listens(found.address) else None


def _read(database: Path) -> Address | None:
    try:
        found = json.loads(address_file(database).read_text())
        return Address(str(found["address"]), str(found["token"]), int(found["pid"]))
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _listens(address: str) -> bool:
    parts = urlsplit(address)
    try:
        with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=_PROBE_SECONDS):
            return True
    except OSError:
        return False
