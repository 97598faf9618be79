"""Parameters of a task: at once in this process, with their types at an agent and through edits."""

from __future__ import annotations

import argparse
import copy
import enum
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tasktape import Task
from tasktape.errors import InvalidArgumentError, InvalidTransitionError
from tasktape.producers.connect import TrackedDict
from tasktape.producers.task_init import InitMixin
from tasktape.projections.rows import EventRow

Begin = Callable[..., Task]
AsAgent = Callable[[Task], Task]
Events = Callable[[Task], list[EventRow]]


class Optimizer(enum.Enum):
    ADAM = 1
    SGD = 2


class Config:
    lr = 0.1
    layers = (64, 32)


KINDS = (
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(),
    st.sampled_from(Optimizer),
    st.lists(st.integers() | st.none() | st.text(), max_size=3),
    st.dictionaries(st.text(), st.floats(allow_nan=False) | st.booleans(), min_size=1, max_size=3),
)
SAME_TYPE = st.one_of([st.tuples(kind, kind) for kind in KINDS])
PAIRS = st.dictionaries(st.sampled_from("abcdefghijkl"), SAME_TYPE, min_size=8)


def shape(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: (type(value), value) for name, value in values.items()}


def at_an_agent(task_id: str, local: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What a script's dict holds after `connect` where the task's values win."""
    task = Task.get_task(task_id)
    with monkeypatch.context() as patch:
        patch.setattr(InitMixin, "_remote_wins", lambda _: True)
        connected: TrackedDict = task.connect(copy.deepcopy(dict(local)))
    return connected.to_dict()


@settings(max_examples=5, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(PAIRS)
def test_types_survive_a_remote_run_and_an_edit(
    monkeypatch: pytest.MonkeyPatch, pairs: dict[str, tuple[Any, Any]]
) -> None:
    local = {name: pair[0] for name, pair in pairs.items()}
    edited = {name: pair[1] for name, pair in pairs.items()}
    task = Task.create("project", "draft")
    task.connect(local)
    assert shape(at_an_agent(task.id, local, monkeypatch)) == shape(local)
    for name, value in edited.items():
        task.set_parameter(f"General/{name}", value)
    read = Task.get_task(task.id)
    for name, value in edited.items():
        assert shape({name: read.get_parameter(f"General/{name}", cast=True)}) == shape({name: value})
    assert shape(at_an_agent(task.id, local, monkeypatch)) == shape(edited)


def test_values_are_text_unless_they_are_to_be_typed(begin: Begin) -> None:
    task = begin()
    task.set_parameters({"lr": 0.1, "Args/names": ["a"], "Args/none": None, "General/mode": Optimizer.SGD})
    assert task.get_parameters() == {
        "General/lr": "0.1",
        "Args/names": '["a"]',
        "Args/none": "",
        "General/mode": "SGD",
    }
    assert task.get_parameters(cast=True)["General/mode"] is Optimizer.SGD
    assert task.get_parameters_as_dict(cast=True)["Args"] == {"names": ["a"], "none": None}
    assert task.get_parameter("lr") == "0.1"
    assert task.get_parameter("missing", default=5) == 5


def test_set_replaces_all_and_update_only_what_it_names(begin: Begin) -> None:
    task = begin()
    task.set_user_properties(owner="me")
    task.set_parameters({"a": 1, "b": 2})
    task.update_parameters([("b", 3)], c=4)
    assert task.get_parameters(cast=True) == {"properties/owner": "me", "General/a": 1, "General/b": 3, "General/c": 4}
    task.set_parameters({"b": 5})
    assert task.get_parameters(cast=True) == {"properties/owner": "me", "General/b": 5}
    assert task.delete_parameter("General/b")
    assert not task.delete_parameter("General/b")


def test_a_named_type_reads_text(begin: Begin) -> None:
    task = begin()
    task.set_parameter("a", "5", value_type=int)
    task.set_parameter("b", 5, value_type=float)
    task.set_parameter("c", "no number", value_type="float")
    assert task.get_parameters(cast=True) == {"General/a": 5, "General/b": 5.0, "General/c": "no number"}
    assert type(task.get_parameter("b", cast=True)) is float


def test_what_is_no_plain_value_is_left_out_with_a_warning(begin: Begin, caplog: pytest.LogCaptureFixture) -> None:
    task = begin()
    task.set_parameters({"model": object(), "lr": 0.1})
    assert task.get_parameters() == {"General/lr": "0.1"}
    assert "General/model" in caplog.text or "model is left out" in caplog.text


def test_what_is_too_large_has_no_place_in_a_task(begin: Begin, caplog: pytest.LogCaptureFixture) -> None:
    task = begin()
    task.connect({"weights": [0.5] * 10**6, "lr": 0.1})
    assert task.get_parameters() == {"General/lr": "0.1"}
    assert "General/weights is left out: it has 4.8 MiB" in caplog.text
    with pytest.raises(InvalidArgumentError, match="5 MiB"):
        task.set_configuration_object("huge", config_text="x" * 5 * 2**20)


def test_what_is_no_mapping_is_refused(begin: Begin) -> None:
    with pytest.raises(InvalidArgumentError, match="mappings"):
        begin().set_parameters(5)  # type: ignore[arg-type]


def test_a_finished_task_keeps_its_parameters(begin: Begin) -> None:
    task = begin()
    task.set_parameter("a", 1)
    task.close()
    with pytest.raises(InvalidTransitionError, match="reset or clone it"):
        task.set_parameter("a", 2)
    task.set_user_properties(verdict="good")
    assert Task.get_task(task.id).get_parameters() == {"General/a": "1", "properties/verdict": "good"}


def test_an_unchanged_value_is_not_said_again(begin: Begin, events_of: Events) -> None:
    task = begin()
    for _ in range(3):
        task.connect({"lr": 0.1})
    assert [event.type for event in events_of(task)].count("ParametersSet") == 1


def test_a_connected_dict_tells_of_later_changes(begin: Begin) -> None:
    task = begin()
    params = task.connect({"lr": 0.1, "net": {"depth": 3}}, name="Train")
    params["lr"] = 0.2
    params["net"]["depth"] = 4
    params.update(epochs=5)
    assert task.get_parameters(cast=True) == {"Train/lr": 0.2, "Train/net/depth": 4, "Train/epochs": 5}


def test_arguments_have_a_section_of_their_own(begin: Begin) -> None:
    task = begin()
    parser = argparse.ArgumentParser()
    parser.add_argument("--lr", type=float, default=0.1)
    commands = parser.add_subparsers(dest="command")
    commands.add_parser("train").add_argument("--epochs", default=3)
    task.connect(parser)
    assert task.get_parameters(cast=True) == {"Args/lr": 0.1, "Args/command": None, "Args/epochs": 3}
    task.connect(argparse.Namespace(lr=0.5))
    assert task.get_parameter("Args/lr", cast=True) == 0.5


def test_numbers_and_lists_cannot_be_connected(begin: Begin) -> None:
    with pytest.raises(InvalidArgumentError, match="list can't be connected"):
        begin().connect([1, 2])


def test_the_tasks_values_win_at_an_agent(as_agent: AsAgent) -> None:
    draft = Task.create("project", "draft")
    draft.set_parameters({"General/lr": 0.5, "General/net/depth": 7, "Args/lr": 2, "General/extra": 1, "Config/lr": 3})
    task = as_agent(draft)
    assert (task.id, task.run) == (draft.id, 7)
    original = {"lr": 0.1, "net": {"depth": 3}, "new": [1]}
    params = task.connect(original)
    assert params == original == {"lr": 0.5, "net": {"depth": 7}, "new": [1]}
    assert task.get_parameter("General/new", cast=True) == [1]
    parser = argparse.ArgumentParser()
    parser.add_argument("--lr", type=float, required=True)
    assert task.connect(parser).parse_args([]).lr == 2.0

    class Mine(Config):
        pass

    assert task.connect(Mine, name="Config").lr == 3.0


def test_the_scripts_values_stay_where_it_insists(as_agent: AsAgent) -> None:
    draft = Task.create("project", "draft")
    draft.connect({"lr": 0.5}, ignore_remote_overrides=True)
    task = as_agent(draft)
    assert task.connect({"lr": 0.1}, ignore_remote_overrides=True) == {"lr": 0.1}


def test_a_person_can_overrule_a_script_that_insists(as_agent: AsAgent) -> None:
    draft = Task.create("project", "draft")
    draft.connect({"lr": 0.5}, ignore_remote_overrides=True)
    draft.set_parameter("General/_ignore_remote_overrides_", value=False)
    assert as_agent(draft).connect({"lr": 0.1}, ignore_remote_overrides=True)["lr"] == 0.5


def test_configurations_are_kept_and_read_back(begin: Begin, tmp_path: Path) -> None:
    task = begin()
    file = tmp_path / "settings.yaml"
    file.write_text("a: 1\n")
    assert task.connect_configuration(file, name="file") == file
    assert task.connect_configuration(str(file), name="same") == str(file)
    config = task.connect_configuration({"a": (1, None)}, name="dict", description="what")
    config["b"] = 2
    assert task.connect_configuration([1, 2], name="list") == [1, 2]
    assert task.get_configuration_object("file") == "a: 1\n"
    assert task.get_configuration_object_as_dict("dict") == {"a": (1, None), "b": 2}
    assert task.get_configuration_object("missing") is None
    assert set(Task.get_task(task.id).get_configuration_objects()) == {"file", "same", "dict", "list"}


def test_the_tasks_configurations_win_at_an_agent(as_agent: AsAgent, tmp_path: Path) -> None:
    draft = Task.create("project", "draft")
    draft.set_configuration_object("dict", config_dict={"a": 5})
    draft.set_configuration_object("list", config_dict=[9])
    draft.set_configuration_object("file", config_text="edited\n")
    draft.set_configuration_object("broken", config_text="no JSON")
    task = as_agent(draft)
    mine = {"a": 1, "gone": 2}
    assert task.connect_configuration(mine, name="dict") == mine == {"a": 5}
    assert task.connect_configuration([1, 2], name="list") == [9]
    path = task.connect_configuration(tmp_path / "not here.yaml", name="file")
    assert isinstance(path, Path)
    assert (path.suffix, path.read_text()) == (".yaml", "edited\n")
    assert task.connect_configuration({"kept": 1}, name="broken") == {"kept": 1}
    assert task.connect_configuration({"new": 1}, name="new") == {"new": 1}


@pytest.mark.parametrize("given", [5, None, "missing.yaml"])
def test_what_is_no_configuration_is_refused(begin: Begin, given: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="configuration"):
        begin().connect_configuration(given)


def test_labels_are_kept(as_agent: AsAgent) -> None:
    draft = Task.create("project", "draft")
    draft.connect_label_enumeration({"cat": 1})
    with pytest.raises(InvalidArgumentError, match="whole"):
        draft.connect_label_enumeration({"cat": "one"})  # type: ignore[dict-item]
    mine = {"dog": 2}
    assert as_agent(draft).connect_label_enumeration(mine) == mine == {"cat": 1}


def test_user_properties_have_text_and_details(begin: Begin) -> None:
    task = begin()
    task.set_user_properties({"name": "net", "value": 0.85, "description": "what"}, stable=True)
    task.set_user_properties([{"name": "list", "value": "x"}], {"map": 5, "detailed": {"value": 1, "type": "int"}})
    assert task.get_user_properties(value_only=True) == {
        "net": "0.85",
        "stable": "True",
        "list": "x",
        "map": "5",
        "detailed": "1",
    }
    assert task.get_user_properties()["net"]["description"] == "what"
    assert task.delete_user_properties(("properties", "list"), {"name": "map"})
    assert set(task.get_user_properties()) == {"net", "stable", "detailed"}


def test_what_contains_itself_is_refused(begin: Begin) -> None:
    task = begin()
    endless: dict[str, Any] = {"a": 1}
    endless["endless"] = endless
    with pytest.raises(InvalidArgumentError, match="contains itself"):
        task.connect(endless)
    with pytest.raises(InvalidArgumentError, match="contains itself"):
        task.connect_configuration(endless)


@pytest.mark.parametrize("bad", [5, None, "text", [1], [{"value": 1}]])
def test_properties_that_are_none_are_refused(begin: Begin, bad: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="user properties are mappings"):
        begin().set_user_properties(bad)
