"""SQL lives in `.sql` files, in blocks that begin with a line `-- name: NAME`; this loads them."""

from __future__ import annotations

import re
from pathlib import Path

_NAME = re.compile(r"^-- name: *(\w+) *$", re.MULTILINE)


def load_sql(path: Path) -> dict[str, str]:
    """Return the blocks of a file by name, without surrounding white space and final semicolon."""
    _, *parts = _NAME.split(path.read_text(encoding="utf-8"))
    return {name: block.strip().rstrip(";") for name, block in zip(parts[::2], parts[1::2], strict=True)}


def statements(block: str) -> list[str]:
    """Return the statements of a block that holds several, each ended by a semicolon at the end of its line."""
    return [statement.strip() for statement in re.split(r";\s*$", block, flags=re.MULTILINE) if statement.strip()]
