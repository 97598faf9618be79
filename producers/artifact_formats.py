"""Which file an object becomes as an artifact: the first format that fits, under ClearML's names for types.

Libraries are not imported to find out: an object of a library's can't exist unless the script has imported it.
"""

from __future__ import annotations

import importlib
import json
import mimetypes
import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from ..events.errors import TasktapeError
from .archives import pack
from .storage_places import name_of, scheme_of
from .warn import LOGGER

PREVIEW_LENGTH: Final = 65_536
PICKLED: Final = "application/pickle"
ZIPPED: Final = "application/zip"
TABLE: Final = "data-audit-table"
"""ClearML's name for the type of a DataFrame that is kept in step."""

_PATH_LENGTH: Final = 2_048
_LINKS: Final = {"http", "https", "s3", "gs", "azure", "file"}


class ArtifactError(TasktapeError, ValueError):
    """An object can't become an artifact, or an artifact can't become an object again."""


@dataclass(frozen=True)
class Format:
    """The file an object becomes: `write` makes it, or it is there already (`source`), or only a `link` is noted."""

    type: str
    file_name: str
    content_type: str
    preview: str = ""
    write: Callable[[Path], object] | None = None
    source: Path | None = None
    link: str = ""


@dataclass(frozen=True)
class Request:
    """What the user asked for beside the object."""

    name: str
    extension: str = ""
    preview: str = ""
    serialize: Callable[[Any], bytes | bytearray] | None = None
    auto_pickle: bool = True
    sort_keys: bool = True


def format_of(value: Any, request: Request) -> Format:
    """Choose the format for a value.

    Raises:
        ArtifactError: The value is a path that does not exist, or only pickle is left and that was not wanted.

    """
    if request.serialize is not None:
        return _custom(value, request, request.serialize)
    if request.extension == ".pkl":
        return _pickle(value, request)
    for make in (_numpy, _pandas, _image, _dict, _paths, _file_or_text):
        if (found := make(value, request)) is not None:
            return found
    is_nothing = value is None or (isinstance(value, str) and not value)
    if not request.auto_pickle and not is_nothing:
        raise ArtifactError(f"artifact {request.name!r}: a {type(value).__name__} has no format but pickle.")
    return _pickle(value, request)


def _custom(value: Any, request: Request, serialize: Callable[[Any], bytes | bytearray]) -> Format:
    file_name = request.name + request.extension
    preview = request.preview or shown(value)
    return Format("custom", file_name, _guess(file_name), preview, lambda path: path.write_bytes(serialize(value)))


def _pickle(value: Any, request: Request) -> Format:
    def write(path: Path) -> None:
        import pickle  # noqa: PLC0415  heavy

        with path.open("wb") as file:
            pickle.dump(value, file)

    preview = request.preview or shown(value)
    return Format("pickle", f"{request.name}.pkl", PICKLED, preview, write)


def _numpy(value: Any, request: Request) -> Format | None:
    numpy = sys.modules.get("numpy")
    if numpy is None or type(value) is not numpy.ndarray or value.dtype.hasobject:
        return None
    preview = request.preview or shown(value)
    if _extension(request, ".npz", ".csv.gz") == ".npz":
        name = f"{request.name}.npz"
        return Format("numpy", name, "application/numpy", preview, partial(_save_npz, value, request.name))
    return Format("numpy", f"{request.name}.csv.gz", "text/csv", preview, partial(_save_csv, value))


def _save_npz(array: Any, name: str, path: Path) -> None:
    import numpy as np  # noqa: PLC0415  there already

    with path.open("wb") as file:
        np.savez_compressed(file, **{"data" if name == "file" else name: array})


def _save_csv(array: Any, path: Path) -> None:
    import gzip  # noqa: PLC0415  only where used

    import numpy as np  # noqa: PLC0415  there already

    with gzip.GzipFile(path, "wb", mtime=0) as file:
        np.savetxt(file, array, delimiter=",")


def _pandas(value: Any, request: Request) -> Format | None:
    pandas = sys.modules.get("pandas")
    if pandas is None or not isinstance(value, (pandas.DataFrame, pandas.Series)):
        return None
    preview = request.preview or shown(value)
    extension = _extension(request, ".csv.gz", ".parquet", ".feather", ".pickle")
    if isinstance(value, pandas.Series):
        extension = ".pickle"
    elif not request.extension and any(isinstance(axis, pandas.MultiIndex) for axis in value.axes):
        return _pickle(value, request)
    content_type, write = _PANDAS[extension]
    return Format("pandas", request.name + extension, content_type, preview, partial(write, value))


_PANDAS: Final[dict[str, tuple[str, Callable[[Any, Path], object]]]] = {
    ".csv.gz": ("text/csv", lambda frame, path: frame.to_csv(path, compression={"method": "gzip", "mtime": 0})),
    ".parquet": ("application/parquet", lambda frame, path: frame.to_parquet(path)),
    ".feather": ("application/feather", lambda frame, path: frame.to_feather(path)),
    ".pickle": (PICKLED, lambda frame, path: frame.to_pickle(path, compression=None)),
}


def _image(value: Any, request: Request) -> Format | None:
    image = sys.modules.get("PIL.Image")
    if image is None or not isinstance(value, image.Image):
        return None
    extensions = image.registered_extensions()
    extension = _extension(request, ".png", *extensions)
    preview = request.preview or f"{type(value).__name__} {value.mode} {value.width}x{value.height}"
    file_name = request.name + extension
    return Format("image", file_name, _guess(file_name), preview, partial(value.save, format=extensions[extension]))


