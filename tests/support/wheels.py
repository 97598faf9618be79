"""Wheels for tests: installing them needs no network."""

from __future__ import annotations

import zipfile
from pathlib import Path


def wheel(folder: Path, name: str, value: str) -> str:
    """A requirement for a wheel with one module that holds a value."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}-{value}-py3-none-any.whl"
    info = f"{name}-{value}.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}.py", f"value = {value!r}\n")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {value}\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", f"{name}.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
    return f"{name} @ {path.as_uri()}"
