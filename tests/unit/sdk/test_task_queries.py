"""Finding tasks, making drafts and copies, and describing them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasktape import Task
from tasktape.errors import InvalidArgumentError, UnknownTaskError
from tasktape.producers import describing, requirements

Begin = Callable[..., Task]


@pytest.fixture
def drafts() -> dict[str, Task]:
    """Three tasks: `a` and `b` in one project, `c` in another."""
    tasks = {name: Task.create(project, f"task {name}") for name, project in (("a", "one"), ("b", "one"), ("c", "two"))}
    tasks["a"].set_tags(["best", "x"])
    tasks["b"].set_tags(["best", "y"])
    tasks["c"].set_comment("all about ducks")
    tasks["b"].set_task_type("testing")
    return tasks


FILTERS: dict[str, tuple[dict[str, Any], str]] = {
    "everything": ({}, "abc"),
    "project": ({"project_name": "one"}, "ab"),
    "projects": ({"project_name": ["one", "two"]}, "abc"),
    "part of a name": ({"task_name": "task [ab]"}, "ab"),
    "tags": ({"tags": ["x", "y"]}, "ab"),
    "tags without": ({"tags": ["best", "-x"]}, "b"),
    "all tags": ({"tags": ["__$all", "best", "x"]}, "a"),
    "type": ({"task_filter": {"type": ["testing"]}}, "b"),
    "status": ({"task_filter": {"status": ["created"]}}, "abc"),
    "no such status": ({"task_filter": {"status": ["failed"]}}, ""),
    "text": ({"task_filter": {"search_text": "ducks"}}, "c"),
    "any of fields": ({"task_filter": {"_any_": {"fields": ["comment", "name"], "pattern": "ducks|task b"}}}, "bc"),
    "all fields": ({"task_filter": {"_all_": {"fields": ["comment", "name"], "pattern": "[dt]"}}}, "c"),
    "nothing": ({"project_name": "three"}, ""),
}


@pytest.mark.parametrize(("arguments", "names"), FILTERS.values(), ids=FILTERS.keys())
def test_tasks_are_found_by_clearmls_filters(drafts: dict[str, Task], arguments: dict[str, Any], names: str) -> None:
    expected = {drafts[name].id for name in names}
    assert {task.id for task in Task.get_tasks(**arguments)} == expected
    assert set(Task.query_tasks(**arguments)) == expected


def test_order_and_pages(drafts: dict[str, Task]) -> None:
    ordered = Task.query_tasks(task_filter={"order_by": ["-name"]})
    assert ordered == [drafts[name].id for name in "cba"]
    page = {"order_by": ["name"], "page_size": 2, "page": 1}
    assert Task.query_tasks(task_filter=page) == [drafts["c"].id]
    assert Task.query_tasks(task_filter=page, tags=["-z"]) == [drafts["c"].id]


def test_fields_can_be_asked_for(drafts: dict[str, Task]) -> None:
    (found,) = Task.query_tasks(project_name="two", additional_return_fields=["name", "comment", "script.branch"])
    assert found == {"id": drafts["c"].id, "name": "task c", "comment": "all about ducks", "script.branch": ""}


def test_archived_tasks_can_be_left_out(drafts: dict[str, Task]) -> None:
    drafts["a"].set_archived(True)
    expected = {drafts["b"].id, drafts["c"].id}
    assert set(Task.query_tasks(task_filter={"system_tags": ["-archived"]})) == expected
    assert {task.id for task in Task.get_tasks(allow_archived=False)} == expected


def test_data_has_clearmls_names(drafts: dict[str, Task]) -> None:
    data = drafts["b"].data
    assert (data.type, data.status, data.started, data.last_worker) == ("testing", "created", None, "")
    assert data.last_update >= data.created
    assert data.script.binary == "python"
    with pytest.raises(AttributeError):
        _ = data.nothing_like_it
    task = drafts["b"]
    task.set_script(repository="r", commit="abc123", diff="+x")
    task.set_parameters({"Args/lr": 0.1, "Args/name": None})
    task.set_configuration_object("net", config_text="a: 1")
    again = task.data
    assert (again.script.version_num, again.script.repository, again.script.diff) == ("abc123", "r", "+x")
    assert again.hyperparams["Args"]["lr"][:4] == ("Args", "lr", "0.1", "float")
    assert again.hyperparams["Args"]["name"].value == ""
    assert again.configuration["net"].text == "a: 1"


def test_tasks_are_found_by_their_script(drafts: dict[str, Task]) -> None:
    drafts["a"].set_script(commit="abc123")
    drafts["b"].set_script(commit="abc999", diff="+x")
    wanted = {"_all_": {"fields": ["script.version_num"], "pattern": "ABC"}, "order_by": ["name"]}
    fields = ["script.version_num", "script.diff", "hyperparams.Args.none", "no.such.thing"]
    found = Task.query_tasks(task_filter=wanted, additional_return_fields=fields)
    assert [list(each.values()) for each in found] == [
        [drafts["a"].id, "abc123", "", None, None], [drafts["b"].id, "abc999", "+x", None, None],
    ]  # fmt: skip
    assert Task.get_tasks(task_filter=wanted | {"page": 1, "page_size": 1}) == [drafts["b"]]
    with pytest.raises(InvalidArgumentError, match="no regular expression"):
        Task.query_tasks(task_filter={"_any_": {"fields": ["script.diff"], "pattern": "["}})


def test_an_unknown_filter_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="stauts"):
        Task.get_tasks(task_filter={"stauts": ["created"]})


def test_one_task_is_found_by_its_exact_name(drafts: dict[str, Task]) -> None:
    assert Task.get_task(project_name="one", task_name="task a") == drafts["a"]
    assert Task.get_task(project_name="one", task_name="task") is None
    assert Task.get_task(project_name="two", task_name="task a") is None
    assert Task.get_by_name("task b") == drafts["b"]
    again = Task.create("one", "task a")
    assert Task.get_task(project_name="one", task_name="task a") == again
    again.set_archived(True)
    assert Task.get_task(project_name="one", task_name="task a") == drafts["a"]


def test_ids_are_found_or_refused(drafts: dict[str, Task]) -> None:
    assert Task.get_tasks([drafts["b"].id, drafts["a"].id]) == [drafts["b"], drafts["a"]]
    with pytest.raises(UnknownTaskError, match="no such id"):
        Task.get_task("no such id")
    with pytest.raises(ValueError, match="no such id"):
        Task.get_tasks(["no such id"])


def test_projects_are_listed(drafts: dict[str, Task]) -> None:
    assert {project.name: project.tasks for project in Task.get_projects()} == {"one": 2, "two": 1}
    assert Task.get_project_id("two") == drafts["c"].project
    assert Task.get_project_id("three") is None


def test_the_current_task_is_found_as_itself(begin: Begin) -> None:
    task = begin()
    assert Task.get_task(task.id) is task
    assert Task.get_task(project_name="project", task_name="task") is task


def test_a_clone_has_all_but_the_past(begin: Begin) -> None:
    source = begin(tags=["a"])
    source.set_comment("original")
    source.connect({"lr": 0.1})
    source.get_logger().report_single_value("score", 1.0)
    clone = Task.clone(source)
    assert (clone.name, clone.comment, clone.parent, clone.get_tags()) == (
        "Clone Of task",
        "original",
        source.id,
        ["a"],
    )
    assert clone.get_parameters() == {"General/lr": "0.1"}
    assert (clone.status, clone.run, clone.get_system_tags()) == ("created", 0, [])
    assert clone.get_reported_single_values() == {}
    child = Task.clone(clone.id, name="child", comment="", project="other")
    assert (child.name, child.comment, child.parent, child.get_project_name()) == ("child", "", source.id, "other")
    assert Task.clone(clone, parent=clone).parent == clone.id


def test_descriptions_are_edited_and_read_by_others() -> None:
    task = Task.create("project", "draft")
    assert task.rename("renamed")
    task.set_comment("what it is")
    task.set_tags(["a", "b", "a"])
    task.add_tags("c d")
    task.remove_tags("a")
    task.set_parent(Task.create("project", "parent"))
    task.move_to_project(new_project_name="elsewhere")
    task.set_base_docker("nvidia/cuda:12 --ipc=host", docker_setup_bash_script=["apt update", "apt install git"])
    task.set_packages(["numpy>=2"])
    task.set_repo("https://host/repo.git", branch="main")
    task.set_script(entry_point="train.py", working_dir="src", diff="")
    task.set_hardware(gpus=1, memory_gb=24)
    task.output_uri = "s3://bucket"
    read = Task.get_task(task.id)
    assert read is not None
    assert (read.name, read.comment, read.get_tags()) == ("renamed", "what it is", ["b", "c", "d"])
    assert read.get_project_name() == "elsewhere"
    assert str(read.get_hardware()) == "1 GPU, 24 GB of memory"
    assert read.get_base_docker() == "nvidia/cuda:12 --ipc=host"
    assert read.get_requirements() == {"pip": "numpy>=2"}
    assert read.get_script() == {
        "working_dir": "src",
        "entry_point": "train.py",
        "branch": "main",
        "repository": "https://host/repo.git",
        "commit": "",
        "binary": "python",
    }
    assert read.output_uri == "s3://bucket"
    assert read.parent is not None
    with pytest.raises(InvalidArgumentError, match="name the project"):
        task.move_to_project()
    with pytest.raises(InvalidArgumentError, match="no task type"):
        task.set_task_type("no such type")


def test_what_can_be_no_tags_is_refused(begin: Begin) -> None:
    task = begin()
    for change in (task.set_tags, task.add_tags, task.remove_tags):
        with pytest.raises(InvalidArgumentError, match="not 5"):
            change(5)  # type: ignore[arg-type]


def test_progress_is_a_whole_percentage(begin: Begin, caplog: pytest.LogCaptureFixture) -> None:
    task = begin()
    task.set_progress(40)
    task.set_progress(140)
    task.set_progress(0.5)  # type: ignore[arg-type]
    assert task.get_progress() == 40
    assert "140" in caplog.text
    assert Task(task.id).get_progress() == 40


def test_a_draft_is_made_of_a_repository() -> None:
    task = Task.create(
        "project",
        repo="https://host/repo.git",
        branch="main",
        script="src/train.py",
        working_directory=".",
        packages=["numpy"],
        docker="python:3.11",
        docker_args="--ipc=host",
        argparse_args=[("lr", "0.1")],
        task_type="testing",
    )
    assert (task.name, task.task_type, task.status) == ("train", "testing", "created")
    script = task.export_task()["script"]
    assert (script["repository"], script["branch"]) == ("https://host/repo.git", "main")
    assert script["entry_point"] == describing.LAUNCHER
    assert script["arguments"] == ["src/train.py"]
    assert task.get_parameters() == {"Args/lr": "0.1"}
    assert task.get_requirements() == {"pip": "numpy"}


def test_a_script_that_begins_its_own_task_is_started_as_it_is() -> None:
    task = Task.create("project", "t", repo="https://host/r.git", script="train.py", add_task_init_call=False)
    assert task.export_task()["script"]["entry_point"] == "train.py"


def test_a_draft_is_made_of_a_script_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("TASKTAPE_HOME", str(tmp_path / "home"))
    script = tmp_path / "work" / "train.py"
    script.parent.mkdir()
    script.write_text('"""Trains."""\nimport numpy\nprint("trains")\n')
    requirements_file = tmp_path / "requirements.txt"
    requirements_file.write_text("tqdm\n")
    monkeypatch.setattr(requirements.wishes, "added", {})
    task = Task.create("project", script=str(script))
    source = task.export_task()["script"]["source"]
    assert "Task.init()" in source
    assert any(line.startswith("numpy==") for line in task.get_requirements()["pip"].splitlines())
    plain = Task.create(
        "project", script=str(script), add_task_init_call=False, requirements_file=tmp_path / "requirements.txt"
    )
    assert plain.export_task()["script"]["source"] == script.read_text()
    assert plain.get_requirements() == {"pip": "tqdm"}


def test_a_draft_is_made_of_another_task() -> None:
    base = Task.create("project", "base", docker="python:3.11")
    base.set_parameters({"Args/lr": 1, "Args/kept": 2})
    task = Task.create(base_task_id=base.id, argparse_args=[("lr", "0.5")], docker="python:3.12")
    assert (task.name, task.parent, task.get_project_name()) == ("Clone Of base", base.id, "project")
    assert task.get_parameters() == {"Args/kept": "2", "Args/lr": "0.5"}
    assert task.get_base_docker() == "python:3.12"


def test_a_draft_needs_a_project_and_a_script_that_exists(begin: Begin) -> None:
    with pytest.raises(InvalidArgumentError, match="name the project"):
        Task.create(task_name="homeless")
    with pytest.raises(InvalidArgumentError, match=r"missing\.py is no file"):
        Task.create("project", script="missing.py")
    begin("of the current task")
    assert Task.create(task_name="at home").get_project_name() == "of the current task"


@pytest.mark.parametrize("wrong", [{"gpus": -1}, {"gpus": 0.5}, {"cpus": float("inf")}, {"memory_gb": -2.0}])
def test_hardware_that_no_machine_has_is_refused_and_changes_nothing(wrong: dict[str, Any]) -> None:
    task = Task.create("project", "draft")
    task.set_hardware(gpus=1)
    with pytest.raises(InvalidArgumentError, match="0 or more GPUs"):
        task.set_hardware(**wrong)
    assert task.get_hardware().gpus == 1


def test_a_task_is_exported_edited_and_imported() -> None:
    task = Task.create("project", "draft")
    task.set_parameters({"General/lr": 0.1, "General/layers": [1, 2]})
    data = task.export_task()
    data["name"] = "imported"
    data["hyperparams"]["General"]["lr"]["value"] = "0.5"
    copy = Task.import_task(data)
    assert (copy.name, copy.id != task.id) == ("imported", True)
    assert copy.get_parameters(cast=True) == {"General/lr": 0.5, "General/layers": [1, 2]}
    target = Task.create("project", "target")
    target.set_parameter("General/old", 1)
    assert Task.import_task(data, target_task=target.id).get_parameters(cast=True) == copy.get_parameters(cast=True)
    other = Task.create("project", "other")
    other.set_parameter("General/old", 1)
    assert other.update_task({"hyperparams": {"General": {"new": {"value": "2", "type": "int"}}}})
    assert Task.get_task(other.id).get_parameters(cast=True) == {"General/old": 1, "General/new": 2}


def test_wishes_for_packages_are_noted(tmp_path: Path) -> None:
    file = tmp_path / "more.txt"
    file.write_text("a>=1\nb\n")
    Task.add_requirements("tqdm", ">=4")
    Task.add_requirements(str(file))
    assert requirements.wishes.added == {"tqdm": ">=4", "a>=1": "", "b": ""}


def test_credentials_are_accepted_with_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        Task.set_credentials("https://api", "https://web", "https://files", "key", "secret")
    assert caplog.text.count("TASKTAPE_LOG") == 1
    assert "secret" not in caplog.text
