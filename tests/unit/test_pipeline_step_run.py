"""What a step's script makes of its task's parameters, of others' artifacts, and of what the function returns."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tasktape import Task
from tasktape.events.parts import Artifact as ArtifactPart
from tasktape.producers.artifacts import Artifact, BlockedArtifactTypeError
from tasktape.producers.pipelines import step_run
from tasktape.producers.pipelines.step_run import (
    StepArgumentError,
    StepReturnError,
    arguments_of,
    load_artifact,
    optional_import,
    returned,
)


def task_with(**parameters: Any) -> Any:
    held = {f"kwargs/{name}": value for name, value in parameters.items()}
    return SimpleNamespace(name="one", get_parameters=lambda cast: held if cast else {})


def test_positional_arguments_come_in_the_functions_order() -> None:
    def only(a: int, /, b: int) -> None: ...
    def some(a: int, *more: int, last: int) -> None: ...
    def many(**rest: int) -> None: ...

    assert arguments_of(task_with(b=2, a=1), only) == ([1], {"b": 2})
    assert arguments_of(task_with(**{"10": 3, "2": 2, "a": 1, "last": 4}), some) == ([1, 2, 3], {"last": 4})
    assert arguments_of(task_with(x=1), many) == ([], {"x": 1})


def test_a_text_that_is_no_value_of_the_annotated_type_is_named() -> None:
    def one(a: int, b: list[int]) -> None: ...

    assert arguments_of(task_with(a="7", b="[1, 2]"), one) == ([], {"a": 7, "b": [1, 2]})
    with pytest.raises(StepArgumentError, match=r"'one' can't have its argument 'a': .*seven"):
        arguments_of(task_with(a="seven"), one)


def test_an_artifact_that_can_not_be_had_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    held = {"kwargs_artifacts/a": "T1.data", "kwargs_artifacts/b": ""}
    task: Any = SimpleNamespace(name="one", get_parameters=lambda cast: held if cast else {})

    def artifact(**found: Any) -> None:
        monkeypatch.setattr(Task, "get_task", lambda task_id: SimpleNamespace(id=task_id, artifacts=found))

    artifact(data=SimpleNamespace(is_pickled=False, load=lambda: 5))
    assert arguments_of(task, lambda a: a) == ([], {"a": 5})
    artifact()
    with pytest.raises(StepArgumentError, match=r"argument 'a': task T1: data\."):
        arguments_of(task, lambda a: a)
    artifact(data=SimpleNamespace(is_pickled=True, metadata={}, name="data"))
    with pytest.raises(StepArgumentError, match=r"artifact 'data' of task T1 can't be read: .*pickled"):
        arguments_of(task, lambda a: a)


def pickled(folder: Path, **metadata: str) -> Artifact:
    file = folder / "n.pkl"
    file.write_bytes(pickle.dumps([1]))
    part = ArtifactPart(name="n", type="pickle", uri=str(file), size=0, sha256="", metadata=metadata)
    return Artifact(part, datetime.now(UTC))


def test_a_pickle_is_read_where_somebody_has_asked_for_it(tmp_path: Path) -> None:
    with pytest.raises(BlockedArtifactTypeError):
        load_artifact(pickled(tmp_path))
    assert load_artifact(pickled(tmp_path, pickled="pickle")) == [1]
    assert load_artifact(pickled(tmp_path), "pickle") == [1]
    assert load_artifact(pickled(tmp_path), len) > 10


def test_return_values_have_their_names() -> None:
    assert returned("one", [], (1, 2)) == {}
    assert returned("one", ["a"], (1, 2)) == {"a": (1, 2)}
    assert returned("one", ["a", "b"], [1, None]) == {"a": 1, "b": None}
    with pytest.raises(
        StepReturnError, match=r"2 return values by name \(a, b\), but returned one value \(a NoneType\)"
    ):
        returned("one", ["a", "b"], None)


def test_an_import_that_failed_is_told_to_whoever_misses_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step_run, "_failed_imports", [])
    with optional_import():
        import not_installed_anywhere  # type: ignore[import-not-found]  # noqa: F401, PLC0415

    with pytest.raises(NameError) as missed:
        step_run._called(lambda: not_installed_anywhere_either, [], {})  # type: ignore[name-defined]  # noqa: F821
    assert "not_installed_anywhere" in missed.value.__notes__[0]
    assert "the step's repo" in missed.value.__notes__[1]


def test_a_module_that_is_missing_is_said_to_come_with_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step_run, "_failed_imports", [])
    with pytest.raises(ModuleNotFoundError) as missed:
        step_run._called(import_module, ["not_installed_anywhere"], {})
    assert "the step's repo" in missed.value.__notes__[0]
