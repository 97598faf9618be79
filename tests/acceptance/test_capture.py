"""A script with two lines added, run for real: what it did by itself is on the log, and an agent's values reach it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from tasktape.events.settings import Settings, load_settings
from tasktape.producers.capture.materialise import materialise
from tasktape.producers.parameters import make, value_of
from tasktape.projections import open_queries
from tasktape.projections.query import Queries
from tasktape.projections.rows import ModelFilter, TaskRow

INIT = "from tasktape import Task\ntask = Task.init('capture', 'script')\n"


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name in list(os.environ):
        if name.startswith("TASKTAPE_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("TASKTAPE_HOME", str(tmp_path / "home"))
    return load_settings()


Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(settings: Settings, tmp_path: Path) -> Run:
    """Run a program as a script in a folder of its own."""
    assert settings.home == tmp_path / "home"
    (tmp_path / "work").mkdir()

    def start(program: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "work/script.py").write_text(textwrap.dedent(program))
        return subprocess.run(
            [sys.executable, "script.py", *arguments],
            cwd=tmp_path / "work",
            env={**os.environ, "MPLBACKEND": "agg", **environment},
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
        )

    return start


def only_task(queries: Queries) -> TaskRow:
    (task,) = queries.tasks()
    return task


EVERYTHING = """
import argparse
import logging
import sys
import joblib
import matplotlib.pyplot as plt
import tensorboardX
from sklearn.linear_model import LinearRegression
from tasktape import Task
import beside
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float)
parser.add_argument("--layers", type=int, nargs="+")
arguments = parser.parse_args()
task = Task.init('capture', 'script')
print("printed", beside.VALUE, "\\u2603")
logging.getLogger("user").setLevel(logging.INFO)
logging.getLogger("user").info("logged")
for done in range(1000):
    sys.stderr.write("\\r" + str(done))
sys.stderr.write("\\n")
with tensorboardX.SummaryWriter("runs") as writer:
    writer.add_scalar("loss/train", arguments.lr, 7)
    writer.add_text("note", "written")
