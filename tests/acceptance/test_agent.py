"""Agents as real processes, on both logs: run, abort, retry, die, stall, leave. Each fault is seen to have happened."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import Mock

import pytest

from tasktape.cli import exit_codes
from tasktape.events.base import Event, Stamper
from tasktape.events.hardware import Hardware
from tasktape.events.limit_events import LimitSet, PermitClaimed, PermitEvent, PermitReleased
from tasktape.events.log import TopicPartition
from tasktape.events.log.past import past
from tasktape.events.log.port import partition_of
from tasktape.events.parts import Script, TaskSpec
from tasktape.events.queue_events import EntryEnqueued, EntryTaken, QueueCreated, queue_topic
from tasktape.events.settings import Settings
from tasktape.events.task_events import RunFailed, RunLost, RunPreempted, RunStarted, RunStopped, TaskCreated
from tasktape.events.worker_events import WorkerHeartbeat, WorkerStarted, WorkerStopped
from tasktape.producers.outbox import Outbox
from tasktape.projections.limit_fold import LimitFold
from tasktape.tests.kafka.broker import Broker
from tasktape.tests.support.agent_site import AgentSite, agent_site, is_alive

SLEEPER = """
import os, pathlib, time
name = f"{os.environ['TASKTAPE_RUN']}.pid"
pathlib.Path(os.environ["SITE"], name).write_text(str(os.getpid()))
print("running", flush=True)
"""
FOR_EVER = SLEEPER + "time.sleep(600)\n"
UNTIL_TOLD = (
    SLEEPER
    + """
while not pathlib.Path(os.environ["SITE"], "go").exists():
    time.sleep(0.02)
