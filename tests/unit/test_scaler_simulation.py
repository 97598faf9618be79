"""`tasktape scaler simulate`: stories small enough to tell by hand, traces, and what the command prints."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from tasktape.cli.main import app
from tasktape.events.queue_events import entry_id
from tasktape.events.task_events import RunCompleted
from tasktape.producers.session import change_session
from tasktape.scaler.outcome import Outcome
from tasktape.scaler.settings import ScalerSettings
from tasktape.scaler.simulation import LAUNCH_CALL, LOOK_AGAIN, PACE, QUIET_PACE, SHUTDOWN, Hardware, Simulation
from tasktape.scaler.traces import Trace, TraceError, generated, read_trace, trace_of
from tasktape.tests.support.histories import History
from tasktape.tests.support.scaling import scaler_of

BOOT = 100.0
UP = PACE + LAUNCH_CALL + BOOT
"""From the first task's arrival, when the policy has just been asked, to a machine that takes it."""


def told(*tasks: tuple[float, float], queue: str = "q") -> Trace:
    """A trace of arrivals and durations."""
    return trace_of([at for at, _ in tasks], [queue] * len(tasks), [seconds for _, seconds in tasks])


def outcome(trace: Trace, settings: ScalerSettings | None = None, **hardware: Any) -> Outcome:
    return Simulation(settings or scaler_of(), trace, Hardware(boot=(BOOT, BOOT), **hardware)).run()


# Stories.


def test_a_task_waits_until_a_machine_has_come_for_it() -> None:
    found = outcome(told((0.0, 600.0)))
    assert found.waits["q"].tasks == 1
    assert found.waits["q"].longest == pytest.approx(UP)
    assert found.machine_hours == pytest.approx((UP - PACE + 600.0) / 3600.0)
    assert found.utilisation == pytest.approx(600.0 / (UP - PACE + 600.0))


def test_tasks_share_what_a_maximum_allows() -> None:
    found = outcome(told((0.0, 600.0), (0.0, 600.0)), scaler_of({"q": [("m", 1)]}))
    assert (found.machines_max, found.launches) == (1, {"m": 1})
    assert found.waits["q"].longest == pytest.approx(UP + 600.0)


def test_a_machine_with_slots_takes_as_many_tasks_at_once() -> None:
    found = outcome(told(*[(0.0, 600.0)] * 4), scaler_of(resources={"m": {"slots": 4}}))
    assert found.machines_max == 1
    assert found.waits["q"].longest == pytest.approx(UP)


def test_an_idle_machine_goes_after_its_time_and_is_paid_until_it_is_gone() -> None:
    settings = scaler_of(resources={"m": {"hourly_cost": 36.0}}, max_idle_time_min=10)
    found = outcome(told((0.0, 600.0), (86400.0, 0.0)), settings)
    assert found.launches == {"m": 2}
    second = LAUNCH_CALL + BOOT
    first = LAUNCH_CALL + BOOT + 600.0 + 600.0 + QUIET_PACE + SHUTDOWN
    assert found.cost == pytest.approx((first + second) / 100.0, abs=0.02)


def test_a_warm_machine_takes_a_task_at_once() -> None:
    found = outcome(told((0.0, 1.0), (3600.0, 60.0)), scaler_of(resources={"m": {"minimum": 2}}))
    assert found.machines_max == 2
    assert found.waits["q"].p50 == pytest.approx(UP / 2, abs=2)


def test_a_task_whose_machine_is_taken_away_begins_again_elsewhere() -> None:
    spot = scaler_of(resources={"m": {"is_spot": True}})
    found = outcome(told(*[(0.0, 3600.0)] * 5), spot, interruptions=0.5, seed=1)
    assert (found.unserved, found.waits["q"].tasks) == (0, 5)
    assert found.interrupted > 0
    assert found.launches["m"] > 5


def test_tasks_that_no_machine_may_come_for_are_told_of() -> None:
    found = outcome(told((0.0, 60.0)), scaler_of({"q": [("m", 0)]}))
    assert (found.unserved, found.machine_hours) == (1, 0.0)


def test_a_queue_that_nobody_serves_is_refused() -> None:
    with pytest.raises(TraceError, match="serves no queue other"):
        outcome(told((0.0, 1.0), queue="other"))


