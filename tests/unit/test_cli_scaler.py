"""Commands about scalers: what one would do and why, who leads and with which machines, and the settings it reads."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tasktape.cli import exit_codes, scaler_init
from tasktape.cli.main import app
from tasktape.cli.scaler_file import Choices, Kind, render
from tasktape.events import instance_events as machine_events
from tasktape.events.instance_events import InstanceEvent
from tasktape.events.worker_events import WorkerHeartbeat, WorkerStarted
from tasktape.producers.session import change_session
from tasktape.scaler.config import read_config
from tasktape.tests.support.histories import History

CONFIG = """
name = "lab"
provider = "local"
max_idle_time_min = 0.0001
queues.train = [["box", 2]]
queues.test = [["box", 1]]
[resources.box]
hourly_cost = 1.5
"""
KIND: dict[str, Any] = {"provider": "local", "resource": "box", "queues": ["train", "test"]}


class Told:
    """A scaler that leads, with the machines and queues that a test has."""

    def __init__(self, history: History, config: Path) -> None:
        self.history = history
        self.config = config
        config.write_text(CONFIG)
        history.say(machine_events.ScalerLeads(meta=history.stamp(), scaler="lab"))

    def machine(self, kind: type[InstanceEvent], instance: str = "i1", /, **fields: Any) -> None:
        about = {"meta": self.history.stamp(), "scaler": "lab", "instance": instance}
        self.history.say(kind.model_validate(about | fields))

    def request(self, instance: str = "i1") -> None:
        placement = {"zone": "here", "spot": True, "hourly_cost": 1.5}
        self.machine(machine_events.InstanceRequested, instance, **KIND, placement=placement, reason="2 in train")

    def agent(self, worker: str, interval: float = 600.0, instance: str = "") -> None:
        stamp = self.history.stamp
        about: dict[str, Any] = {"worker": worker, "queues": ["train"]}
        self.history.say(WorkerStarted(meta=stamp(), host="h", pid=1, instance=instance, **about))
        for _ in range(2):
            self.history.say(WorkerHeartbeat(meta=stamp(), interval=interval, **about))

    def wait(self, queue: str, count: int) -> None:
        for _ in range(count):
            self.history.enqueue(self.history.task(), queue)


@pytest.fixture
def told(home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Told]:
    monkeypatch.setenv("COLUMNS", "200")
    change_session(None)
    history = History(home)
    for queue in ("train", "test"):
        history.queue(queue)
    yield Told(history, tmp_path / "scaler.toml")
    history.close()
    change_session(None)


def run(*arguments: str, answers: str = "") -> Result:
    return CliRunner().invoke(app, ["scaler", *arguments], input=answers)


def planned(told: Told) -> Any:
    told.history.settle()
    result = run("plan", "--config", str(told.config), "--json")
    assert result.exit_code == exit_codes.OK, result.output
    return json.loads(result.stdout)


Until = Callable[[Callable[[], Any]], Any]


def test_a_plan_says_what_would_come_and_what_is_in_the_way(told: Told, until: Until) -> None:
    told.wait("train", 3)
    told.wait("test", 1)
    plan = until(lambda: (found := planned(told)) and sum(need["waiting"] for need in found["needs"]) == 4 and found)
    train, test = plan["needs"]
    assert (train["queue"], train["waiting"], train["launched"], train["missing"]) == ("train", 3, 2, 1)
    assert (train["held_back_by"], test["waiting"]) == ("box: its maximum of 2", 1)
    assert [(one["action"], one["resource"], one["reason"]) for one in plan["actions"]] == [
        ("launch", "box", "3 waiting in train"),
        ("launch", "box", "2 waiting in train"),
    ]
    assert plan["machines"] == []
    shown = run("plan", "--config", str(told.config)).stdout
    for part in ("HELD BACK BY", "box: its maximum of 2", "launch box: 3 waiting in train"):
        assert part in shown


def test_a_plan_counts_machines_there_are_and_free_agents_but_not_the_dead(told: Told, until: Until) -> None:
    told.wait("train", 3)
    told.agent("alive")
    told.agent("dead", interval=1e-9)
    told.request()
    until(lambda: planned(told)["needs"][0]["waiting"] == 3)
    plan = planned(told)
    train = plan["needs"][0]
    assert (train["free"], train["booting"], train["launched"]) == (1, 1, 1)
    assert [(one["instance"], one["status"]) for one in plan["machines"]] == [("i1", "requested")]


def test_a_plan_counts_hours_of_the_budgets_own_period(told: Told, until: Until) -> None:
    told.request()
    told.machine(machine_events.InstanceTerminated)
    told.config.write_text(CONFIG + "[budget]\ninstance_hours = 1e-8\nperiod_hours = 1e-9\n")
    told.wait("train", 1)
    plan = until(lambda: (found := planned(told))["needs"][0]["waiting"] and found)
    assert (plan["needs"][0]["launched"], plan["needs"][0]["held_back_by"]) == (1, "")


def test_a_plan_says_which_machines_would_go(told: Told, until: Until) -> None:
    told.request()
    told.machine(machine_events.InstanceLaunched, machine="m1")
    told.machine(machine_events.InstanceReady, worker="w")
    told.agent("w", instance="i1")
    (drain,) = until(lambda: planned(told)["actions"])
    assert (drain["action"], drain["instance"], drain["reason"]) == ("drain", "i1", "nothing to do for 0.006 s")
    shown = run("plan", "--config", str(told.config))
    assert "drain i1: nothing to do" in shown.stdout
    assert [part for part in ("spot, here", "m1", "1.50", "ready") if part not in shown.stdout] == []


def test_a_plan_of_a_log_on_which_nothing_happened_yet_is_empty(told: Told) -> None:
    told.config.write_text(CONFIG.replace("queues.test", "queues.new"))
    plan = planned(told)
    assert [need["queue"] for need in plan["needs"]] == ["train", "new"]
    assert plan["actions"] == []
    assert "Nothing to do." in run("plan", "--config", str(told.config)).stderr


def test_settings_that_are_wrong_or_missing_are_said(told: Told, tmp_path: Path) -> None:
    told.config.write_text(CONFIG.replace("hourly_cost", "hourly_price"))
    for file, words in ((told.config, "resources.box.hourly_price"), (tmp_path / "none.toml", "tasktape scaler init")):
        result = run("plan", "--config", str(file))
        assert (result.exit_code, words in result.stderr) == (exit_codes.SETTINGS, True), result.stderr


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (('provider = "local"', ""), "provider is missing"),
        (("hourly_cost", "hourly_price"), "resources.box.hourly_price: there is no such setting, but hourly_cost"),
        (('[["box", 2]]', '["box", 2]'), "queues.train.0: write pairs of a resource and its maximum"),
        (('[["box", 2]]', '[["box", 2, 3]]'), "queues.train.0: write pairs of a resource and its maximum"),
        (("queues.train", 'queues.""'), "a scaler: a queue has no name"),
        (("1.5", '"s3cret"'), "resources.box.hourly_cost"),
    ],
)
def test_what_is_wrong_in_settings_is_said_with_its_place_and_without_its_value(
    told: Told, change: tuple[str, str], words: str
) -> None:
    told.config.write_text(CONFIG.replace(*change))
    result = run("plan", "--config", str(told.config))
    assert (result.exit_code, words in result.stderr) == (exit_codes.SETTINGS, True), result.stderr
    assert "s3cret" not in result.output


def test_scalers_are_listed_with_their_machines_and_needs(told: Told) -> None:
    told.request("i1")
    told.request("i2")
    told.machine(machine_events.InstanceLaunched, "i1", machine="m1")
    told.machine(machine_events.InstanceFailed, "i2", kind="capacity", message="none left")
    need = {"queue": "train", "waiting": 2, "missing": 1, "held_back_by": "the budget"}
    told.history.say(machine_events.ScalingDecided(meta=told.history.stamp(), scaler="lab", needs=[need]))
    told.history.settle()
    (scaler,) = json.loads(run("list", "--json").stdout)
    assert (scaler["name"], scaler["led_by"], scaler["machines"], scaler["hourly_cost"]) == ("lab", "ada@lab", 1, 1.5)
    assert [(one["queue"], one["held_back_by"]) for one in scaler["needs"]] == [("train", "the budget")]
    assert [one["instance"] for one in scaler["instances"]] == ["i1"]
    shown = run("list", "--gone").stdout
    assert [part for part in ("ada@lab", "the budget", "booting", "failed", "none left") if part not in shown] == []


def test_a_scaler_that_says_nothing_any_more_and_a_minimum_that_is_not_met_are_shown(told: Told) -> None:
    lacking = {"box": "the budget of 1 machines"}
    said = machine_events.ScalingDecided(meta=told.history.stamp(), scaler="lab", needs=[], lacking=lacking)
    told.history.say(said)
    told.history.settle()
    shown = run("list").stdout
    assert "box: fewer than its minimum; the budget of 1 machines" in shown
    assert "silent" not in shown
    (row,) = json.loads(run("list", "--json").stdout)
    assert row["lacking"] == lacking
    told.config.write_text(CONFIG.replace("hourly_cost = 1.5", "hourly_cost = 1.5\nminimum = 3"))
    plan = run("plan", "--config", str(told.config)).stdout
    assert "box: fewer than its minimum; box: its maximum of 2" in plan


@pytest.mark.parametrize("name", ["i1", "m1"])
def test_a_machine_has_its_audit_by_either_name(told: Told, name: str) -> None:
    told.request()
    told.machine(machine_events.InstanceLaunched, machine="m1")
    told.history.settle()
    shown = CliRunner().invoke(app, ["audit", name]).stdout
    assert [part for part in ("InstanceRequested", "2 in train", "InstanceLaunched", "m1") if part not in shown] == []
    assert CliRunner().invoke(app, ["audit", "i2"]).exit_code == exit_codes.NOT_FOUND


@pytest.mark.usefixtures("home")
def test_where_there_are_no_scalers_it_says_how_to_start_one() -> None:
    assert "tasktape scaler init" in run("list").stderr


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("folder")
def test_flags_become_settings_that_a_scaler_reads() -> None:
    result = run("init", "--provider", "local", "--queue", "a b", "--queue", "c", "--max", "3", "--yes")
    assert result.exit_code == exit_codes.OK, result.output
    assert "tasktape scaler plan --config scaler.toml" in result.stderr
    settings = read_config(Path("scaler.toml"))
    assert (settings.name, settings.provider, settings.max_idle_time_min) == ("default", "local", 15.0)
    assert {queue: [(one.resource, one.maximum) for one in shares] for queue, shares in settings.queues.items()} == {
        "a b": [("machine", 3)],
        "c": [("machine", 3)],
    }


@pytest.mark.usefixtures("folder")
def test_in_a_terminal_it_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scaler_init, "in_terminal", lambda: True)
    answers = "aws\nlab\ntrain, test\neu-central-1\nami-0abc\nagents\ngpu\n0\n2\ng5.xlarge, g4dn.xlarge\n\ny\n1.2\ny\n"
    answers += "cpu\n8\nm7i.large\neu-central-1a\nn\n0.1\nn\n5\n10\n"
    result = run("init", answers=answers)
    assert result.exit_code == exit_codes.OK, result.output
    assert "'0' is no number above 0" in result.output
    assert tomllib.loads(Path("scaler.toml").read_text()) == {
        "name": "lab",
        "provider": "aws",
        "max_idle_time_min": 5,
        "aws": {"region": "eu-central-1", "ami_id": "ami-0abc", "iam_name": "agents"},
        "queues": {queue: [["gpu", 2], ["cpu", 8]] for queue in ("train", "test")},
        "resources": {
            "gpu": {"instance_type": ["g5.xlarge", "g4dn.xlarge"], "is_spot": True, "hourly_cost": 1.2},
            "cpu": {"instance_type": ["m7i.large"], "availability_zone": ["eu-central-1a"], "hourly_cost": 0.1},
        },
        "budget": {"hourly_cost": 10},
    }


@pytest.mark.usefixtures("folder")
def test_for_agents_of_this_machine_a_terminal_is_asked_little(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scaler_init, "in_terminal", lambda: True)
    assert run("init", answers="\n\n\n2\n\n").exit_code == exit_codes.OK
    settings = read_config(Path("scaler.toml"))
    assert (settings.name, settings.queues["default"][0].maximum) == ("default", 2)


@pytest.mark.usefixtures("folder")
def test_what_makes_no_sense_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scaler_init, "in_terminal", lambda: True)
    answers = "gcp\naws\nlab\ntrain\n\nami-0abc\n\n\n\n\n\n\n-3\nmuch\n0.5\nn\n0\nnan\n2.5\nten\n-1\ninf\n\n"
    result = run("init", answers=answers)
    assert result.exit_code == exit_codes.OK, result.output
    for words in ("'gcp' is none of local, aws", "'-3' is no number from 0 on", "'nan' is no number above 0"):
        assert words in result.output
    settings = read_config(Path("scaler.toml"))
    assert (settings.max_idle_time_min, settings.budget.hourly_cost) == (2.5, None)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--provider", "gcp"], "it is one of local, aws"),
        (["--provider", "aws"], "--image"),
        (["--provider", "aws", "--image", "ami-0"], "--instance-type"),
        (["--queue", " "], "need names"),
        (["--hourly-budget", "5"], "--hourly-cost"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_written(
    folder: Path, arguments: list[str], words: str
) -> None:
    result = run("init", *arguments)
    assert (result.exit_code, words in result.stderr) == (exit_codes.SETTINGS, True), result.stderr
    assert list(folder.iterdir()) == []


@pytest.mark.usefixtures("folder")
def test_a_file_that_is_there_is_replaced_only_with_force() -> None:
    Path("scaler.toml").write_text("mine")
    refused = run("init", "--yes")
    assert (refused.exit_code, "--force" in refused.stderr) == (exit_codes.SETTINGS, True)
    assert Path("scaler.toml").read_text() == "mine"
    assert run("init", "--yes", "--force").exit_code == exit_codes.OK
    assert read_config(Path("scaler.toml")).provider == "local"


def test_odd_names_are_written_so_that_they_are_read_again(tmp_path: Path) -> None:
    odd = 'a "b" \\ \n#\x7f☃'
    file = tmp_path / "scaler.toml"
    file.write_text(render(Choices("local", odd, (odd, "x.y"), (Kind(odd, 1),))), encoding="utf-8")
    settings = read_config(file)
    assert (settings.name, list(settings.queues), list(settings.resources)) == (odd, [odd, "x.y"], [odd])
