"""Whatever holds parameters can be read as flat names and written back in place."""

from __future__ import annotations

import argparse
import copy
import dataclasses
import json
import pickle
from typing import Any

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasktape.producers import connect, parameters
from tasktape.task_parameters import TaskParameters, param, percent_param, range_validator


def remote(**values: Any) -> dict[str, Any]:
    return {name.replace("__", "/"): parameters.make(name, value) for name, value in values.items()}


class Settings:
    rate = 0.1
    layers = (1, 2)
    _hidden = 3

    def method(self) -> None: ...


class Derived(Settings):
    epochs = 5


class Slotted:
    __slots__ = ("rate",)

    def __init__(self) -> None:
        self.rate = 0.1


@dataclasses.dataclass(frozen=True)
class Inner:
    depth: int = 3


@dataclasses.dataclass
class Outer:
    rate: float = 0.1
    inner: Inner = dataclasses.field(default_factory=Inner)


class Model(pydantic.BaseModel):
    rate: float = 0.1
    inner: Inner = Inner()


class FrozenModel(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True)
    rate: float = 0.1


@pytest.mark.parametrize(
    ("group", "flat"),
    [
        ({"rate": 0.1, "net": {"depth": 3, "more": {"x": None}}}, {"rate": 0.1, "net/depth": 3, "net/more/x": None}),
        ({"empty": {}, 5: "int key"}, {"empty": {}, "5": "int key"}),
        (argparse.Namespace(rate=0.1, files=["a"]), {"rate": 0.1, "files": ["a"]}),
        (Settings, {"rate": 0.1, "layers": (1, 2)}),
        (Derived(), {"rate": 0.1, "layers": (1, 2), "epochs": 5}),
        (Slotted(), {"rate": 0.1}),
        (Outer(), {"rate": 0.1, "inner/depth": 3}),
        (Model(), {"rate": 0.1, "inner/depth": 3}),
    ],
    ids=["nested", "odd-keys", "namespace", "class", "object", "slots", "dataclass", "pydantic"],
)
def test_a_group_reads_as_flat_names(group: Any, flat: dict[str, Any]) -> None:
    assert connect.flatten(group) == flat


@pytest.mark.parametrize(
    "group",
    [{"rate": 0.1}, argparse.Namespace(rate=0.1), Derived(), Slotted(), Outer(), Model(), FrozenModel()],
    ids=lambda group: type(group).__name__,
)
def test_a_group_is_written_back_in_place(group: Any) -> None:
    connect.write_back(group, remote(rate="0.5"))
    assert connect.flatten(group)["rate"] == 0.5


def test_a_class_is_written_back_without_touching_its_base() -> None:
    class Mine(Settings):
        pass

    connect.write_back(Mine, remote(rate=0.5))
    assert (Mine.rate, Settings.rate) == (0.5, 0.1)


def test_nested_and_frozen_parts_are_written_back() -> None:
    outer = Outer()
    connect.write_back(outer, remote(inner__depth=7))
    assert outer.inner.depth == 7


def test_names_the_group_does_not_have_are_left_out() -> None:
    group = {"rate": 0.1}
    connect.write_back(group, remote(other=1))
    assert group == {"rate": 0.1}


@given(st.dictionaries(st.text(), st.recursive(st.integers(), lambda s: st.dictionaries(st.text(), s, max_size=3))))
def test_what_was_read_writes_back_unchanged(group: dict[str, Any]) -> None:
    before = copy.deepcopy(group)
    flat = {path: parameters.make(path, value) for path, value in connect.flatten(group).items()}
    connect.write_back(group, flat)
    assert connect.flatten(group).keys() == connect.flatten(before).keys()


class Watcher:
    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> None:
        self.calls += 1


CHANGES: dict[str, Any] = {
    "set": lambda d: d.__setitem__("a", 2),
    "nested": lambda d: d["n"].__setitem__("x", 2),
    "late-nested": lambda d: d.setdefault("late", {}).update(y=1),
    "update": lambda d: d.update(a=2),
    "or": lambda d: d.__ior__({"a": 2}),
    "setdefault": lambda d: d.setdefault("b", 2),
    "delete": lambda d: d.__delitem__("a"),
    "pop": lambda d: d.pop("a"),
    "popitem": lambda d: d.popitem(),
    "clear": lambda d: d.clear(),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_every_way_to_change_a_tracked_dict_is_noticed_and_does_what_a_dict_does(change: Any) -> None:
    plain: dict[str, Any] = {"a": 1, "n": {"x": 1}}
    watcher = Watcher()
    tracked = connect.TrackedDict(plain, watcher)
    assert watcher.calls == 0
    change(tracked)
    assert watcher.calls >= 1
    expected = copy.deepcopy(plain)
    change(expected)
    assert tracked == expected


def test_a_tracked_dict_travels_as_a_plain_one() -> None:
    tracked = connect.TrackedDict({"a": 1, "n": {"x": 1}}, Watcher())
    for plain in (pickle.loads(pickle.dumps(tracked)), copy.deepcopy(tracked), tracked.to_dict()):
        assert type(plain) is dict
        assert type(plain["n"]) is dict
        assert plain == tracked
    assert json.loads(json.dumps(tracked)) == tracked


class Training(TaskParameters):
    epochs = param(type=int, range=(0, 100), desc="how often", metadata={"unit": "times"})
    goal = percent_param(default=0.9)
    names = param(factory=list)
    seed = param(None, (1, None), int, "a seed", default="7", converter=int)


class Longer(Training):
    patience = param(validator=range_validator(None, 5), default=2)


def test_a_class_of_parameters_is_a_group() -> None:
    made = Longer(3, patience=4)
    assert connect.flatten(made) == {"epochs": 3, "goal": 0.9, "names": [], "seed": 7, "patience": 4}
    connect.write_back(made, remote(epochs="5", goal=1, patience=1))
    assert made.to_dict() == {"epochs": 5, "goal": 1.0, "names": [], "seed": 7, "patience": 1}
    made.update_from_dict({"epochs": 6})
    assert made.epochs == 6
    assert made == Longer(6, goal=1.0, patience=1)
    assert repr(Training(epochs=1)) == "Training(epochs=1, goal=0.9, names=[], seed=7)"
    assert Training._parameters["epochs"].metadata == {"unit": "times", "desc": "how often"}


@pytest.mark.parametrize(
    ("values", "error", "says"),
    [
        ({"epochs": 101}, ValueError, "epochs must be in range"),
        ({"epochs": "3"}, TypeError, "epochs must be of type int, not str"),
        ({"epochs": 1, "goal": 1.5}, ValueError, "goal must be in range"),
        ({"epochs": 1, "seed": 0}, ValueError, "seed must be in range"),
        ({}, TypeError, "'epochs' has no default"),
        ({"epochs": 1, "unknown": 1}, TypeError, "no parameter \\['unknown'\\]"),
    ],
)
def test_a_class_of_parameters_checks_its_values(values: dict[str, Any], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        Training(**values)


def test_an_unknown_parameter_can_not_be_set() -> None:
    with pytest.raises(ValueError, match="no parameter 'x'"):
        Training(epochs=1).update_from_dict({"x": 1})
