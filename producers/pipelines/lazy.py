"""What a component's call returns at once: a stand-in for a result, which is waited for when somebody looks at it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import wrapt


class LazyResult(wrapt.LazyObjectProxy[Any]):
    """One return value of a step. It behaves like the value; passed to another component it stays a reference.

    What only some values can (to be iterated, to be a path) it can where its value can: programs ask before they do it.
    `result == None` tells whether there is no value, which comes of a step that was skipped; `is None` can't.
    """

    def __init__(self, step: str, name: str, load: Callable[[], Any]) -> None:
        super().__init__(load)
        self._self_step = step
        self._self_name = name

    @property
    def __iter__(self) -> Callable[[], Iterator[Any]]:
        return self.__wrapped__.__iter__  # type: ignore[no-any-return]

    @property
    def __next__(self) -> Callable[[], Any]:
        return self.__wrapped__.__next__  # type: ignore[no-any-return]

    def __getitem__(self, key: Any) -> Any:
        return self.__wrapped__[key]

    @property
    def __fspath__(self) -> Callable[[], str | bytes]:
        value = self.__wrapped__
        return (lambda: value) if isinstance(value, (str, bytes)) else value.__fspath__

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        import numpy as np  # noqa: PLC0415  it is NumPy that asks

        return np.array(self.__wrapped__, dtype=dtype, copy=copy)

    def __repr__(self) -> str:
        return repr(self.__wrapped__)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.__wrapped__.__reduce_ex__(protocol)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        import copy  # noqa: PLC0415  only where used

        return copy.deepcopy(self.__wrapped__, memo)


def _is_lazy(value: Any) -> bool:
    """Whether a value is a stand-in: asked of its type, as the stand-in itself would be loaded to answer."""
    return issubclass(type(value), LazyResult)


def origin(value: Any) -> tuple[str, str] | None:
    """Step and return name of a result that may not be there yet; None for anything else."""
    return (value._self_step, value._self_name) if _is_lazy(value) else None  # noqa: SLF001  ours


def lazies(value: Any) -> Iterator[tuple[str, str]]:
    """Yield the results that a value is or holds, by step and return name."""
    found = origin(value)
    if found is not None:
        yield found
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from lazies(item)
    elif isinstance(value, (list, tuple, set)):
        for item in value:
            yield from lazies(item)


def loaded(value: Any) -> Any:
    """Return a value with the results it is or holds in place of their stand-ins: they are waited for."""
    if _is_lazy(value):
        return value.__wrapped__
    if isinstance(value, dict):
        return {key: loaded(item) for key, item in value.items()}
    return type(value)(loaded(item) for item in value) if type(value) in {list, tuple, set} else value