"""
)


@pytest.fixture
def site(log_url: str, home: Path, tmp_path: Path) -> Iterator[AgentSite]:
    with agent_site(log_url, home, tmp_path / "site") as made:
        yield made


@pytest.fixture
def local_site(home: Path, tmp_path: Path) -> Iterator[AgentSite]:
    """A site on the embedded log, for what has nothing to do with the log."""
    with agent_site(f"sqlite://{home}/log.db", home, tmp_path / "site") as made:
        yield made


def pid_of_run(site: AgentSite, run: int) -> int:
    file = site.file(f"{run}.pid")
    site.wait(lambda: file.exists() and file.read_text())
    return int(file.read_text())


def test_an_agent_runs_what_waits_and_says_all_that_happened(site: AgentSite) -> None:
    task = site.put("import sys\nprint('héllo')\nprint('oh', file=sys.stderr)\nprint(__file__)")
    site.agent()
    assert site.wait_for_end(task) == (1, "RunCompleted")
    said = site.console(task)
    assert ("stdout", "héllo") in said
    assert ("stderr", "oh") in said
    (started,) = site.of(task, RunStarted)
    (worker,) = site.events(WorkerStarted)
    (taken,) = site.events(EntryTaken)
    assert started.worker == worker.worker == taken.worker
    assert started.entry == taken.entry
    assert started.machine["host"]
    assert [path.name for path in (site.home / "runs").iterdir()] == []


def test_a_script_with_two_lines_added_is_the_task_the_agent_runs(site: AgentSite) -> None:
    task = site.put(
        "from tasktape import Task\n"
        "task = Task.init('other project', 'other name')\n"
        "task.get_logger().report_single_value('score', 0.5)\n"
        "print('I am', task.id)\n"
    )
    site.agent("--env", "current")
    assert site.wait_for_end(task) == (1, "RunCompleted")
    assert ("stdout", f"I am {task}") in site.console(task)


def test_a_failing_script_fails_with_its_exit_code_and_is_retried_as_often_as_it_says(local_site: AgentSite) -> None:
    task = local_site.put("raise SystemExit(7)", retries=1)
    local_site.agent()
    local_site.wait(lambda: len(local_site.ends(task)) == 2)
    failures = local_site.of(task, RunFailed)
    assert [(failed.run, failed.exit_code, failed.cause) for failed in failures] == [(1, 7, "task"), (2, 7, "task")]
    assert [entry.run for entry in local_site.events(EntryEnqueued)] == [1, 2]


def test_an_agent_that_has_no_run_brings_on_what_a_dead_process_left(
    local_site: AgentSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead = Outbox(Settings(home=local_site.home, log=local_site.url, close_timeout=0.0), Stamper())
    with monkeypatch.context() as patch:
        patch.setattr(Settings, "open_log", Mock(side_effect=OSError("nobody answers")))
        dead.emit(TaskCreated(meta=Stamper()(), task="left", spec=TaskSpec(project="p", name="n")))
        dead.close()
    local_site.agent()
    local_site.wait(lambda: local_site.of("left", TaskCreated))


def test_a_run_whose_preparation_nobody_foresaw_fails_and_its_agent_goes_on(local_site: AgentSite) -> None:
    odd = local_site.put("", script=Script(repository="https://example.invalid/\0", entry_point="main.py"))
    local_site.agent()
    local_site.wait(lambda: local_site.ends(odd))
    failed = local_site.of(odd, RunFailed)[0]
    assert (failed.cause, "null" in failed.message) == ("infrastructure", True)
    task = local_site.put("print('still here')")
    assert local_site.wait_for_end(task) == (1, "RunCompleted")


def test_a_run_leaves_nothing_of_its_checkout_behind(local_site: AgentSite, tmp_path: Path) -> None:
    origin = tmp_path / "origin"
    git(tmp_path, "init", "--quiet", str(origin))
    (origin / "main.py").write_text("import subprocess\nprint(subprocess.check_output(['git', 'status'], text=True))")
    git(origin, "add", "--all")
    git(origin, "-c", "user.name=U", "-c", "user.email=u@example.org", "commit", "--quiet", "--message", "first")
    local_site.agent()
    script = Script(repository=origin.as_uri(), commit=git(origin, "rev-parse", "HEAD"), entry_point="main.py")
    task = local_site.put("", script=script)
    assert local_site.wait_for_end(task) == (1, "RunCompleted")
    assert ("stdout", "nothing to commit, working tree clean") in local_site.console(task)
    (mirror,) = (local_site.home / "mirrors").glob("*.git")
    local_site.wait(lambda: len(git(mirror, "worktree", "list").splitlines()) == 1)
    assert list((local_site.home / "runs").iterdir()) == []


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def test_two_agents_start_one_entry_once(site: AgentSite) -> None:
    site.agent()
    site.agent()
    site.wait(lambda: len({beat.worker for beat in site.events(WorkerHeartbeat)}) == 2)
    tasks = [site.put(SLEEPER + "open(os.environ['SITE'] + f'/{os.getpid()}.ran', 'x')") for _ in range(6)]
    for task in tasks:
        assert site.wait_for_end(task) == (1, "RunCompleted")
        assert len(site.of(task, RunStarted)) == 1
    assert len(list(site.folder.glob("*.ran"))) == len(tasks)


def test_the_run_of_a_killed_agent_is_lost_and_the_other_runs_it_again(site: AgentSite) -> None:
    victim = site.agent()
    task = site.put(UNTIL_TOLD)
    program = pid_of_run(site, 1)
    site.agent()
    victim.kill()
    victim.wait()
    site.wait(lambda: not is_alive(program))
    assert pid_of_run(site, 2) != program
    site.file("go").touch()
    site.wait(lambda: site.ends(task) == [(1, "RunLost"), (2, "RunCompleted")])
    (lost,) = site.of(task, RunLost)
    first, second = site.of(task, RunStarted)
    assert lost.worker == first.worker != second.worker
    site.wait(lambda: first.worker in tombstones(site))


def tombstones(site: AgentSite) -> set[str | None]:
    records = past(site.log, site.log.end_positions(["tasktape.workers"]))
    return {record.key for record in records if record.value is None}


def test_a_stalled_agent_finds_out_that_its_run_was_lost_and_ends_it(site: AgentSite) -> None:
    stalled = site.agent()
    task = site.put(UNTIL_TOLD)
    program = pid_of_run(site, 1)
    site.agent()
    site.wait(lambda: len(site.events(WorkerStarted)) == 2)
    stalled.send_signal(signal.SIGSTOP)
    site.wait(lambda: site.ends(task) == [(1, "RunLost")])
    pid_of_run(site, 2)
    assert is_alive(program), "the program of the stalled agent is to be ended by the agent itself"
    stalled.send_signal(signal.SIGCONT)
    site.wait(lambda: not is_alive(program))
    site.file("go").touch()
    site.wait(lambda: (2, "RunCompleted") in site.ends(task))
    assert len(site.of(task, RunStarted)) == 2


def test_an_abort_ends_the_program_and_all_it_started(site: AgentSite) -> None:
    site.agent()
    task = site.put("import subprocess, sys\n" + FOR_EVER.replace("time.sleep(600)", CHILD))
    program, child = pid_of_run(site, 1), pid_of_run(site, 1000)
    site.abort(task)
    assert site.wait_for_end(task) == (1, "RunStopped")
    (stopped,) = site.of(task, RunStopped)
    assert (stopped.reason, stopped.message) == ("aborted", "enough")
    assert not is_alive(program)
    site.wait(lambda: not is_alive(child))


CHILD = """
code = "import os, time; open(os.environ['SITE'] + '/1000.pid', 'w').write(str(os.getpid())); time.sleep(600)"
subprocess.run([sys.executable, "-c", code])
"""


def test_an_abort_waits_for_the_callback_that_the_program_has_announced(local_site: AgentSite) -> None:
    local_site.agent()
    task = local_site.put(
        SLEEPER + "note = pathlib.Path(os.environ['TASKTAPE_ABORT_NOTE'])\n"
        "note.write_text('60')\n"
        "go = pathlib.Path(os.environ['SITE'], 'go')\n"
        "while not go.exists():\n    time.sleep(0.02)\n"
        "print('cleaned up', flush=True)\n"
        "note.unlink()\n"
        "time.sleep(600)\n"
    )
    program = pid_of_run(local_site, 1)
    local_site.abort(task)
    local_site.wait(lambda: "stopping" in local_site.said())
    assert is_alive(program)
    local_site.file("go").touch()
    assert local_site.wait_for_end(task) == (1, "RunStopped")
    assert ("stdout", "cleaned up") in local_site.console(task)


WITH_SDK = (
    SLEEPER
    + """
from tasktape import Task
task = Task.init("p", "n", auto_connect_frameworks=False)
task.register_abort_callback(lambda: print("said goodbye", flush=True))
pathlib.Path(os.environ["SITE"], f"{os.environ['TASKTAPE_RUN']}.init").touch()
while not pathlib.Path(os.environ["SITE"], "go").exists():
    time.sleep(0.02)
"""
)


def test_an_aborted_script_with_a_task_says_goodbye_and_is_stopped_not_failed(local_site: AgentSite) -> None:
    local_site.agent("--env", "current")
    task = local_site.put(WITH_SDK)
    local_site.wait(lambda: local_site.file("1.init").exists())
    local_site.abort(task)
    local_site.wait(lambda: local_site.ends(task))
    assert local_site.ends(task)[0] == (1, "RunStopped")
    assert ("stdout", "said goodbye") in local_site.console(task)


def test_a_script_with_a_task_that_is_stopped_with_its_agent_runs_again(local_site: AgentSite) -> None:
    agent = local_site.agent("--env", "current")
    task = local_site.put(WITH_SDK)
    local_site.wait(lambda: local_site.file("1.init").exists())
    agent.send_signal(signal.SIGINT)
    agent.send_signal(signal.SIGTERM)
    assert agent.wait(60) == 130
    local_site.file("go").touch()
    local_site.agent("--env", "current")
    local_site.wait(lambda: (2, "RunCompleted") in local_site.ends(task))


def test_a_signal_lets_the_agent_finish_what_runs_and_take_nothing_new(site: AgentSite) -> None:
    agent = site.agent()
    task = site.put(UNTIL_TOLD)
    pid_of_run(site, 1)
    agent.send_signal(signal.SIGTERM)
    site.wait(lambda: site.events(WorkerHeartbeat))
    waiting = site.put("print('never')")
    site.file("go").touch()
    assert agent.wait(30) == 0
    assert site.ends(task) == [(1, "RunCompleted")]
    assert site.of(waiting, RunStarted) == []
    (stopped,) = site.events(WorkerStopped)
    assert stopped.reason == "SIGTERM"
    assert tombstones(site) == {stopped.worker}


def test_a_machine_that_goes_gives_its_run_back_at_once_neither_completed_nor_failed(local_site: AgentSite) -> None:
    agent = local_site.agent("--preemptible")
    task = local_site.put(UNTIL_TOLD)
    pid_of_run(local_site, 1)
    agent.send_signal(signal.SIGTERM)
    assert agent.wait(30) == 0
    assert local_site.ends(task) == [(1, "RunPreempted")]
    local_site.file("go").touch()
    local_site.agent()
    assert local_site.wait_for_end(task) == (2, "RunCompleted")
    assert [entry.losses for entry in local_site.events(EntryEnqueued)] == [0, 0]


def test_a_drained_agent_finishes_what_runs_takes_nothing_new_and_leaves(local_site: AgentSite) -> None:
    agent = local_site.agent()
    task = local_site.put(UNTIL_TOLD)
    pid_of_run(local_site, 1)
    (started,) = local_site.events(WorkerStarted)
    unknown = local_site.command("agent", "drain", "nobody")
    assert (unknown.returncode, started.worker in unknown.stderr) == (exit_codes.NOT_FOUND, False)
    assert local_site.command("agent", "drain", started.worker, "--reason", "new driver").returncode == 0
    local_site.wait(lambda: "new driver" in local_site.said())
    waiting = local_site.put("print('never')")
    local_site.file("go").touch()
    assert agent.wait(30) == 0
    assert local_site.ends(task) == [(1, "RunCompleted")]
    assert local_site.of(waiting, RunStarted) == []
    assert [event.reason for event in local_site.events(WorkerStopped)] == ["new driver"]


def test_a_program_the_kernel_killed_for_want_of_memory_says_so(local_site: AgentSite) -> None:
    root, limit = Path("/sys/fs/cgroup"), "memory.max"
    if (root / "memory").is_dir():
        root, limit = root / "memory", "memory.limit_in_bytes"
    group = root / f"tasktape-test-{os.getpid()}"
    try:
        group.mkdir()
        (group / limit).write_text(str(200 << 20))
    except OSError:
        pytest.skip("no control group of one's own is to be had here")
    source = f"from pathlib import Path\nPath('{group}/cgroup.procs').write_text('0')\nbytearray(1 << 30)"
    task = local_site.put(source)
    local_site.agent("--env", "current")
    try:
        assert local_site.wait_for_end(task) == (1, "RunFailed")
    finally:
        group.rmdir()
    (failed,) = local_site.of(task, RunFailed)
    assert (failed.reason, failed.cause, failed.exit_code) == ("out of memory", "task", -9)


def test_two_signals_stop_now_and_the_run_goes_back_to_its_queue(site: AgentSite) -> None:
    agent = site.agent()
    task = site.put(UNTIL_TOLD)
    program = pid_of_run(site, 1)
    agent.send_signal(signal.SIGINT)
    site.wait(lambda: "told to leave: SIGINT" in site.said())
    agent.send_signal(signal.SIGTERM)
    assert agent.wait(30) == 130
    assert not is_alive(program)
    (preempted,) = site.of(task, RunPreempted)
    assert (preempted.worker, preempted.reason) == (site.events(WorkerStarted)[0].worker, "SIGTERM")
    site.file("go").touch()
    site.agent()
    site.wait(lambda: (2, "RunCompleted") in site.ends(task))
    assert [(entry.run, entry.losses) for entry in site.events(EntryEnqueued)] == [(1, 0), (2, 0)]


@pytest.mark.parametrize(
    ("arguments", "devices"), [(["--services"], ["-", "-"]), (["--gpus", "2,7,9", "--slots", "2"], ["2", "7"])]
)
def test_tasks_run_side_by_side_each_with_devices_of_its_own(
    local_site: AgentSite, monkeypatch: pytest.MonkeyPatch, arguments: list[str], devices: list[str]
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    local_site.agent("--env", "current", *arguments)
    both = (
        "import os, pathlib, time\n"
        "folder = pathlib.Path(os.environ['SITE'])\n"
        "(folder / f\"{os.environ['TASKTAPE_TASK_ID']}.here\").touch()\n"
        "while len(list(folder.glob('*.here'))) < 2:\n    time.sleep(0.02)\n"
        "print('GPU', os.environ.get('CUDA_VISIBLE_DEVICES', '-'))\n"
    )
    tasks = [local_site.put(both), local_site.put(both)]
    for task in tasks:
        assert local_site.wait_for_end(task) == (1, "RunCompleted")
    lines = [text for task in tasks for _, text in local_site.console(task)]
    assert sorted(text.split()[1] for text in lines if text.startswith("GPU")) == devices
    told = [event.machine.get("gpus", "-") for event in local_site.events(RunStarted)]
    assert sorted(told) == devices


IN_A_PLACE = """
import os, pathlib, time
folder = pathlib.Path(os.environ["SITE"])
def place():
    for name in PLACES:
        try:
            return os.open(folder / name, os.O_CREAT | os.O_EXCL) and folder / name
        except FileExistsError:
            pass
    raise SystemExit("more run at once than there are places")