def test_the_same_seed_tells_the_same_story() -> None:
    trace = generated("poisson(12, 24)", ["q"], 10.0, seed=3)
    assert trace is not None
    first, again, other = (Simulation(scaler_of(), trace, Hardware(seed=seed)).run() for seed in (1, 1, 2))
    assert (first.waits, first.machine_hours) == (again.waits, again.machine_hours)
    assert first.machine_hours != other.machine_hours


@pytest.mark.parametrize(
    "limits",
    [
        {},
        {"cooldown_s": 90.0},
        {"budget": {"instances": 4}},
        {"budget": {"instance_hours": 12.0, "period_hours": 4.0}},
    ],
)
def test_asking_the_policy_where_it_matters_comes_to_what_asking_it_every_second_does(
    limits: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    trace = generated("bursts(12, 50, 2)", ["a", "b"], 8.0, seed=5)
    assert trace is not None
    settings = scaler_of({"a": [("m", 6), ("n", 3)], "b": [("n", 6)]}, {"m": {"slots": 2}}, **limits)
    seldom = outcome(trace, settings)
    monkeypatch.setattr(Simulation, "_dues", lambda self: iter([self._now + PACE]))
    always = outcome(trace, settings)
    assert always.decisions > 10 * seldom.decisions
    means = [np.concatenate([*each.waited.values()]).mean() for each in (seldom, always)]
    assert means[0] == pytest.approx(means[1], rel=0.1, abs=LOOK_AGAIN)
    assert seldom.machine_hours == pytest.approx(always.machine_hours, rel=0.1)


@pytest.mark.parametrize(
    ("text", "settings", "most"),
    [
        ("poisson(2000, 10)", scaler_of({"q": [("m", 500)]}), 0.1),
        ("poisson(2000, 10)", scaler_of({"q": [("m", 50)]}), 0.3),
        ("bursts(100, 60, 20)", scaler_of({"q": [("m", 100)]}), 2),
        ("poisson(2, 1000)", scaler_of(max_idle_time_min=1), 4),
        ("poisson(2, 1000)", scaler_of(max_idle_time_min=1, cooldown_s=600.0), 6),
    ],
)
def test_however_tasks_come_the_policy_is_asked_a_few_times_for_each_at_most(
    text: str, settings: ScalerSettings, most: float
) -> None:
    """A busy scaler's policy is asked far less often than tasks come, and one whose machines come and go for each."""
    trace = generated(text, ["q"], 5.0, seed=0)
    assert trace is not None
    assert outcome(trace, settings).decisions < most * len(trace)


def test_what_held_tasks_back_is_told_with_for_how_long_and_short_peaks_show() -> None:
    trace = told(*[(0.0, 3600.0)] * 3, (900000.0, 1.0))
    found = outcome(trace, scaler_of({"q": [("m", 1)]}))
    assert list(found.held_back["q"]) == ["m: its maximum of 1"]
    assert found.held_back["q"]["m: its maximum of 1"] == pytest.approx(2.0, rel=0.05)
    assert (found.curves.waiting.max(), found.curves.busy.max(), found.curves.slots.max()) == (3, 1, 1)
    assert found.curves.waiting[-2] == 0


# Traces.


def test_generators_make_what_they_say() -> None:
    poisson, daily, bursts = (
        generated(text, ["a", "b"], 10.0, seed=1) for text in ("poisson(100, 50)", "daily(100, 48)", "bursts(7, 60, 5)")
    )
    assert poisson is not None
    assert daily is not None
    assert bursts is not None
    assert len(poisson) == pytest.approx(5000, rel=0.1)
    assert poisson.seconds.mean() == pytest.approx(600, rel=0.2)
    assert set(np.bincount(poisson.queue) > 2000) == {True}
    hours = np.bincount((daily.arrivals // 3600).astype(int) % 24, minlength=24)
    assert hours[10:14].sum() > 4 * (hours[:2].sum() + hours[22:].sum())
    assert len(bursts) == 35
    assert (np.diff(bursts.arrivals) > 3000).sum() == 4


@pytest.mark.parametrize("text", ["sinus(1, 2)", "poisson(1)", "poisson(a, b)", "poisson(-1, 2)"])
def test_a_generator_that_there_is_not_is_told_of(text: str) -> None:
    with pytest.raises(TraceError):
        generated(text, ["q"], 10.0, seed=0)


def test_a_trace_is_read_from_any_file_in_any_order(tmp_path: Path) -> None:
    columns: dict[str, list[Any]] = {"arrival": [30.0, 10.0], "queue": ["b", "a"], "duration": [3, 1]}
    pq.write_table(pa.table(columns), tmp_path / "trace.parquet")
    (tmp_path / "trace.csv").write_text("arrival,queue,duration\n30,b,3\n10,a,1\n")
    lines = [json.dumps({name: values[row] for name, values in columns.items()}) for row in range(2)]
    (tmp_path / "trace.jsonl").write_text("\n".join(lines))
    for name in ("trace.parquet", "trace.csv", "trace.jsonl"):
        trace = read_trace(tmp_path / name)
        assert (trace.arrivals.tolist(), trace.queue.tolist(), trace.seconds.tolist()) == ([0, 20], [0, 1], [1, 3])
        assert list(trace.queues) == ["a", "b"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "arrival,queue\n1,q\n",
        "arrival,queue,duration\n",
        "arrival,queue,duration\nx,q,1\n",
        "arrival,queue,duration\n1,q,-1\n",
    ],
)
def test_what_is_no_trace_is_told_of(tmp_path: Path, text: str) -> None:
    file = tmp_path / "trace.csv"
    file.write_text(text)
    with pytest.raises(TraceError):
        read_trace(file)


# The command.


@pytest.fixture
def configs(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("TASKTAPE_HOME", str(home))
    home.mkdir(parents=True, exist_ok=True)
    change_session(None)
    files = [home / f"{most}.toml" for most in (1, 9)]
    for file, most in zip(files, (1, 9), strict=True):
        shares = f'[queues]\ngpu = [["g", {most}]]\n[resources.g]\nhourly_cost = 2.0\n'
        file.write_text(f'provider = "local"\n{shares}')
    yield [str(file) for file in files]
    change_session(None)


def simulate(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["scaler", "simulate", *arguments])


def test_two_policies_are_compared_side_by_side(configs: list[str], tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    asked = [part for config in configs for part in ("--config", config)]
    result = simulate("poisson(20, 12)", "--boot", "60", "--html", str(page), *asked)
    assert result.exit_code == 0, result.output
    lines = {line.split("  ")[0]: line.split()[-2:] for line in result.output.splitlines()}
    assert lines["machines, most"][0] == "1"
    assert int(lines["machines, most"][1]) > 1
    assert "gpu: waiting, p99" in lines
    written = page.read_text()
    assert all(name in written for name in ("Slots at work, of those there are", "1: machines", "9: gpu"))
    assert any(line.startswith("gpu: held back by g: its maximum of 1 ") for line in result.output.splitlines())


def test_json_has_the_figures(configs: list[str]) -> None:
    result = simulate("bursts(3, 60, 2)", "--config", configs[1], "--json")
    (found,) = json.loads(result.stdout)
    assert (found["waits"]["gpu"]["tasks"], found["machines_max"], found["launches"]["g"] >= 3) == (6, 3, True)
    assert found["cost"] == pytest.approx(2.0 * found["machine_hours"])


def test_what_a_log_has_recorded_of_the_queues_of_these_settings_is_a_trace(configs: list[str], home: Path) -> None:
    history = History(home)
    for queue in ("other", "gpu"):
        history.queue(queue)
        for name in "abc":
            task = history.task(f"{queue} {name}")
            history.enqueue(task, queue)
            history.start(task, worker="w", entry=entry_id(queue, task, 1))
            history.say(RunCompleted(meta=history.stamp(), task=task, run=1))
            history.settle()
    history.close()
    result = simulate("--from-log", "--config", configs[1], "--json")
    (found,) = json.loads(result.stdout)
    assert {queue: waits["tasks"] for queue, waits in found["waits"].items()} == {"gpu": 3}
    assert "3 tasks came into other queues" in result.stderr
    (newest,) = json.loads(simulate("--from-log", "--days", "0", "--config", configs[1], "--json").stdout)
    assert newest["waits"]["gpu"]["tasks"] == 1


def test_a_log_without_a_task_is_no_trace(configs: list[str]) -> None:
    result = simulate("--from-log", "--config", configs[1])
    assert result.exit_code == 1
    assert "no task that came into a queue" in result.stderr


@pytest.mark.parametrize("arguments", [[], ["poisson(1, 1)", "--boot", "soon"], ["nowhere.csv"]])
def test_what_can_not_be_simulated_is_told_of(configs: list[str], arguments: list[str]) -> None:
    result = simulate(*arguments, "--config", configs[0])
    assert result.exit_code != 0
    assert "Traceback" not in result.output
