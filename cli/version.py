"""`tasktape version`."""

from __future__ import annotations

import sys

from .options import Json
from .output import print_json

LIBRARIES = ("confluent-kafka", "duckdb", "fastavro", "pyarrow", "pydantic", "streamlit")


def version(*, as_json: Json = False) -> None:
    """Print the version of tasktape, of Python, and of the libraries that matter.

    Examples:
    $ tasktape version --json
    """
    found = versions()
    if as_json:
        print_json(found)
    else:
        sys.stdout.writelines(f"{name} {one}\n" for name, one in found.items() if one)


def versions() -> dict[str, str]:
    """Versions by name; empty for a library that is not installed."""
    python = ".".join(map(str, sys.version_info[:3]))
    return {"tasktape": _version("tasktape"), "python": python, **{name: _version(name) for name in LIBRARIES}}


def _version(name: str) -> str:
    from importlib import metadata  # noqa: PLC0415  for this command alone

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""
