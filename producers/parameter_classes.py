"""`TaskParameters`: a class whose attributes are parameters, made with `param` and checked when an object is made.

ClearML builds these classes with `attrs`; what scripts use of them is here without it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Final

from .errors import InvalidArgumentError

Validator = Callable[[Any, "Param", Any], Any]
_MISSING: Final = object()


class Param:
    """One parameter of a class: its default and what its value has to be."""

    def __init__(
        self,
        validators: Iterable[Validator],
        description: str,
        metadata: Mapping[str, Any],
        default: Any,
        factory: Callable[[], Any] | None,
        converter: Callable[[Any], Any] | None,
    ) -> None:
        self.name = ""
        self.description = description
        self.metadata = {**metadata, "desc": description}
        self._validators = tuple(validators)
        self._default = default
        self._factory = factory
        self._converter = converter

    def __set_name__(self, _owner: type, name: str) -> None:
        self.name = name

    def _default_value(self) -> Any:
        if self._factory is not None:
            return self._factory()
        if self._default is _MISSING:
            raise TypeError(f"parameter {self.name!r} has no default: give it a value.")
        return self._default

    def checked(self, owner: object, value: Any) -> Any:
        """The value as it is kept, the default where none was given. Raises what converter and validators raise."""
        value = self._default_value() if value is _MISSING else value
        value = self._converter(value) if self._converter is not None else value
        for validator in self._validators:
            validator(owner, self, value)
        return value


def range_validator(min_value: float | None, max_value: float | None) -> Validator:
    """Return a validator that lets values from `min_value` to `max_value` pass; None is no limit."""

    def check(_owner: object, parameter: Param, value: Any) -> None:
        too_small = min_value is not None and value < min_value
        if too_small or (max_value is not None and value > max_value):
            raise ValueError(f"{parameter.name} must be in range [{min_value}, {max_value}]")

    return check


def param(
    validator: Validator | Iterable[Validator] | None = None,
    range: tuple[float | None, float | None] | None = None,  # noqa: A002  ClearML's name
    type: type | None = None,  # noqa: A002  the same
    desc: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    *,
    default: Any = _MISSING,
    factory: Callable[[], Any] | None = None,
    converter: Callable[[Any], Any] | None = None,
) -> Any:
    """Return a parameter for the body of a class of `TaskParameters`.

    Args:
        validator: One or several functions of the object, the parameter and the value, which raise for a bad value.
        range: The smallest and the largest value; None is no limit.
        type: What the value has to be an instance of, unless it is None.
        desc: For people.
        metadata: For programs.
        default: Its value where none is given.
        factory: Makes that value.
        converter: Makes the value of what is given.

    """
    given = [] if validator is None else [validator] if callable(validator) else list(validator)
    of_type = [_type_validator(type)] if type is not None else []
    in_range = [range_validator(*range)] if range is not None else []
    return Param([*given, *of_type, *in_range], desc or "", metadata or {}, default, factory, converter)


def percent_param(**more: Any) -> Any:
    """Return a parameter that is a float from 0 to 1; `more` as for `param`."""
    return param(**{"type": float, "range": (0, 1), **more})


def _type_validator(wanted: type) -> Validator:
    def check(_owner: object, parameter: Param, value: Any) -> None:
        if value is not None and not isinstance(value, wanted):
            kind = type(value).__name__
            raise TypeError(f"{parameter.name} must be of type {wanted.__name__}, not {kind} ({value!r})")

    return check


class TaskParameters:
    """Base of classes of parameters: `class Mine(TaskParameters): epochs = param(type=int)`, then `Mine(epochs=3)`."""

    _parameters: ClassVar[dict[str, Param]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        own = {name: value for name, value in vars(cls).items() if isinstance(value, Param)}
        cls._parameters = {**cls._parameters, **own}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        given = dict(zip(self._parameters, args, strict=False)) | kwargs
        unknown = sorted(set(given) - set(self._parameters))
        if unknown or len(args) > len(self._parameters):
            known = ", ".join(self._parameters) or "none"
            raise TypeError(f"{type(self).__name__} has no parameter {unknown or args[-1]!r} (parameters: {known})")
        for name, parameter in self._parameters.items():
            setattr(self, name, parameter.checked(self, given.pop(name, _MISSING)))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.to_dict().items())})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TaskParameters) and type(other) is type(self) and other.to_dict() == self.to_dict()

    __hash__ = None  # type: ignore[assignment]

    def to_dict(self) -> dict[str, Any]:
        """Return the values by name."""
        return {name: getattr(self, name) for name in self._parameters}

    def update_from_dict(self, source_dict: Mapping[str, Any]) -> None:
        """Set values by name.

        Raises:
            InvalidArgumentError: There is no parameter of a name.

        """
        for name, value in source_dict.items():
            if name not in self._parameters:
                raise InvalidArgumentError(f"{type(self).__name__} has no parameter {name!r}.")
            setattr(self, name, value)

    def connect(self, task: Any) -> Any:
        """Tie the parameters to a task: the same as `task.connect`."""
        return task.connect(self)
