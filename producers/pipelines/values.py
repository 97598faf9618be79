"""Which file a step's return value becomes, so that the step that takes it has the same value: never pickle by itself.

Arrays, tables, images, files and estimators have formats of their own, all else is JSON that keeps types; containers
that hold both are archives of such files. Pickle is for those who ask for it by name.
"""

from __future__ import annotations

import importlib
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from ...events.parts import Artifact as ArtifactPart
from ..artifact_formats import ZIPPED, ArtifactError, Format, Request, format_of, shown
from . import estimators, frames
from .value_tree import MEMBER, UnsupportedValueError, from_json, from_tree, to_json, to_tree

VALUE: Final = "value"
"""Type of an artifact that is a tree, alone as JSON or in an archive with what it refers to."""
PICKLES: Final = frozenset({"pickle", "cloudpickle"})
PICKLED: Final = "pickled"
"""Metadata of an artifact that was pickled because somebody asked for it; its value is by what."""

_TREE: Final = "tree.json"
Serialization = Callable[[Any], Any] | str | None
"""A user's function, the name of a pickle, or None for safe formats alone."""
Deserialization = Callable[[bytes], Any] | str | None
"""A user's function, the name of a pickle (which lets those be read that nobody asked for), or None."""


def value_format(value: Any, name: str, serialization: Serialization = None) -> Format:
    """Choose the file for a value that is to come back equal.

    Raises `UnsupportedValueError` where no safe format holds it and no pickle is allowed.
    """
    if callable(serialization):
        return format_of(value, Request(name, serialize=serialization))
    try:
        return _safe_format(value, name)
    except UnsupportedValueError:
        if serialization not in PICKLES:
            raise
        return _pickled(value, name, serialization)


def is_pickle(found: Format) -> bool:
    """Whether a format is one that runs code when it is read."""
    return found.type == "pickle"


def load_value(path: Path, part: ArtifactPart) -> Any:
    """The value of an artifact of type `value` (or a table kept as one): of its file, or of its unpacked folder."""
    if part.content_type == ZIPPED:
        tree = from_json((path / _TREE).read_bytes())
        return from_tree(tree, partial(_read_member, path))
    return from_tree(from_json(path.read_bytes()), _no_member)


def _safe_format(value: Any, name: str) -> Format:
    if _is_paths(value):
        return _paths_format(value, name)
    if (leaf := _leaf(value, name)) is not None:
        return leaf
    members = _Members()
    try:
        content = to_json(to_tree(value, members.add))
    except RecursionError as error:
        raise UnsupportedValueError(value, "it contains itself, or goes too deep") from error
    is_table = frames.is_frame(value) or frames.is_series(value)
    kind, preview = "pandas" if is_table else VALUE, shown(value)
    if not members.files:
        return Format(kind, f"{name}.json", "application/json", preview, partial(_write, content))
    return Format(kind, f"{name}.zip", ZIPPED, preview, partial(_pack, content, members.files))


def _is_paths(value: Any) -> bool:
    paths = value if isinstance(value, (list, tuple)) else [value]
    return bool(paths) and all(isinstance(item, Path) for item in paths)


def _paths_format(value: Any, name: str) -> Format:
    missing = [str(path) for path in value if not path.is_file()] if isinstance(value, (list, tuple)) else []
    if missing:
        raise ArtifactError(f"there are no files {', '.join(missing)}.")
    return format_of(value, Request(name))


def _leaf(value: Any, name: str) -> Format | None:
    """The format of what is one file by itself; None for what is none."""
    numpy, image = sys.modules.get("numpy"), sys.modules.get("PIL.Image")
    is_array = numpy is not None and type(value) is numpy.ndarray and not value.dtype.hasobject
    if is_array or (image is not None and isinstance(value, image.Image)):
        return format_of(value, Request(name))
    if frames.is_frame(value) and (content := frames.parquet(value)) is not None:
        return _bytes_format("pandas", f"{name}.parquet", "application/parquet", value, content)
    if estimators.is_estimator(value):
        content = estimators.skops_file(value)
        return _bytes_format("sklearn", f"{name}.skops", estimators.CONTENT_TYPE, value, content)
    return None


def _bytes_format(kind: str, file_name: str, content_type: str, value: Any, content: bytes) -> Format:
    return Format(kind, file_name, content_type, shown(value), partial(_write, content))


def _write(content: bytes, path: Path) -> None:
    path.write_bytes(content)


def _pickled(value: Any, name: str, library: str) -> Format:
    found = format_of(value, Request(name, extension=".pkl"))
    if library == "pickle":
        return found
    return replace(found, write=lambda path: path.write_bytes(importlib.import_module(library).dumps(value)))


@dataclass
class _Members:
    """The files that a tree refers to."""

    files: list[tuple[str, Format]] = field(default_factory=list)

    def add(self, value: Any) -> Any:
        """The tree that stands for a value that is a file, or tables of several."""
        tree = partial(to_tree, member=self.add)
        if isinstance(value, Path) and value.is_file():
            return self._keep(format_of(value, Request("file")))
        if (leaf := _leaf(value, "data")) is not None:
            return self._keep(leaf)
        if frames.is_frame(value):
            return frames.frame_tree(value, tree, self._keep_table)
        if frames.is_series(value):
            return frames.series_tree(value, tree, self._keep_table)
        raise UnsupportedValueError(value)

    def _keep(self, found: Format) -> Any:
        name = f"{len(self.files)}/{found.file_name}"
        self.files.append((name, found))
        return {MEMBER: [name, found.type, found.content_type]}

    def _keep_table(self, content: bytes) -> Any:
        found = Format("pandas", "data.parquet", "application/parquet", write=partial(_write, content))
        return self._keep(found)


def _read_member(folder: Path, tree: Any) -> Any:
    value = partial(from_tree, member=partial(_read_member, folder))
    (tag, content) = next(iter(tree.items()))
    if tag == "$frame":
        return frames.frame_of(content, value, value)
    if tag == "$series":
        return frames.series_of(content, value, value)
    if tag != MEMBER:
        return _no_member(tree)
    from ..artifacts import load_file, runs_code  # noqa: PLC0415  it reads values, too

    name, kind, content_type = content
    path = folder / name
    part = ArtifactPart(name=name, type=kind, uri="", size=0, sha256="", content_type=content_type)
    if runs_code(part) or not path.resolve().is_relative_to(folder.resolve()):
        raise ArtifactError(f"it refers to {name!r} as {kind}, which no value does.")
    return load_file(path, part)


def _no_member(tree: Any) -> Any:
    raise ArtifactError(f"it holds {next(iter(tree))!r}, which this version of tasktape does not know.")


def _pack(tree: bytes, members: list[tuple[str, Format]], path: Path) -> None:
    """Write the archive: the same bytes for the same members, whenever that is."""
    with zipfile.ZipFile(path, "w") as archive, tempfile.TemporaryDirectory() as folder:
        archive.writestr(zipfile.ZipInfo(_TREE), tree, zipfile.ZIP_DEFLATED)
        for name, found in members:
            archive.writestr(zipfile.ZipInfo(name), _content(found, Path(folder) / "member"))


def _content(found: Format, scratch: Path) -> bytes:
    if found.source is not None:
        return found.source.read_bytes()
    if found.write is not None:
        found.write(scratch)
    return scratch.read_bytes()
