"""Scripts written for ClearML run with only their import changed, and the projection holds what they reported."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tasktape.events.settings import Settings, load_settings
from tasktape.producers.parameters import value_of
from tasktape.projections import open_queries
from tasktape.projections.query import Queries
from tasktape.projections.rows import TaskFilter, TaskRow
from tasktape.tests.kafka.broker import Broker

SCRIPTS = Path(__file__).parent / "clearml_scripts"


@pytest.fixture
def settings(home: Path) -> Settings:
    """Settings of an empty home with the embedded log."""
    settings = load_settings()
    assert settings.home == home
    return settings


Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(settings: Settings, tmp_path: Path) -> Run:
    """Run one of the scripts in a folder of its own, with `clearml` become `tasktape`."""
    assert settings.home.parent == tmp_path
    folder = tmp_path / "work"
    folder.mkdir()

    def start(name: str, *arguments: str, uses: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
        for used in (name, *uses):
            text = (SCRIPTS / f"{used}.py").read_text()
            (folder / f"{used}.py").write_text(re.sub(r"\bclearml\b", "tasktape", text))
        script = folder / f"{name}.py"
        command = [sys.executable, str(script), *arguments]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=150, check=False)
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        assert uses or "Traceback" not in done.stderr
        return done

    return start


def task_named(queries: Queries, name: str) -> TaskRow:
    (found,) = queries.tasks(TaskFilter(name=f"^{re.escape(name)}$"))
    return found


def typed(queries: Queries, task: TaskRow) -> dict[str, object]:
    return {held.name: value_of(held) for held in queries.parameters(task.id)}


def curves(queries: Queries, task: TaskRow) -> dict[tuple[str, str], list[tuple[int, float]]]:
    """What the script itself reported, without the load of the machine."""
    found: dict[tuple[str, str], list[tuple[int, float]]] = {}
    for point in queries.scalars(task.id).to_pylist():
        if not point["title"].startswith(":monitor:"):
            found.setdefault((point["title"], point["series"]), []).append((point["step"], point["value"]))
    return found


def test_reports_of_every_kind(run: Run, settings: Settings, tmp_path: Path) -> None:
    run("reporting")
    with open_queries(settings) as queries:
        task = task_named(queries, "reporting")
        assert (task.status, task.task_type, task.project) == ("completed", "testing", "examples")
        reported = curves(queries, task)
        assert reported["unified graph", "series A"] == [(i, 1.0 / (i + 1)) for i in range(10)]
        assert reported["unified graph", "series B"] == [(i, 10.0 / (i + 1)) for i in range(10)]
        assert reported["loss", "train"] == [(i, 0.5**i) for i in range(10)]
        assert queries.single_values(task.id) == {"accuracy": 0.93, "f1": 1.0}
        plots = {plot.title: plot for plot in queries.plots(task.id)}
        assert set(plots) == {
            *("confusion", "histogram", "vector", "line", "scatter 2d", "scatter 3d", "surface", "table", "plotly"),
        }
        assert all(json.loads(plot.content)["data"] for plot in plots.values())
        assert {plot.iteration for plot in plots.values() if plot.title != "plotly"} == {4}
        assert {(media.title, media.kind) for media in queries.media(task.id)} == {("image", "image"), ("html", "html")}
        console = "".join(line.text for line in queries.console(task.id))
        assert "a text for the console" in console
        assert "printed by the script" in console
    assert json.loads((tmp_path / "work" / "result.json").read_text())["last"]["loss"]["train"]["last"] == 0.5**9


def test_arguments(run: Run, settings: Settings) -> None:
    run("arguments", "--lr", "0.5", "--layers", "8", "4", "--no-cuda")
    with open_queries(settings) as queries:
        task = task_named(queries, "arguments")
        assert typed(queries, task) == {
            "Args/batch_size": 64,
            "Args/lr": 0.5,
            "Args/no_cuda": True,
            "Args/layers": [8, 4],
            "Args/name": None,
            "Args/mode": "fast",
            "Args/early": "before init",
            "Optimizer/momentum": 0.9,
        }
        assert "batch size 64 lr 0.5 layers [8, 4]" in "".join(line.text for line in queries.console(task.id))


def test_configuration(run: Run, settings: Settings) -> None:
    done = run("configuration")
    assert '"backbone": "resnet"' in done.stdout
    with open_queries(settings) as queries:
        task = task_named(queries, "configuration")
        assert (task.status, task.comment) == ("completed", "all about parameters")
        assert set(task.tags) == {"config", "test", "more"}
        assert typed(queries, task) == {
            "General/lr": 0.2,
            "General/name": "adam",
            "General/warm_up": None,
            "General/nested/depth": 3,
            "General/nested/shape": (1, 2),
            "General/added": [1, "two", None],
            "Constants/epochs": 3,
            "Constants/dropout": 0.25,
            "Network/layers": [64, 32],
            "Network/bias": True,
            "Enums/activation": "relu",
            "General/by_hand": 5,
            "Args/seed": 1337,
            "Args/debug": False,
            "properties/backbone": "resnet",
            "properties/stable": True,
            "properties/notes": "none",
        }
        held = {configuration.name: configuration for configuration in queries.configurations(task.id)}
        assert held["settings"].text == "a: 1\nb: [1, 2]\n"
        assert (held["settings"].suffix, held["settings"].description) == (".yaml", "a file")
        assert json.loads(held["model"].text) == {"encoder": {"size": 256}, "labels": ["x", "y"]}


def test_artifacts(run: Run, settings: Settings) -> None:
    run("artifacts")
    with open_queries(settings) as queries:
        task = task_named(queries, "artifacts")
        found = {artifact.name: artifact for artifact in queries.artifacts(task.id)}
        assert set(found) == {"numbers", "summary", "note", "file", "folder"}
        assert found["summary"].metadata == {"by": "script"}
        assert all(Path(artifact.uri.removeprefix("file://")).is_file() for artifact in found.values())
        assert task.status == "completed"


def test_several_tasks_in_one_process(run: Run, settings: Settings) -> None:
    check_several_tasks(run, settings)


def check_several_tasks(run: Run, settings: Settings) -> None:
    done = run("several_tasks")
    assert "refused: UsageError" in done.stdout
    with open_queries(settings) as queries:
        tasks = [task_named(queries, f"one of several {number}") for number in range(3)]
        assert {task.status for task in tasks} == {"completed"}
        assert [curves(queries, task)["loss", "train"] for task in tasks] == [
            [(0, 0.0)],
            [(1, 1.0)],
            [(2, 2.0), (3, 100.0)],
        ]
        assert queries.single_values(tasks[0].id) == {"added later": 7.0}
        assert tasks[0].tags == ("visited",)
        assert tasks[2].run == 2
        again = task_named(queries, "again")
        assert (again.run, typed(queries, again)) == (2, {"General/round": 2})


def test_sub_processes(run: Run, settings: Settings) -> None:
    check_sub_processes(run, settings)


def check_sub_processes(run: Run, settings: Settings) -> None:
    run("sub_processes")
    with open_queries(settings) as queries:
        task = task_named(queries, "sub processes")
        assert (task.status, task.run) == ("completed", 1)
        assert queries.single_values(task.id) == {
            "fork": 1,
            "spawn": 2,
            "spawn with init": 2.5,
            "subprocess": 3,
            "pool 1": 4,
            "pool 2": 5,
            "parent": 0,
        }
        reported = curves(queries, task)
        for name, value in (("fork", 1), ("spawn", 2), ("pool 1", 4), ("pool 2", 5)):
            assert reported["children", name] == [(i, value) for i in range(5)]
        console = [line.text for line in queries.console(task.id)]
        assert [console.count(f"spoken in {name}") for name in ("fork", "spawn")] == [1, 1]


def test_orchestration_by_hand(run: Run, settings: Settings) -> None:
    check_orchestration(run, settings)


def check_orchestration(run: Run, settings: Settings) -> None:
    done = run("orchestration")
    assert "refused: there is no queue 'no such queue' (queues: 'default', 'services')" in done.stdout
    with open_queries(settings) as queries:
        assert [entry.state for entry in queries.entries("default")] == ["waiting", "waiting"]
        by_hand = task_named(queries, "by hand")
        assert (by_hand.status, curves(queries, by_hand)) == ("published", {("loss", "train"): [(3, 1.5)]})
        renamed = task_named(queries, "renamed")
        assert (renamed.project, renamed.status, renamed.archived) == ("moved", "created", True)
        assert queries.tasks(TaskFilter(name="^imported$")) == []
        clones = [task_named(queries, f"clone {number}") for number in range(3)]
        learning_rates = [typed(queries, clone)["General/lr"] for clone in clones]
        assert learning_rates == [pytest.approx(0.1 * (number + 1)) for number in range(3)]
        spec = queries.spec(clones[0].id)
        assert spec is not None
        assert "Task.init()" in spec.script.source


def test_a_script_sends_itself_off_and_takes_the_agents_values(
    run: Run, settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run("remote", "--epochs", "1")
    with open_queries(settings) as queries:
        task = task_named(queries, "remote")
        assert task.status == "queued"
        assert curves(queries, task) == {}
        spec = queries.spec(task.id)
    assert spec is not None
    edited = {"Args/epochs": "3", "General/lr": "0.5", "General/decay": "0.1", "General/milestones": "[7]"}
    parameters = [p.model_copy(update={"value": edited.get(p.name, p.value)}) for p in spec.parameters]
    (tmp_path / "spec.json").write_text(spec.model_copy(update={"parameters": parameters}).model_dump_json())
    monkeypatch.setenv("TASKTAPE_TASK_ID", task.id)
    monkeypatch.setenv("TASKTAPE_RUN", "2")
    monkeypatch.setenv("TASKTAPE_TASK_SPEC", str(tmp_path / "spec.json"))
    done = run("remote")
    assert "{'lr': 0.5, 'optimizer': 'adam', 'decay': 0.1, 'milestones': [7]} Namespace(epochs=3)" in done.stdout


@pytest.mark.kafka
@pytest.mark.timeout(400)
def test_the_same_on_kafka(broker: Broker, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKTAPE_LOG", f"kafka://{broker.address}")
    settings = load_settings()
    check_several_tasks(run, settings)
    check_sub_processes(run, settings)
    check_orchestration(run, settings)


def test_a_pipeline_of_functions_and_a_task(run: Run, settings: Settings) -> None:
    done = run("pipeline_functions", uses=["step"])
    assert "RuntimeError: not yet" in done.stderr
    assert sorted(done.stdout.splitlines()) == [
        "after load True True",
        "before copied 3 numbers",
        "before unwanted None",
        "copied step 3 numbers 3.0",
        "successful True ['add', 'copied', 'flaky', 'load']",
    ]
    with open_queries(settings) as queries:
        (pipeline,) = queries.pipelines()
        task = task_named(queries, "functions #1")
        assert (pipeline.name, pipeline.version, pipeline.task) == ("functions", "1.1", task.id)
        assert (task.status, task.task_type, task.project) == (
            *("completed", "controller", "examples/.pipelines/functions"),
        )
        assert typed(queries, task) == {"Args/count": 3, "Args/scale": "0.5", "properties/version": "1.1"}
        steps = {step.name: (step.status, step.parents, step.stage) for step in queries.steps(task.id)}
        assert steps == {
            "load": ("completed", (), "data"),
            "add": ("completed", ("load",), ""),
            "copied": ("completed", ("add",), ""),
            "flaky": ("completed", ("load",), ""),
            "unwanted": ("skipped", ("load",), ""),
        }
        assert curves(queries, task) == {("load", "count"): [(0, 3.0)]}
        assert [artifact.name for artifact in queries.artifacts(task.id)] == ["sum of all"]
        assert set(task_named(queries, "load").tags) == {f"pipe: {task.id}"}


def test_a_pipeline_of_components(run: Run, settings: Settings) -> None:
    done = run("pipeline_components")
    assert done.stdout.splitlines() == ["scores [0, -1] mock", "process completed"]
    with open_queries(settings) as queries:
        task = task_named(queries, "components #1")
        assert task.status == "completed"
        assert {step.name: set(step.parents) for step in queries.steps(task.id)} == {
            "split": set(),
            "fit": {"split"},
            "fit_1": {"split"},
            "score": {"split", "fit"},
            "score_1": {"split", "fit", "fit_1"},
        }
        assert {step.status for step in queries.steps(task.id)} == {"completed"}
        assert set(curves(queries, task)) == {("fit", "offset 0"), ("fit", "offset 1")}
        assert {artifact.name for artifact in queries.artifacts(task.id)} == {"seen 0", "seen 1", "best"}
