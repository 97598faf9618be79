"""Scikit-learn's and SciPy's own objects as files of the library skops, which names every type before it makes any."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, Final

from ..artifact_formats import ArtifactError
from .value_tree import BUNCH, UnsupportedValueError

CONTENT_TYPE: Final = "application/x-skops"
_TRUSTED: Final = frozenset({"sklearn", "scipy", "numpy"})
_KEPT: Final = frozenset({"sklearn", "scipy"})


def is_estimator(value: Any) -> bool:
    """Whether an object is of a class of scikit-learn's or SciPy's own; but a Bunch is a dict, and no estimator."""
    module = type(value).__module__
    return module.partition(".")[0] in _KEPT and module != BUNCH


def skops_file(value: Any) -> bytes:
    """The file of an object. Raises `UnsupportedValueError` where it would not be read back, or skops is missing."""
    try:
        skops = importlib.import_module("skops.io")
    except ImportError as error:
        raise UnsupportedValueError(value, "install the package skops, which can") from error
    try:
        content: bytes = skops.dumps(value)
        foreign = _foreign(skops.get_untrusted_types(data=content))
    except Exception as error:
        raise UnsupportedValueError(value, f"skops does not take it ({error})") from error
    if foreign:
        raise UnsupportedValueError(value, f"inside is {', '.join(foreign)}, of neither scikit-learn, SciPy nor NumPy")
    return content


def read_skops(path: Path) -> Any:
    """The object of a file. Raises `ArtifactError` where it names other types, or skops is missing."""
    try:
        skops = importlib.import_module("skops.io")
    except ImportError as error:
        raise ArtifactError("it is a file of skops: install the package skops to read it.") from error
    named = skops.get_untrusted_types(file=path)
    if foreign := _foreign(named):
        raise ArtifactError(f"it names types of neither scikit-learn, SciPy nor NumPy: {', '.join(foreign)}.")
    return skops.load(path, trusted=named)


def _foreign(names: list[str]) -> list[str]:
    return [name for name in names if not _is_trusted(name)]


def _is_trusted(name: str) -> bool:
    """Whether a dotted name is a class of a library that is trusted; its functions are not, they may do anything."""
    module, _, attribute = name.rpartition(".")
    if module.partition(".")[0] not in _TRUSTED:
        return False
    try:
        return isinstance(getattr(importlib.import_module(module), attribute, None), type)
    except ImportError:
        return False
