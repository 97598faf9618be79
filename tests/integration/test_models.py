"""Models from their weights to another task's input, on the embedded log."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tasktape.producers.archives import pack
from tasktape.producers.errors import InvalidArgumentError, UsageError
from tasktape.producers.model_base import ModelError
from tasktape.producers.models import Framework, InputModel, Model, OutputModel
from tasktape.producers.session import change_session, process
from tasktape.producers.task import Task


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("TASKTAPE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("tasktape.producers.capture.install", lambda *_: [], raising=False)
    monkeypatch.chdir(tmp_path)
    change_session(None)
    yield tmp_path / "home"
    if process.task is not None:
        process.task.close()
    OutputModel.set_default_upload_uri(None)
    change_session(None)


@pytest.fixture
def task(home: Path) -> Task:  # noqa: ARG001  it sets the home
    return Task.init("project", "a task")


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "snapshot.pt"
    path.write_bytes(b"weights")
    return path


def test_weights_are_uploaded_and_found_by_task_name_and_id(task: Task, weights: Path) -> None:
    model = OutputModel(task, name="resnet", framework=Framework.pytorch, tags=["best"], comment="good")
    url = model.update_weights(str(weights), iteration=7)
    weights.write_bytes(b"of the next epoch")
    (found,) = task.models.output
    assert (found.id, found.name, found.url, found.task) == (model.id, "resnet", url, task.id)
    assert (found.framework, found.tags, found.project) == ("PyTorch", ["best"], "project")
    assert found.comment.endswith("\ngood")
    for again in (
        task.models["output"]["resnet"],
        task.models["output"]["snapshot"],
        Model(model.id),
        InputModel(name="resnet", project="project", tags=["best"]),
    ):
        assert again == model
        assert Path(str(again.get_weights())).read_bytes() == b"weights"
    with pytest.raises(KeyError, match="'resnet'"):
        task.models["output"]["vgg"]
    assert task.models.input == []


def test_a_model_is_unknown_until_it_has_something_to_show(task: Task, weights: Path) -> None:
    model = OutputModel(task)
    model.update_design(config_dict={"layers": 3})
    assert task.models["output"] == []
    model.update_weights(weights)
    (found,) = task.models["output"]
    assert (found.name, found.config_dict) == (task.name, {"layers": 3})
    assert found.framework == "PyTorch"


def test_new_weights_replace_the_old_under_the_same_id(task: Task, weights: Path) -> None:
    model = OutputModel(task)
    first = model.update_weights(weights)
    weights.write_bytes(b"better")
    second = model.update_weights(weights)
    assert first != second
    (found,) = task.models["output"]
    assert (found.id, found.url) == (model.id, second)
    assert found.comment.count("stored") == 1


def test_labels_design_and_notes_stay_with_the_model(task: Task, weights: Path) -> None:
    model = OutputModel(task, label_enumeration={"cat": 1}, config_text="design")
    model.update_weights(weights)
    model.update_labels({"cat": 1, "dog": 2})
    model.set_metadata("accuracy", 0.5, "float")
    model.set_metadata("note", "5 apples")
    found = Model(model.id)
    assert (found.labels, found.config_text) == ({"cat": 1, "dog": 2}, "design")
    assert found.get_metadata("accuracy") == "0.5"
    assert found.get_all_metadata_casted() == {"accuracy": 0.5, "note": "5 apples"}
    assert found.get_all_metadata()["accuracy"] == {"key": "accuracy", "value": "0.5", "type": "float"}
    assert found.get_metadata_casted("missing") is None
    found.set_all_metadata({"only": {"value": "x", "type": "str"}})
    assert Model(model.id).get_all_metadata_casted() == {"only": "x"}
    assert task.get_labels_enumeration() == {"cat": 1, "dog": 2}


def test_names_tags_and_comments_can_be_changed_by_anybody(task: Task, weights: Path) -> None:
    OutputModel(task, name="old").update_weights(weights)
    model = InputModel(name="old")
    model.name, model.tags, model.comment = "new", ["a", "b"], "comment"
    found = Model(model.id)
    assert (found.name, found.tags, found.comment, found.task) == ("new", ["a", "b"], "comment", task.id)
    assert [each.id for each in task.models["output"]] == [model.id]


def test_packages_are_one_file_there_and_a_folder_here(task: Task, tmp_path: Path) -> None:
    folder = tmp_path / "saved_model"
    (folder / "variables").mkdir(parents=True)
    (folder / "graph.pb").write_bytes(b"graph")
    (folder / "variables" / "data").write_bytes(b"data")
    model = OutputModel(task, tags=["mine"])
    url = model.update_weights(folder)
    assert url.endswith("/saved_model.zip")
    found = Model(model.id)
    assert (found.system_tags, found.tags) == (["package"], ["mine"])
    copy = Path(str(found.get_local_copy()))
    assert (copy / "variables" / "data").read_bytes() == b"data"
    files = found.get_weights_package()
    assert isinstance(files, list)
    assert [path.name for path in files] == ["graph.pb", "variables"]
    assert folder.exists()
    model.update_weights_package([folder / "graph.pb", folder / "variables" / "data"], target_filename="some")
    assert (Path(str(Model(model.id).get_local_copy())) / "variables" / "data").read_bytes() == b"data"


def test_an_archive_that_is_no_package_stays_packed_unless_asked(task: Task, weights: Path, tmp_path: Path) -> None:
    pack(tmp_path / "agent.zip", [(weights, "policy.pt")])
    OutputModel(task, name="agent").update_weights(tmp_path / "agent.zip")
    model = InputModel(name="agent")
    assert str(model.get_local_copy()).endswith("agent.zip")
    assert (Path(str(model.get_weights(extract_archive=True))) / "policy.pt").exists()
    with pytest.raises(ModelError, match="no package"):
        model.get_weights_package()


def test_weights_that_lie_somewhere_are_registered_and_never_copied_or_deleted(task: Task, weights: Path) -> None:
    model = OutputModel(task)
    assert model.update_weights(register_uri=str(weights)) == weights.as_uri()
    assert model.get_weights() == str(weights)
    assert Model.remove(model)
    assert weights.exists()


@pytest.mark.parametrize("how", ["upload_uri", "default", "destination", "output_uri"])
def test_weights_go_to_a_named_place_and_leave_the_working_folder(
    task: Task, weights: Path, tmp_path: Path, how: str
) -> None:
    place = str(tmp_path / "place")
    model = OutputModel(task, name="net")
    if how == "default":
        OutputModel.set_default_upload_uri(place)
    elif how == "destination":
        model.set_upload_destination(place)
    elif how == "output_uri":
        task.output_uri = place
    url = model.update_weights(weights, upload_uri=place if how == "upload_uri" else None, target_filename="net.pt")
    assert url.startswith((tmp_path / "place" / "project" / f"a_task.{task.id}" / "models" / "net").as_uri())
    assert url.endswith("/net.pt")
    assert not weights.exists()
    weights.write_bytes(b"next")
    model.update_weights(weights, auto_delete_file=False)
    assert weights.exists()


def test_changes_while_weights_wait_for_s3_are_not_lost(
    task: Task, weights: Path, bucket: str, monkeypatch: pytest.MonkeyPatch, until: Callable[[Callable[[], bool]], None]
) -> None:
    endpoint = os.environ["AWS_ENDPOINT_URL"]
    model = OutputModel(task, name="net")
    first = model.update_weights(weights)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    weights.write_bytes(b"newer")
    second = model.update_weights(weights, upload_uri=f"s3://{bucket}")
    assert second.startswith("s3://")
    model.set_metadata("noted", "meanwhile")
    found = Model(model.id)
    assert (found.url, found.get_metadata("noted")) == (first, "meanwhile")
    assert Path(str(model.get_weights())).read_bytes() == b"newer"
    with pytest.raises(ModelError, match="does not answer"):
        model.update_weights(weights, async_enable=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    until(lambda: not weights.exists())
    OutputModel.wait_for_uploads()
    found = Model(model.id)
    assert (found.url, found.get_metadata("noted")) == (second, "meanwhile")
    assert Path(str(found.get_weights(force_download=True))).read_bytes() == b"newer"


def test_a_published_model_can_not_be_changed(task: Task, weights: Path) -> None:
    model = OutputModel(task)
    model.update_weights(weights)
    model.publish()
    assert Model(model.id).published
    for change in (
        lambda: model.update_weights(weights),
        lambda: model.update_design("x"),
        lambda: model.update_labels({"a": 1}),
    ):
        with pytest.raises(ModelError, match="published"):
            change()


def test_queries_choose_by_project_name_tags_notes_and_state(task: Task, weights: Path) -> None:
    for name, tags in (("a", ["x"]), ("b", ["x", "y"]), ("c", [])):
        model = OutputModel(task, name=name, tags=tags)
        model.update_weights(weights, auto_delete_file=False)
        model.set_metadata("name", name)
    InputModel(name="b").publish()
    InputModel(name="c").archive()

    def names(**wanted: object) -> list[str]:
        return [found.name for found in Model.query_models(**wanted)]  # type: ignore[arg-type]

    assert sorted(names()) == ["a", "b"]
    assert names(include_archived=True)[0] == "c"
    assert names(model_name="a") == ["a"]
    assert sorted(names(tags=["x"])) == ["a", "b"]
    assert names(tags=["x", "-y"]) == ["a"]
    assert names(only_published=True) == ["b"]
    assert names(metadata={"name": "a"}) == ["a"]
    assert names(project_name="other") == []
    assert len(names(max_results=1)) == 1
    with pytest.raises(ValueError, match="no model"):
        InputModel(name="zebra")
    with pytest.raises(ModelError, match="no model 'nothing'"):
        Model("nothing")


def test_an_imported_model_is_registered_once_and_starts_a_task(task: Task, weights: Path) -> None:
    model = InputModel.import_model(
        str(weights), name="pretrained", config_dict={"depth": 50}, label_enumeration={"cat": 1}, comment="from a zoo"
    )
    assert InputModel.import_model(weights.as_uri(), name="other name") == model
    assert (model.framework, model.project, model.original_task) == ("PyTorch", "project", "")
    assert model.get_weights() == str(weights)
    task.connect(model, name="start")
    (found,) = task.models["input"]
    assert (found, task.models["input"]["start"].config_dict) == (model, {"depth": 50})
    assert task.models["output"] == []
    assert task.input_models_id == {"start": model.id}
    assert (task.get_labels_enumeration(), task.get_model_config_dict()) == ({"cat": 1}, {"depth": 50})


def test_one_tasks_output_is_the_others_input_and_stays_its_makers(task: Task, weights: Path) -> None:
    OutputModel(task, name="net").update_weights(weights)
    task.close()
    second = Task.init("project", "second", reuse_last_task_id=False)
    InputModel(name="net").connect(second)
    (used,) = second.models["input"]
    used.set_metadata("used", "yes")
    assert [model.name for model in Task.get_task(task.id).models["output"]] == ["net"]
    assert Model(used.id).original_task == task.id
    assert Model.remove(used) is False
    assert Model.remove(used, force=True)
    assert second.models["input"] == []
    second.close()


def test_a_removed_model_takes_its_weights_with_it(task: Task, weights: Path, home: Path) -> None:
    model = OutputModel(task)
    model.update_weights(weights)
    assert len(list((home / "blobs").rglob("snapshot.pt"))) == 1
    assert Model.remove(model.id)
    assert task.models["output"] == []
    assert list((home / "blobs").rglob("snapshot.pt")) == []
    assert Model.remove(model.id) is False
    with pytest.raises(ModelError, match="no model"):
        Model.remove(model.id, raise_on_errors=True)


def test_weights_that_are_gone_give_none_or_an_error(task: Task, weights: Path) -> None:
    model = OutputModel(task)
    assert model.get_weights() is None
    model.update_weights(register_uri=str(weights))
    weights.unlink()
    assert model.get_weights() is None
    with pytest.raises(ValueError, match="can't be fetched"):
        model.get_weights(raise_on_error=True)


def test_wrong_use_is_told(task: Task, weights: Path, tmp_path: Path) -> None:
    model = OutputModel(task)
    for call in (
        model.update_weights,
        lambda: model.update_weights(weights, register_uri="x"),
        lambda: model.update_weights(tmp_path / "missing.pt"),
        model.update_weights_package,
        lambda: model.update_weights_package([tmp_path / "missing.pt"]),
        lambda: model.set_upload_destination("gs://bucket"),
        lambda: OutputModel(task, config_text="a", config_dict={"b": 1}),
        lambda: InputModel.import_model(""),
        task.set_input_model,
    ):
        with pytest.raises(InvalidArgumentError):
            call()
    with pytest.raises(UsageError, match="connect it"):
        InputModel.import_model(str(weights)).report_scalar("a", "b", 1, 1)
    with pytest.raises(AttributeError, match=r"'OutputModel'.*'nonsense'"):
        model.nonsense  # noqa: B018  it is the test


def test_reports_of_a_model_are_its_tasks(task: Task) -> None:
    OutputModel(task).report_single_value("accuracy", 0.5)
    task.flush(wait_for_uploads=True)
    assert task.get_reported_single_values() == {"accuracy": 0.5}


def test_an_output_model_needs_a_task(home: Path) -> None:  # noqa: ARG001  it sets the home
    with pytest.raises(ValueError, match="no task runs"):
        OutputModel()


def test_an_old_model_can_be_written_anew(task: Task, weights: Path) -> None:
    first = OutputModel(task, name="net", tags=["a"])
    first.update_weights(weights)
    second = OutputModel(task, base_model_id=first.id, comment="again")
    assert (second.id, second.name, second.tags, second.comment) == (first.id, "net", ["a"], "again")
    assert [model.id for model in task.models["output"]] == [first.id]


def test_an_output_model_is_made_of_a_file_an_address_or_a_folder(task: Task, weights: Path, tmp_path: Path) -> None:
    url = task.update_output_model(str(weights), model_name="yolo", tags=["best"], auto_delete_file=False)
    task.update_output_model("https://example.com/x.pt", name="elsewhere", comment="theirs")
    (tmp_path / "package").mkdir()
    weights.rename(tmp_path / "package" / "a.pt")
    task.update_output_model(tmp_path / "package", auto_delete_file=False)
    models = task.models["output"]
    assert [model.name for model in models] == ["yolo", "a task - elsewhere", "a task"]
    assert (models[0].url, models[0].tags, models[1].url) == (url, ["best"], "https://example.com/x.pt")
    assert Path(str(models[0].get_weights())).read_bytes() == b"weights"
    assert models[1].comment.endswith("\ntheirs")
    assert models[2].system_tags == ["package"]