plt.plot([1, 2], [3, 4])
plt.title("curve")
plt.show()
joblib.dump(LinearRegression(), "model.pkl")
raise ValueError("the end")
"""


def test_what_a_script_does_by_itself_is_on_the_log(run: Run, settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "work").joinpath("beside.py").write_text("VALUE = 1\n")
    done = run(EVERYTHING, "--lr", "0.5", "--layers", "1", "2")
    assert done.returncode == 1
    with open_queries(settings) as queries:
        task = only_task(queries)
        assert (task.status, task.status_reason) == ("failed", "ValueError")
        (ended,) = queries.runs(task.id)
        assert 'raise ValueError("the end")' in ended.traceback
        typed = {held.name: value_of(held) for held in queries.parameters(task.id)}
        assert typed == {"Args/lr": 0.5, "Args/layers": [1, 2]}
        lines = [(line.stream, line.text) for line in queries.console(task.id)]
        assert ("stdout", "printed 1 \u2603") in lines
        assert ("stderr", "999") in lines
        assert ("stderr", "500") not in lines
        assert ("stderr", "ValueError: the end") in lines
        assert sum(text.endswith("INFO - logged") for stream, text in lines if stream == "log") == 1
        points = [p for p in queries.scalars(task.id).to_pylist() if not p["title"].startswith(":monitor:")]
        assert [(p["title"], p["series"], p["step"], p["value"]) for p in points] == [("loss", "train", 7, 0.5)]
        assert [text.content for text in queries.texts(task.id)] == ["written"]
        assert [plot.title for plot in queries.plots(task.id)] == ["curve"]
        (model,) = queries.models(ModelFilter(task=task.id))
        assert (model.name, model.framework) == ("script - model", "ScikitLearn")
        spec = queries.spec(task.id)
    assert spec is not None
    names = {line.partition("==")[0].partition(" @ ")[0] for line in spec.script.requirements}
    assert names == {"joblib", "matplotlib", "scikit-learn", "tasktape", "tensorboardX"}
    checkout = materialise(spec.script, tmp_path / "elsewhere", mirrors=tmp_path / "mirrors")
    assert sorted(path.name for path in checkout.root.iterdir()) == ["beside.py", "script.py"]
    assert spec.script.arguments == ["--lr", "0.5", "--layers", "1", "2"]


REMOTE = f"""
import argparse, json, os
{INIT.partition(chr(10))[0]}
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, required=True)
parser.add_argument("--names", nargs="*", default=None)
arguments = parser.parse_args()
early = arguments.lr
task = Task.init("other", "names")
print(json.dumps([task.id, early, arguments.names, os.environ["SEED"]]))
"""


def test_under_an_agent_the_tasks_values_are_there_before_the_task_is(
    run: Run, settings: Settings, tmp_path: Path
) -> None:
    run(f"import os\n{INIT}print(os.environ['SEED'])", SEED="1", TASKTAPE_LOG_ENVIRONMENT="SEED")
    with open_queries(settings) as queries:
        task = only_task(queries)
        spec = queries.spec(task.id)
    assert spec is not None
    assert [(held.name, held.value) for held in spec.parameters] == [("Environment/SEED", '"1"')]
    edited = [make("Args/lr", "0.25"), make("Args/names", ["a"]), make("Environment/SEED", "9")]
    (tmp_path / "spec.json").write_text(spec.model_copy(update={"parameters": edited}).model_dump_json())
    agent = {"TASKTAPE_TASK_ID": task.id, "TASKTAPE_RUN": "2", "TASKTAPE_TASK_SPEC": str(tmp_path / "spec.json")}
    done = run(REMOTE, SEED="1", **agent)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [task.id, 0.25, ["a"], "9"]
    with open_queries(settings) as queries:
        said = [event.type for event in queries.events(task.id) if json.loads(event.body).get("run") == 2]
    assert not {"RunStarted", "RunCompleted", "ConsoleWritten"} & set(said)


@pytest.mark.parametrize(
    ("program", "status", "code"),
    [
        (f"{INIT}", "completed", 0),
        (f"import sys\n{INIT}sys.exit(3)", "failed", 3),
        (f"import os, signal, time\n{INIT}os.kill(os.getpid(), signal.SIGTERM)\ntime.sleep(60)", "stopped", -15),
        (f"import os, signal, time\n{INIT}os.kill(os.getpid(), signal.SIGINT)\ntime.sleep(60)", "stopped", -2),
    ],
    ids=["in order", "exit code", "terminated", "interrupted"],
)
def test_how_a_script_ended_is_on_the_log(run: Run, settings: Settings, program: str, status: str, code: int) -> None:
    done = run(program)
    assert done.returncode == code
    with open_queries(settings) as queries:
        assert only_task(queries).status == status


def test_several_tasks_in_one_process_each_have_their_own(run: Run, settings: Settings) -> None:
    program = """
        import argparse
        import matplotlib.pyplot as plt
        from tasktape import Task
        parser = argparse.ArgumentParser()
        parser.add_argument("--lr", type=float, default=0.1)
        for number in range(2):
            task = Task.init("capture", f"task {number}", reuse_last_task_id=False)
            parser.parse_args(["--lr", str(number)])
            print("from", number)
            plt.figure(number).suptitle(f"figure {number}")
            plt.show()
            plt.close()
            task.close()
        print("after")
    """
    done = run(program)
    assert done.returncode == 0, done.stderr
    with open_queries(settings) as queries:
        for task in queries.tasks():
            number = task.name.removeprefix("task ")
            assert task.status == "completed"
            assert value_of(queries.parameters(task.id)[0]) == float(number)
            assert [line.text for line in queries.console(task.id) if line.stream == "stdout"] == [f"from {number}"]
            assert [plot.title for plot in queries.plots(task.id)] == [f"figure {number}"]


def test_everything_can_be_switched_off(run: Run, settings: Settings) -> None:
    program = """
        import argparse
        from tasktape import Task
        task = Task.init("capture", "off", auto_connect_arg_parser=False, auto_connect_frameworks=False,
                         auto_resource_monitoring=False, auto_connect_streams=False)
        argparse.ArgumentParser().parse_args([])
        parser = argparse.ArgumentParser()
        parser.add_argument("--lr")
        parser.parse_args(["--lr", "1"])
        print("unheard")
    """
    done = run(program)
    assert done.returncode == 0, done.stderr
    with open_queries(settings) as queries:
        task = only_task(queries)
        assert queries.parameters(task.id) == []
        assert queries.console(task.id) == []


def test_nothing_is_imported_that_the_script_does_not_import(run: Run) -> None:
    program = f"""
        import sys
        {INIT.replace(chr(10), chr(10) + " " * 8)}
        task.get_logger().report_scalar("loss", "train", 0.5, 0)
        task.flush(wait_for_uploads=True)
        unwanted = {{"numpy", "matplotlib", "tensorboardX", "joblib", "sklearn", "click", "fire", "hydra",
                    "jsonargparse", "absl", "xgboost", "lightgbm", "catboost", "torch", "pandas", "duckdb", "boto3",
                    "streamlit"}}
        print(sorted(unwanted & set(sys.modules)))
    """
    done = run(program)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr
