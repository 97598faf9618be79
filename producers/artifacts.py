"""Artifacts as users read them back: `task.artifacts[name].get()`."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from ..events.errors import TasktapeError
from ..events.parts import Artifact as ArtifactPart
from ..events.parts import BlobRef
from .artifact_formats import PICKLED, TABLE, ZIPPED, ArtifactError
from .copies import local_copy
from .warn import LOGGER


class BlockedArtifactTypeError(ArtifactError):
    """Loading the artifact would run code of whoever made it, and that was not wanted."""

    def __init__(self, name: str) -> None:
        super().__init__(f"artifact {name!r} is pickled: loading it can run any code. Use get_local_copy() instead.")
        self.name = name


class Artifact:
    """A named output of a task, read-only."""

    def __init__(self, part: ArtifactPart, timestamp: datetime, mode: str = "output") -> None:
        self._part = part
        self._loaded: Any = None
        self.timestamp = timestamp
        self.mode = mode

    @property
    def name(self) -> str:
        """Its name."""
        return self._part.name

    @property
    def type(self) -> str:
        """How it was made: `numpy`, `pandas`, `dict`, `image`, `archive`, `string`, `pickle` or `custom`.

        What steps of pipelines return may be a `value` or of `sklearn`, too.
        """
        return self._part.type

    @property
    def url(self) -> str:
        """Where its file lies."""
        return self._part.uri

    @property
    def size(self) -> int:
        """Size of its file in bytes; 0 for a link."""
        return self._part.size

    @property
    def hash(self) -> str:
        """SHA-256 of its file in hex; empty for a link."""
        return self._part.sha256

    @property
    def preview(self) -> str:
        """A text to look at."""
        return self._part.preview

    @property
    def metadata(self) -> dict[str, str]:
        """What the user noted with it."""
        return dict(self._part.metadata)

    def __repr__(self) -> str:
        return f"Artifact(name={self.name!r}, type={self.type!r}, size={self.size}, url={self.url!r})"

    def get(
        self,
        force_download: bool = False,
        deserialization_function: Callable[[bytes], Any] | None = None,
        block_unsafe_artifacts: bool = False,
    ) -> Any:
        """Return the object the artifact was made from; a `Path` of a local copy for files and what can't be loaded.

        Args:
            force_download: Fetch it again even if a copy is there.
            deserialization_function: Makes the object from the file's bytes.
            block_unsafe_artifacts: Do not load what is pickled.

        Raises:
            ArtifactError: Its file can't be had; or (`BlockedArtifactTypeError`) it is pickled and that is blocked.

        """
        if self._loaded is not None and not force_download and deserialization_function is None:
            return self._loaded
        if block_unsafe_artifacts and deserialization_function is None and self.is_pickled:
            raise BlockedArtifactTypeError(self.name)
        path = self._copy(extract=True, fresh=force_download)
        try:
            self._loaded = self._load(path, deserialization_function)
        except Exception as error:  # noqa: BLE001  files of all kinds, and users' functions
            LOGGER.warning(
                "artifact %r can't be loaded as %s (%r): here is its file",
                self.name,
                self.type,
                error,
                extra={"action": "artifact_not_loaded"},
            )
            self._loaded = path
        return self._loaded

    def load(self, deserialization_function: Callable[[bytes], Any] | None = None) -> Any:
        """Return what `get` returns, but raise where the object can't be made, whatever that raises."""
        return self._load(self._copy(extract=True, fresh=False), deserialization_function)

    def get_local_copy(
        self, extract_archive: bool = True, raise_on_error: bool = False, force_download: bool = False
    ) -> str | None:
        """Return the path of a local copy, for an archive (with `extract_archive`) of the folder with its contents.

        Raises:
            ArtifactError: It can't be had, and `raise_on_error` is set; else that is logged and None returned.

        """
        try:
            return str(self._copy(extract=extract_archive, fresh=force_download))
        except ArtifactError as error:
            if raise_on_error:
                raise
            LOGGER.warning("%s", error, extra={"action": "artifact_not_fetched"})
            return None

    def _copy(self, *, extract: bool, fresh: bool) -> Path:
        ref = BlobRef(uri=self.url, size=self.size, sha256=self.hash)
        try:
            return local_copy(ref, extract=extract and self._is_archive(), fresh=fresh)
        except TasktapeError as error:
            raise ArtifactError(f"artifact {self.name!r} can't be fetched: {error}") from error

    @property
    def is_pickled(self) -> bool:
        """Whether loading it runs code of whoever made it."""
        return runs_code(self._part)

    def _is_archive(self) -> bool:
        return self.type == "archive" or (self._part.content_type == ZIPPED and self.type in _LOADERS)

    def _load(self, path: Path, function: Callable[[bytes], Any] | None) -> Any:
        return load_file(path, self._part) if function is None else function(path.read_bytes())


