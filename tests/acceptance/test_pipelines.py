"""Pipelines run by real agents, on both logs: steps in order, callbacks once, and whatever dies is gone on from.

Steps and callbacks write a line each into a file of the test's own, `notes`: what happens twice is seen.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasktape import PipelineController, Task
from tasktape.producers.session import change_session
from tasktape.tests.conftest import empty
from tasktape.tests.support.agent_site import AgentSite, agent_site
from tasktape.tests.support.controller_world import ControllerWorld

QUEUES = ("default", "services")
AGENT = ("--services", "--env", "current")
STEP = """
note({name!r}, os.environ["TASKTAPE_RUN"])
"""
CONTROLLER = """
from tasktape import PipelineController
ids = {ids!r}
(folder / "pid").write_text(str(os.getpid()))
pipe = PipelineController("nightly", "p")
pipe.set_default_execution_queue("default")
"""
DECORATED = """
from tasktape import PipelineDecorator, Task
(folder / "pid").write_text(str(os.getpid()))
"""


class World(ControllerWorld):
    """A site with what the scripts of one test share."""

    def base(self, name: str, body: str = "") -> str:
        """Make a task for a step to copy: it notes its name and run, and then does what `body` says."""
        return self.site.create(self.head + STEP.format(name=name) + body)

    def controller(self, body: str, **bases: str) -> str:
        """The script of a pipeline; `ids` are those of a task for each body in `bases`."""
        ids = {name: self.base(name, base) for name, base in bases.items()}
        return self.head + CONTROLLER.format(ids=ids) + body

    def put(self, script: str) -> str:
        """Put a controller into the queue `services`; return its task's id."""
        return self.site.put(script, queue="services", task_type="controller", system_tags=["pipeline"])

    def pipeline(self, body: str, **bases: str) -> str:
        """Put a pipeline whose steps copy tasks into the queue `services`."""
        return self.put(self.controller(body, **bases))

    def run(self, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a script as a person does, in a terminal of its own."""
        file = self.folder / "script.py"
        file.write_text(script)
        command = [sys.executable, str(file), *arguments]
        return subprocess.run(
            command,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
            start_new_session=True,
        )


@pytest.fixture(scope="module", params=["sqlite", pytest.param("kafka", marks=pytest.mark.kafka)])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentSite]:
    """A log with an agent that runs controllers and steps."""
    folder = tmp_path_factory.mktemp("pipelines")
    url = f"sqlite://{folder}/home/log.db"
    if request.param == "kafka":
        url = str(request.getfixturevalue("kafka_url"))
        if not os.environ.get("TASKTAPE_TEST_KAFKA"):
            empty(url.removeprefix("kafka://"))
    with agent_site(url, folder / "home", folder / "site", QUEUES) as made:
        made.agent(*AGENT)
        yield made


@pytest.fixture
def world(site: AgentSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """The site, also for this process's own calls."""
    for name, value in site.settings.items():
        monkeypatch.setenv(name, value)
    change_session(None)
    return World(site, tmp_path / "world")


def test_steps_run_behind_what_they_refer_to_and_get_its_values(world: World) -> None:
    controller = world.pipeline(
        """
pipe.add_parameter("count", 3, "rows", "int")
pipe.add_step("a", ids["a"], parameter_override={"General/n": "${pipeline.count}"})
pipe.add_step(
    "b",
    ids["b"],
    parameter_override={
        "General/size": "${a.artifacts.facts.size}",
        "General/text": "n=${a.parameters.General/n} of ${pipeline.count}",
        "General/model": "${a.models.output.-1.name}",
        "General/task": "${a.id}",
    },
    configuration_overrides={"model": "layers"},
    task_overrides={"comment": "second"},
    execution_queue="services",
)
pipe.start()
note("successful", pipe.is_successful(), [node.status for node in pipe.get_processed_nodes()])
""",
        a="""
from tasktape import OutputModel, Task
task = Task.init()
note(task.connect({"n": 1}))
task.upload_artifact("facts", {"rows": 7})
(folder / "weights").write_text("w")
OutputModel(task, name="net").update_weights(str(folder / "weights"), auto_delete_file=False)
""",
        b="""
from tasktape import Task
task = Task.init()
held = task.get_parameters(cast=True)
del held["General/task"]
note(held, task.get_configuration_object("model"), task.comment)
""",
    )
    assert world.end(controller) == "RunCompleted"
    assert world.notes == [
        "a 1",
        "{'n': 3}",
        "b 1",
        "{'General/size': 17, 'General/text': 'n=3 of 3', 'General/model': 'net'} layers second",
        "successful True ['completed', 'completed']",
    ]


def test_callbacks_skip_and_retry_and_failures_end_only_their_branch(world: World) -> None:
    controller = world.pipeline(
        """
def before(pipe, node, parameters):
    note("pre", node.name, parameters)
    parameters["General/x"] = 2
    return node.name != "skipped"
def after(pipe, node):
    note("post", node.name, node.status)
def changed(pipe, node, before):
    note("status", before, node.status)
def again(pipe, node, retries):
    note("retry", node.name, retries)
    return retries < 1
pipe.add_step("a", ids["a"], pre_execute_callback=before, post_execute_callback=after, status_change_callback=changed)
pipe.add_step("skipped", ids["a"], parents=["a"], pre_execute_callback=before, post_execute_callback=after)
pipe.add_step("below", ids["a"], parents=["skipped"], pre_execute_callback=before)
pipe.add_step("fails", ids["fails"], parents=["a"], retry_on_failure=again, post_execute_callback=after)
pipe.add_step("behind", ids["a"], parents=["fails"])
pipe.add_step("spare", ids["fails"], parents=["a"], continue_behaviour={"skip_children_on_fail": False})
pipe.add_step("last", ids["last"], parents=["spare"])
pipe.start()
""",
        a="",
        fails="raise SystemExit(7)",
        last="",
    )
    assert world.end(controller) == "RunFailed"
    assert "step 'fails' failed (task " in world.reason(controller)
    assert "exit code 7" in world.reason(controller)
    assert "spare" not in world.reason(controller)
    rest = world.notes
    assert rest[0] == "pre a {}"
    assert rest.count("a 1") == 1
    assert {line for line in rest if line.startswith(("pre", "post", "retry"))} == {
        "pre a {}",
        "post a completed",
        "pre skipped {}",
        "retry fails 0",
        "retry fails 1",
        "post fails failed",
    }
    assert [line for line in rest if line.startswith("status")] == [
        "status pending queued",
        "status queued running",
        "status running completed",
    ]
    assert sorted(line for line in rest if line.startswith(("fails", "last"))) == [
        *("fails 1", "fails 1", "fails 2", "last 1"),
    ]
    ended = {"a": "completed", "spare": "failed", "last": "completed", "fails": "failed"}
    states = {node.name: node.status for node in PipelineController.get(controller).get_pipeline_dag().values()}
    assert states == ended | dict.fromkeys(["skipped", "below", "behind"], "skipped")


def test_a_controller_that_is_killed_goes_on_and_nothing_is_done_twice(world: World) -> None:
    controller = world.pipeline(
        """
def before(pipe, node, parameters):
    note("pre", node.name)
def after(pipe, node):
    note("post", node.name)
    if node.name == "b" and is_first("died"):
        os.kill(os.getpid(), 9)
for name, parent in (("a", None), ("b", "a"), ("c", "b")):
    pipe.add_step(
        name,
        ids[name],
        parents=[parent] if parent else [],
        parameter_override={"General/from": f"${{{parent}.id}}"} if parent else {},
        pre_execute_callback=before,
        post_execute_callback=after,
    )
pipe.start()
""",
        **dict.fromkeys("abc", ""),
    )
    assert world.end(controller, 2) == "RunCompleted"
    assert world.notes == [
        *("pre a", "a 1", "post a"),
        *("pre b", "b 1", "post b", "post b"),  # the call that was interrupted is made once more
        *("pre c", "c 1", "post c"),
    ]


def test_a_failed_pipeline_that_is_enqueued_again_runs_what_failed_and_what_depends_on_it(world: World) -> None:
    controller = world.pipeline(
        """
pipe.add_step("a", ids["a"])
pipe.add_step("b", ids["b"], parents=["a"])
pipe.add_step("c", ids["c"], parameter_override={"General/from": "${b.id}"})
pipe.add_step("d", ids["d"], parents=["a"])
pipe.start()
""",
        a="",
        b="wait_for('fail')\nraise SystemExit(not (folder / 'mended').exists())",
        c="",
        d="(folder / 'fail').touch()",
    )
    assert world.end(controller) == "RunFailed"
    world.let("mended")
    assert world.site.command("tasks", "enqueue", controller, "--queue", "services").returncode == 0
    assert world.end(controller, 2) == "RunCompleted"
    assert sorted(world.notes) == ["a 1", "b 1", "b 1", "c 1", "d 1"]
    assert PipelineController.get(controller).is_successful()


@pytest.mark.parametrize("how", ["abort", "limit", "stop"])
def test_a_pipeline_that_is_to_end_aborts_its_steps_and_starts_no_more(world: World, how: str) -> None:
    controller = world.pipeline(
        f"""
import threading
pipe.add_step("a", ids["a"])
pipe.add_step("b", ids["a"], parents=["a"])
if {how == "limit"}:
    pipe.set_pipeline_execution_time_limit(0.01)
if {how == "stop"}:
    threading.Thread(target=lambda: (wait_for("stop"), pipe.stop(mark_failed=True))).start()
pipe.start()
""",
        a="wait_for('never')",
    )
    if how != "limit":
        world.wait_for("a 1")
    world.let("stop")
    if how == "abort":
        assert world.site.command("tasks", "abort", controller).returncode == 0
    assert world.end(controller) == ("RunStopped" if how == "abort" else "RunFailed")
    step = PipelineController.get(controller).get_pipeline_dag()["a"]
    assert step.job is not None
    assert world.site.wait_for_end(step.job.task_id()) == (1, "RunStopped")
    assert [node.status for node in PipelineController.get(controller).get_pipeline_dag().values()] == [
        "aborted",
        "skipped",
    ]


def test_a_pipeline_goes_from_its_script_to_the_queue_and_clones_run_with_other_parameters(world: World) -> None:
    script = """
from tasktape import PipelineController
def shout(text, times: int = 1):
    return text.upper() * times
def tell(text):
    note(text)
if __name__ == "__main__":
    pipe = PipelineController("words", "p", version="1.2.0")
    pipe.add_parameter("text", "hello")
    pipe.add_parameter("times", 2)
    pipe.set_default_execution_queue("default")
    pipe.add_function_step("shout", shout, {"text": "${pipeline.text}", "times": "${pipeline.times}"}, ["text"])
    pipe.add_function_step("tell", tell, {"text": "${shout.text}"}, helper_functions=[note])
    pipe.start()
    note("after start")
"""
    done = world.run(world.head + script)
    assert done.returncode == 0, done.stderr
    first = PipelineController.get(pipeline_project="p", pipeline_name="words").id
    assert world.end(first, 2) == "RunCompleted"
    copy = PipelineController.clone(first, name="words again")
    copy.task.set_parameter("Args/text", "bye")
    PipelineController.enqueue(copy)
    assert world.end(copy.id) == "RunCompleted"
    assert world.notes == ["HELLOHELLO", "after start", "BYEBYE", "after start"]


def test_decorated_pipelines_run_at_agents_and_go_on_when_they_are_killed(world: World) -> None:
    script = """
@PipelineDecorator.component(return_values=["numbers"], helper_functions=[note])
def load(count):
    note("load")
    return list(range(count))
@PipelineDecorator.component(return_values=["total"], helper_functions=[note, wait_for])
def add(numbers, scale=1):
    note("add", scale)
    wait_for("go")
    return sum(numbers) * scale
@PipelineDecorator.pipeline(name="decorated", project="p", return_value="best")
def choose(count=4):
    numbers = load(count)
    totals = [add(numbers, scale) for scale in (1, 2)]
    best = max(totals)
    note("best", best)
    return best
if __name__ == "__main__":
    choose(count=5)
    note("over")
"""
    controller = world.put(world.head + DECORATED + script)
    world.wait_for("load", "add 1", "add 2")
    world.kill_controller(controller)
    world.let("go")
    assert world.end(controller, 2) == "RunCompleted"
    assert sorted(world.notes) == ["add 1", "add 2", "best 20", "load", "over"]
    assert Task.get_task(controller).artifacts["best"].get() == 20


def test_a_dead_agent_takes_nothing_with_it(world: World) -> None:
    *_, dies = world.site.agents
    controller = world.pipeline(
        """
pipe.add_step("a", ids["a"])
pipe.add_step("b", ids["b"], parents=["a"])
pipe.add_step("c", ids["c"], parents=["b"])
pipe.start()
""",
        a="",
        b="wait_for('go')",
        c="",
    )
    world.wait_for("b 1")
    world.site.agent(*AGENT)
    dies.kill()
    world.wait_for("b 2")
    world.let("go")
    assert world.end(controller, 2) == "RunCompleted"
    assert world.notes == ["a 1", "b 1", "b 2", "c 1"]


def test_a_wrong_pipeline_is_refused_before_anything_runs(world: World) -> None:
    cases = """
import contextlib
def attempt(*steps, **options):
    pipe = PipelineController("wrong", "p")
    try:
        if options.get("queue") != "":
            pipe.set_default_execution_queue(options.get("queue", "default"))
        for name, about in steps:
            pipe.add_step(name, **{"base_task_id": ids["a"], **about})
        pipe.start_locally()
    except ValueError as error:
        note(error)
attempt(("a", {"parents": ["b"]}), ("b", {"parents": ["a"]}))
attempt(("a", {"parents": ["ghost"]}))
attempt(("a", {"parameter_override": {"General/x": "${ghost.id}"}}))
attempt(("a", {"parameter_override": {"General/x": "${pipeline.g}"}}))
attempt(("a", {}), ("a", {}))
attempt(("a", {"base_task_id": "ghost"}))
attempt(("a", {"base_task_id": None, "base_task_project": "p", "base_task_name": "ghost"}))
attempt(("a", {}), queue="ghost")
attempt(("a", {}), queue="")
"""
    done = world.run(world.controller(cases, a=""))
    assert done.returncode == 0, done.stderr
    assert world.notes == [
        "the steps wait for each other: b → a → b. Take one of these parents away.",
        "step 'a': its parent 'ghost' is no step of this pipeline.",
        "step 'a': ${ghost.id} can't be resolved: there is no step 'ghost'.",
        "step 'a': ${pipeline.g} can't be resolved: the pipeline has no parameter 'g'; add it with add_parameter.",
        "step 'a': there is a step of this name already: give this one another.",
        "step 'a': there is no task 'ghost' on this log: check the id, and whether TASKTAPE_LOG names the right log.",
        "step 'a': there is no task 'ghost' in project 'p'.",
        "step 'a': there is no queue 'ghost': `tasktape queues create ghost`.",
        "step 'a': it has no queue: give it one, or call set_default_execution_queue.",
    ]


def test_a_person_at_a_terminal_sees_what_steps_do_and_may_interrupt(world: World) -> None:
    script = """
import signal
from tasktape import PipelineController
def load():
    print("loading")
    return 1
def fail():
    raise ValueError("no data")
def endless():
    wait_for("failed")
    os.killpg(os.getpgid(os.getppid()), signal.SIGINT)  # as Ctrl-C does
    wait_for("never")
def failed(pipe, node):
    (folder / "failed").touch()
if __name__ == "__main__":
    pipe = PipelineController("local", "p")
    pipe.add_function_step("load", load, function_return=["n"])
    pipe.add_function_step("fail", fail, parents=["load"], post_execute_callback=failed)
    pipe.add_function_step("endless", endless, parents=["load"], helper_functions=[wait_for])
    pipe.add_function_step("below", load, parents=["endless"])
    pipe.start_locally(run_pipeline_steps_locally=True)
"""
    done = world.run(world.head + script)
    assert done.returncode == -signal.SIGINT
    assert done.stdout == "loading\n"
    said = re.sub(r"(task) [0-9a-f]{32}|[0-9.]+ (s)\b", lambda found: found[1] or found[2], done.stderr)
    assert sorted(line for line in said.splitlines() if line.startswith("tasktape: step")) == [
        "tasktape: step 'below' is skipped: the pipeline was stopped",
        "tasktape: step 'endless' starts: task",
        "tasktape: step 'endless' was aborted (task, s): interrupted",
        "tasktape: step 'fail' failed (task, s): ValueError: no data",
        "tasktape: step 'fail' starts: task",
        "tasktape: step 'load' completed (task, s)",
        "tasktape: step 'load' starts: task",
    ]
    assert "tasktape: the pipeline stops: interrupted" in said
    assert said.count("KeyboardInterrupt") == 2  # the step's and the pipeline's
    assert PipelineController.get(pipeline_project="p", pipeline_name="local").task.get_status() == "stopped"