def _dict(value: Any, request: Request) -> Format | None:
    if not isinstance(value, dict):
        return None
    extension = _extension(request, ".json", ".yaml")
    try:
        text = _as_json(value, request) if extension == ".json" else _as_yaml(value, request)
    except Exception as error:
        if not request.auto_pickle:
            raise ArtifactError(f"artifact {request.name!r} is no {extension[1:]}: {error}") from error
        LOGGER.warning(
            "artifact %r is no %s (%s): it is pickled",
            request.name,
            extension[1:],
            error,
            extra={"action": "artifact_pickled", "artifact": request.name},
        )
        return _pickle(value, request)
    content_type = f"application/{extension[1:]}"
    return _text("dict", request.name + extension, content_type, text, request)


def _as_json(value: Any, request: Request) -> str:
    return json.dumps(value, sort_keys=request.sort_keys, indent=4)


def _as_yaml(value: Any, request: Request) -> str:
    return str(importlib.import_module("yaml").safe_dump(value, sort_keys=request.sort_keys, allow_unicode=True))


def _paths(value: Any, request: Request) -> Format | None:
    if not isinstance(value, (list, tuple)) or not value or not all(isinstance(item, Path) for item in value):
        return None
    if missing := [str(path) for path in value if not path.is_file()]:
        LOGGER.warning(
            "artifact %r goes without %s: no such files",
            request.name,
            ", ".join(missing),
            extra={"action": "artifact_incomplete", "artifact": request.name},
        )
    files = sorted(path.absolute() for path in value if path.is_file())
    root = Path(os.path.commonpath([path.parent for path in files])) if files else Path()
    return _archive(request, f"{request.name}.zip", "", [(path, path.relative_to(root).as_posix()) for path in files])


def _file_or_text(value: Any, request: Request) -> Format | None:
    if isinstance(value, str) and value and len(value) < _PATH_LENGTH and scheme_of(value) in _LINKS:
        return Format("custom", name_of(value), _guess(name_of(value)), request.preview, link=value)
    if isinstance(value, Path) or (isinstance(value, str) and _is_path(value)):
        return _file(Path(value).expanduser(), request)
    if isinstance(value, str) and value:
        return _text("string", f"{request.name}.txt", "text/plain", value, request)
    return None


def _is_path(text: str) -> bool:
    """Whether a text means files: one that exists, or a wildcard that some match."""
    if not text or len(text) >= _PATH_LENGTH or "\0" in text:
        return False
    try:
        return Path(text).exists() or any(_matching(Path(text)))
    except (OSError, ValueError):
        return False


def _matching(pattern: Path) -> Iterable[Path]:
    """Files of a folder, or those below it that match where the last part is a wildcard."""
    if pattern.is_dir():
        return (path for path in pattern.rglob("*") if path.is_file())
    if not set("*?") & set(pattern.name) or pattern.name == str(pattern) or not pattern.parent.is_dir():
        return ()
    return (path for path in pattern.parent.rglob(pattern.name) if path.is_file())


def _file(path: Path, request: Request) -> Format:
    if path.is_file():
        preview = request.preview or f"{path.name} - {_size(path)}\n"
        return Format("custom", path.name, _guess(path.name), preview, source=path.absolute())
    files = sorted(_matching(path))
    if not files and not path.is_dir():
        raise ArtifactError(f"artifact {request.name!r}: there is no file or folder {str(path)!r}.")
    root = path if path.is_dir() else path.parent
    name = f"{root.absolute().name}.zip"
    return _archive(request, name, str(path), [(file, file.relative_to(root).as_posix()) for file in files])


def _archive(request: Request, file_name: str, source: str, files: list[tuple[Path, str]]) -> Format:
    listed = "".join(f"{name} - {_size(path)}\n" for path, name in files)
    preview = request.preview or shortened(f"Archive content {source}:\n{listed}")
    return Format("archive", file_name, ZIPPED, preview, partial(_pack, files))


def _pack(files: list[tuple[Path, str]], path: Path) -> None:
    pack(path, files)


def _text(kind: str, file_name: str, content_type: str, text: str, request: Request) -> Format:
    write = partial(_write_text, text)
    return Format(kind, file_name, content_type, request.preview or shortened(text), write)


def _write_text(text: str, path: Path) -> None:
    path.write_text(text, encoding="utf-8", errors="surrogateescape")


def _extension(request: Request, default: str, *others: str) -> str:
    if not request.extension or request.extension in {default, *others}:
        return request.extension or default
    valid = ", ".join(sorted({default, *others}))
    LOGGER.warning(
        "artifact %r can't be a %s: use one of %s",
        request.name,
        request.extension,
        valid,
        extra={"action": "artifact_extension", "artifact": request.name},
    )
    return default


def _guess(file_name: str) -> str:
    return mimetypes.guess_type(file_name)[0] or ""


def shown(value: Any) -> str:
    """A short text of any object, even of one whose `repr` fails."""
    try:
        return shortened(repr(value))
    except Exception:  # noqa: BLE001  users' code
        return ""


def shortened(text: str) -> str:
    """The text, or its first 64 thousand characters with a line that says so."""
    if len(text) <= PREVIEW_LENGTH:
        return text
    return f"# too long to show: the first {PREVIEW_LENGTH} of {len(text)} characters\n{text[:PREVIEW_LENGTH]}"


def _size(path: Path) -> str:
    size = float(path.stat().st_size)
    for unit in ("bytes", "KB", "MB", "GB"):
        if size < 1000:  # noqa: PLR2004  a thousand of one unit is one of the next
            return f"{size:.4g} {unit}"
        size /= 1000
    return f"{size:.4g} TB"