def runs_code(part: ArtifactPart) -> bool:
    """Whether loading an artifact's file runs code of whoever made it."""
    return part.type == "pickle" or part.content_type == PICKLED


def load_file(path: Path, part: ArtifactPart) -> Any:
    """The object of an artifact's file, or of its unpacked folder; the path itself where that is the object."""
    load = _LOADERS.get(part.type)
    return path if load is None else load(path, part)


def _load_numpy(path: Path, part: ArtifactPart) -> Any:
    import numpy as np  # noqa: PLC0415  heavy

    if part.content_type == "text/csv":
        return np.genfromtxt(path, delimiter=",")
    with np.load(path) as arrays:
        return arrays[arrays.files[0]]


def _load_pandas(path: Path, part: ArtifactPart) -> Any:
    pandas = importlib.import_module("pandas")
    match part.content_type:
        case "application/parquet":
            return pandas.read_parquet(path)
        case "application/feather":
            return pandas.read_feather(path)
        case "application/zip" | "application/json":
            return _load_value(path, part)
        case "application/pickle":
            return pandas.read_pickle(path, compression=None)
        case _:
            return pandas.read_csv(path, compression="gzip", index_col=None if part.type == TABLE else [0])


def _load_image(path: Path, _: ArtifactPart) -> Any:
    from PIL import Image  # noqa: PLC0415  heavy

    with Image.open(path) as image:
        image.load()
        return image


def _load_dict(path: Path, part: ArtifactPart) -> Any:
    text = path.read_text(encoding="utf-8")
    is_yaml = part.content_type == "application/yaml"
    return importlib.import_module("yaml").safe_load(text) if is_yaml else json.loads(text)


def _load_text(path: Path, _: ArtifactPart) -> str:
    return path.read_text(encoding="utf-8", errors="surrogateescape")


def _load_value(path: Path, part: ArtifactPart) -> Any:
    from .pipelines.values import load_value  # noqa: PLC0415  for those who read such values

    return load_value(path, part)


def _load_estimator(path: Path, _: ArtifactPart) -> Any:
    from .pipelines.estimators import read_skops  # noqa: PLC0415  the same

    return read_skops(path)


def _load_pickle(path: Path, _: ArtifactPart) -> Any:
    import pickle  # noqa: PLC0415  heavy

    with path.open("rb") as file:
        return pickle.load(file)  # noqa: S301  what the user stored; its hash was verified


_LOADERS: Final[dict[str, Callable[[Path, ArtifactPart], Any]]] = {
    "numpy": _load_numpy,
    "pandas": _load_pandas,
    TABLE: _load_pandas,
    "image": _load_image,
    "dict": _load_dict,
    "string": _load_text,
    "value": _load_value,
    "sklearn": _load_estimator,
    "pickle": _load_pickle,
}


class Artifacts(Mapping[str, Artifact]):
    """A task's artifacts by name, in the order of their names."""

    def __init__(self, artifacts: Mapping[str, Artifact]) -> None:
        self._artifacts = artifacts

    def __getitem__(self, name: str) -> Artifact:
        try:
            return self._artifacts[name]
        except KeyError:
            known = ", ".join(map(repr, self._artifacts)) or "none"
            raise KeyError(f"there is no artifact {name!r} (artifacts: {known})") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._artifacts)

    def __len__(self) -> int:
        return len(self._artifacts)

    def __repr__(self) -> str:
        return repr(dict(self._artifacts))