mine = place()
while not (folder / PLACES[0]).with_suffix(".full").exists():
    if all((folder / name).exists() for name in PLACES):
        (folder / PLACES[0]).with_suffix(".full").touch()
    time.sleep(0.02)
mine.unlink()
"""


def test_limits_hold_whichever_agents_run_the_tasks(site: AgentSite) -> None:
    """Each task takes a place of its own while it runs, and fails where there is none; all are seen to be taken."""
    site.limit("queue:default", 1)
    site.limit("tag:pair", 2)
    for _ in range(3):
        site.agent("--env", "current", "--slots", "2", "--queue", "open")
    site.wait(lambda: site.said().count("serves") == 3)
    alone = [site.put("PLACES = ['alone']" + IN_A_PLACE) for _ in range(3)]
    pairs = [site.put("PLACES = ['one', 'two']" + IN_A_PLACE, queue="open", tags=["pair"]) for _ in range(4)]
    for task in [*alone, *pairs]:
        assert site.wait_for_end(task) == (1, "RunCompleted"), site.console(task)
    site.wait(lambda: len(site.events(PermitReleased)) == len(site.events(PermitClaimed)) - refused(site))


def test_tasks_run_where_there_is_what_they_need_and_beside_others_only_where_it_is_enough(site: AgentSite) -> None:
    site.agent("--env", "current", "--slots", "2", "--memory-gb", "4")
    heavy = site.put("pass", hardware=Hardware(memory_gb=16.0))
    alone = "PLACES = ['alone']" + IN_A_PLACE
    for task in [site.put(alone, hardware=Hardware(memory_gb=3.0)) for _ in range(2)]:
        assert site.wait_for_end(task) == (1, "RunCompleted"), site.console(task)
    assert not site.of(heavy, RunStarted), "what is behind it went first"
    site.agent("--env", "current", "--memory-gb", "16", "--gpus", "5,7")
    assert site.wait_for_end(heavy) == (1, "RunCompleted")
    both = site.put("import os; print('GPU', os.environ['CUDA_VISIBLE_DEVICES'])", hardware=Hardware(gpus=2))
    assert site.wait_for_end(both) == (1, "RunCompleted")
    assert ("stdout", "GPU 5,7") in site.console(both)


def refused(site: AgentSite) -> int:
    """How many permits the log did not grant."""
    fold, refusals = LimitFold(), 0
    for event in site.events(Event, "tasktape.queues"):
        if isinstance(event, LimitSet | PermitEvent):
            refusals += not fold.apply(event, 0).accepted
    return refusals


def test_a_waiting_agent_commits_what_is_done_so_that_lag_is_seen_from_outside(site: AgentSite) -> None:
    site.agent()
    task = site.put("pass")
    site.wait_for_end(task)
    topic = queue_topic("default")
    ends = site.log.end_positions([topic])
    place = TopicPartition(topic, partition_of(task, len(ends)))
    site.wait(lambda: site.log.committed("tasktape.agent.default").get(place) == ends[place])


def test_an_unknown_queue_is_created_and_the_agent_says_so_to_machines(local_site: AgentSite) -> None:
    agent = local_site.agent("--queue", "neu & schön/ünd", "--log-format", "json")
    local_site.wait(lambda: "ready" in local_site.said())
    agent.send_signal(signal.SIGTERM)
    assert agent.wait(30) == 0
    lines = [json.loads(line) for line in local_site.said().splitlines()]
    assert all(line["action"] and line["message"] and line["time"] for line in lines)
    created = [line["queue"] for line in lines if line["action"] == "create_queue"]
    assert created == ["neu & schön/ünd"]
    assert [event.queue for event in local_site.events(QueueCreated)] == ["default", "neu & schön/ünd"]


def test_the_environment_of_a_task_has_no_leftovers_of_the_agent_s(local_site: AgentSite) -> None:
    task = local_site.put("import os, sys\nprint(sys.prefix)\nprint(os.environ['VIRTUAL_ENV'])")
    local_site.agent()
    local_site.wait_for_end(task)
    prefix, variable = [text for stream, text in local_site.console(task) if stream == "stdout"]
    assert prefix == variable != os.environ.get("VIRTUAL_ENV")
    assert prefix.startswith(str(local_site.home))


@pytest.mark.kafka
def test_a_broker_that_restarts_while_a_task_runs_costs_the_run_nothing(
    broker: Broker, home: Path, tmp_path: Path
) -> None:
    with agent_site(broker.url, home, tmp_path / "site") as site:
        site.interval = 20.0
        site.agent()
        task = site.put(UNTIL_TOLD + "print('after')")
        pid_of_run(site, 1)
        broker.kill()
        assert not broker.alive
        site.file("go").touch()
        broker.start()
        assert site.wait_for_end(task) == (1, "RunCompleted")
        assert ("stdout", "after") in site.console(task)
        assert len(site.of(task, RunStarted)) == 1


@pytest.mark.kafka
def test_an_agent_that_starts_while_its_broker_is_away_waits_for_it(broker: Broker, home: Path, tmp_path: Path) -> None:
    with agent_site(broker.url, home, tmp_path / "site") as site:
        broker.kill()
        agent = site.agent()
        site.wait(lambda: "asking again" in site.said())
        broker.start()
        assert site.wait_for_end(site.put("print(1)")) == (1, "RunCompleted")
        assert agent.poll() is None
