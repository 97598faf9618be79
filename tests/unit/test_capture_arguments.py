"""Arguments become parameters, and under an agent parameters become arguments, with their types, for each parser."""

from __future__ import annotations

import argparse
import enum
import inspect
import json
import logging
import pickle
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import absl.flags
import click
import fire.core  # type: ignore[import-untyped]
import hydra
import jsonargparse
import pytest
import typer
import typer.testing
from hydra.core.global_hydra import GlobalHydra
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf

from tasktape.events.parts import Configuration, TaskSpec
from tasktape.producers.capture.argument_watch import ArgumentWatch, watch
from tasktape.producers.parameters import make


class Colour(enum.Enum):
    red = "r"
    blue = "b"


class RecordingTask:
    """Stands in for a task: keeps what is put into it."""

    def __init__(self) -> None:
        self.parameters: dict[str, Any] = {}
        self.configurations: dict[str, str] = {}

    def update_parameters(self, values: dict[str, Any]) -> None:
        self.parameters |= values

    def set_configuration_object(self, name: str, config_text: str, config_type: str) -> None:
        assert config_type == "yaml"
        self.configurations[name] = config_text


def full(name: str) -> str:
    return name if name.startswith(("Args/", "Hydra/", "TF_DEFINE/")) else f"Args/{name}"


class Runs:
    """Runs a program with a command line, as a person or an agent would."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self._monkeypatch = monkeypatch
        self._folder = folder

    def locally(self, program: Callable[[], Any], *argv: str, chosen: Any = True) -> tuple[RecordingTask, Any]:
        self._monkeypatch.delenv("TASKTAPE_TASK_ID", raising=False)
        return self._run(program, argv, chosen)

    def remotely(self, program: Callable[[], Any], *argv: str, texts: Any = None, **parameters: Any) -> Any:
        spec = TaskSpec(
            project="p",
            name="n",
            parameters=[make(full(name), value) for name, value in parameters.items()],
            configurations=[Configuration(name=name, text=text) for name, text in (texts or {}).items()],
        )
        (self._folder / "spec.json").write_text(spec.model_dump_json())
        self._monkeypatch.setenv("TASKTAPE_TASK_ID", "1")
        self._monkeypatch.setenv("TASKTAPE_TASK_SPEC", str(self._folder / "spec.json"))
        return self._run(program, argv)[1]

    def _run(self, program: Callable[[], Any], argv: tuple[str, ...], chosen: Any = True) -> tuple[RecordingTask, Any]:
        self._monkeypatch.setattr(sys, "argv", ["script.py", *argv])
        watch, task = ArgumentWatch(), RecordingTask()
        watch.start()
        try:
            watch.arguments.attach(task, chosen)  # type: ignore[arg-type]
            return task, program()
        finally:
            watch.stop()


@pytest.fixture
def unwatched(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The process's own watch looks away: it remembers the first spec it met, in whichever test that was."""
    for name in ("TASKTAPE_TASK_ID", "TASKTAPE_TASK_SPEC", "TASKTAPE_PROC_TASK"):
        monkeypatch.delenv(name, raising=False)
    watch.stop()
    yield
    watch.start()


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, unwatched: None) -> Runs:  # noqa: ARG001  its effect counts
    return Runs(monkeypatch, tmp_path)


def parse_many_kinds() -> dict[str, Any]:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("--lr", type=float, default=0.1)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--name", default=None)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("--layers", type=int, nargs="+", default=[8, 8])
    parser.add_argument("--tag", action="append")
    parser.add_argument("-v", action="count", default=0)
    parser.add_argument("--optimizer", choices=["sgd", "adam"], default="sgd")
    parser.add_argument("--colour", type=Colour, default=Colour.red)
    parser.add_argument("--flag", type=lambda text: text == "yes", default=False)
    parser.set_defaults(func=parse_many_kinds)
    return vars(parser.parse_args())


LINE = (
    "/data",
    "--lr",
    "0.5",
    "--layers",
    "1",
    "2",
    "--tag",
    "a",
    "--tag",
    "b",
    "-vv",
    "--colour",
    "b",
    "--name",
    "None",
)


def test_argparse_arguments_become_parameters_with_their_types(runs: Runs) -> None:
    task, result = runs.locally(parse_many_kinds, *LINE)
    expected = {f"Args/{name}": value for name, value in result.items() if name != "func"}
    assert task.parameters == expected
    assert expected["Args/layers"] == [1, 2]


def test_argparse_arguments_nobody_edited_come_back_as_they_were(runs: Runs) -> None:
    task, local = runs.locally(parse_many_kinds, *LINE)
    assert runs.remotely(parse_many_kinds, *LINE, **task.parameters) == local


EDITS: list[tuple[str, Any, Any]] = [
    ("lr", 0.25, 0.25),
    ("lr", 1, 1.0),
    ("lr", "0.25", 0.25),
    ("epochs", "7", 7),
    ("name", "other", "other"),
    ("name", None, None),
    ("limit", "5", 5),
    ("limit", 5, 5),
    ("limit", "None", None),
    ("limit", "", None),
    ("verbose", True, True),
    ("verbose", "true", True),
    ("verbose", "False", False),
    ("layers", [3, 4, 5], [3, 4, 5]),
    ("layers", "[3, 4]", [3, 4]),
    ("layers", ["3", "4"], [3, 4]),
    ("tag", ["x"], ["x"]),
    ("tag", None, None),
    ("v", 1, 1),
    ("optimizer", "adam", "adam"),
    ("colour", "red", Colour.red),
    ("data", "/other", Path("/other")),
    ("flag", "yes", True),
]


@pytest.mark.parametrize(("name", "edited", "expected"), EDITS)
def test_an_edited_argparse_argument_wins_in_the_scripts_own_type(
    runs: Runs, name: str, edited: Any, expected: Any
) -> None:
    task, local = runs.locally(parse_many_kinds, *LINE)
    remote = runs.remotely(parse_many_kinds, *LINE, **task.parameters | {f"Args/{name}": edited})
    assert remote == local | {name: expected}
    assert type(remote[name]) is type(expected)


def test_an_edited_value_outside_the_choices_ends_the_program_as_argparse_does(
    runs: Runs, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        runs.remotely(parse_many_kinds, *LINE, optimizer="none of them")
    assert "optimizer" in capsys.readouterr().err


def test_without_a_command_line_the_task_gives_what_is_required(runs: Runs) -> None:
    def program() -> dict[str, Any]:
        parser = argparse.ArgumentParser()
        parser.add_argument("where")
        parser.add_argument("--must", type=int, required=True)
        group = parser.add_mutually_exclusive_group(required=True)
        group.add_argument("--one")
        group.add_argument("--two")
        commands = parser.add_subparsers(dest="command", required=True)
        train = commands.add_parser("train")
        train.add_argument("--steps", type=int, required=True)
        commands.add_parser("test")
        return vars(parser.parse_args())

    given = {"where": "here", "must": 5, "one": "1", "two": None, "command": "train", "steps": 9}
    line = ["here", "--must", "5", "--one", "1", "train", "--steps", "9"]
    task, local = runs.locally(program, *line)
    assert task.parameters == {f"Args/{name}": value for name, value in given.items()}
    assert runs.remotely(program, **task.parameters) == local
    assert runs.remotely(program, *line, **task.parameters | {"Args/steps": 10})["steps"] == 10


def test_a_required_argument_the_task_does_not_have_is_still_required(runs: Runs) -> None:
    def program() -> Any:
        parser = argparse.ArgumentParser()
        parser.add_argument("--a", required=True)
        parser.add_argument("--b", required=True)
        return parser.parse_args()

    with pytest.raises(SystemExit):
        runs.remotely(program, a="1")


@pytest.mark.parametrize("method", ["parse_args", "parse_known_args", "parse_intermixed_args"])
def test_every_way_to_parse_is_seen_once(runs: Runs, method: str) -> None:
    def program() -> Any:
        parser = argparse.ArgumentParser()
        parser.add_argument("--x", type=int)
        parser.add_argument("rest", nargs="*")
        return getattr(parser, method)(["--x", "1", "a"])

    task, _ = runs.locally(program)
    assert task.parameters == {"Args/x": 1, "Args/rest": ["a"]}


def test_a_file_argument_is_recorded_by_its_name(runs: Runs, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("content")

    def program() -> str:
        parser = argparse.ArgumentParser()
        parser.add_argument("--config", type=open)
        with parser.parse_args().config as file:
            return str(file.read())

    task, content = runs.locally(program, "--config", str(tmp_path / "in.txt"))
    assert task.parameters == {"Args/config": str(tmp_path / "in.txt")}
    assert content == "content"


@pytest.mark.usefixtures("unwatched")
def test_arguments_parsed_before_the_task_is_there_are_its_own_too() -> None:
    watch, first, second = ArgumentWatch(), RecordingTask(), RecordingTask()
    watch.start()
    try:
        parser = argparse.ArgumentParser()
        parser.add_argument("--lr", type=float)
        parser.parse_args(["--lr", "3"])
        watch.arguments.attach(first)  # type: ignore[arg-type]
        watch.arguments.detach()
        watch.arguments.attach(second)  # type: ignore[arg-type]
    finally:
        watch.stop()
    assert first.parameters == second.parameters == {"Args/lr": 3.0}


@pytest.mark.parametrize(
    ("chosen", "recorded"),
    [
        (True, {"a", "b"}),
        (False, set()),
        ({}, set()),
        ({"a": False}, {"b"}),
        ({"a": True, "*": False}, {"a"}),
    ],
)
def test_arguments_are_chosen_as_in_clearml(runs: Runs, chosen: Any, recorded: set[str]) -> None:
    def program() -> None:
        parser = argparse.ArgumentParser()
        parser.add_argument("--a")
        parser.add_argument("--b")
        parser.parse_args([])

    task, _ = runs.locally(program, chosen=chosen)
    assert set(task.parameters) == {f"Args/{name}" for name in recorded}


def test_a_process_that_the_task_started_keeps_its_own_arguments(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    parent = {"pid": 1, "task": "1", "run": 1, "project": "p", "name": "n", "task_type": "training"}
    monkeypatch.setenv("TASKTAPE_PROC_TASK", json.dumps(parent))
    remote = runs.remotely(parse_many_kinds, *LINE, lr=99.0)
    assert remote["lr"] == 0.5


def test_a_broken_task_does_not_disturb_the_parser(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RecordingTask, "update_parameters", lambda _self, _values: 1 / 0)
    _, result = runs.locally(parse_many_kinds, *LINE)
    assert result["lr"] == 0.5


def test_the_watch_leaves_no_trace_once_it_is_over() -> None:
    classes = (
        argparse.ArgumentParser,
        click.Command,
        click.Parameter,
        jsonargparse.ArgumentParser,
        absl.flags.FlagValues,
    )
    before = [dict(vars(owner)) for owner in classes]
    finders = list(sys.meta_path)
    watch = ArgumentWatch()
    watch.start()
    watch.start()
    assert [dict(vars(owner)) for owner in classes] != before
    watch.stop()
    watch.stop()
    assert [dict(vars(owner)) for owner in classes] == before
    assert sys.meta_path == finders


def test_a_watched_parser_looks_like_itself() -> None:
    signature = inspect.signature(argparse.ArgumentParser.parse_known_args)
    watch = ArgumentWatch()
    watch.start()
    try:
        assert inspect.signature(argparse.ArgumentParser.parse_known_args) == signature
        assert pickle.loads(pickle.dumps(argparse.ArgumentParser.parse_known_args)).__name__ == "parse_known_args"
        assert argparse.ArgumentParser.parse_known_args.__doc__ is None
    finally:
        watch.stop()


VALUES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.sampled_from(Colour)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    defaults=st.dictionaries(st.from_regex("[a-z]{1,9}", fullmatch=True), VALUES | st.lists(st.integers() | st.text()))
)
def test_whatever_argparse_holds_survives_a_remote_run(runs: Runs, defaults: dict[str, Any]) -> None:
    def program() -> dict[str, Any]:
        parser = argparse.ArgumentParser(add_help=False)
        for name in defaults:
            parser.add_argument(f"--{name}")
        parser.set_defaults(**defaults)
        return vars(parser.parse_args([]))

    task, local = runs.locally(program)
    remote = runs.remotely(program, **task.parameters)
    assert remote == local == defaults
    assert {name: type(value) for name, value in remote.items()} == {n: type(v) for n, v in defaults.items()}


@click.group()
@click.option("--verbose/--quiet", default=False)
def cli(verbose: bool) -> None:
    SEEN["verbose"] = verbose


@cli.command()
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--lr", type=float, default=0.1)
@click.option("--layers", type=int, multiple=True)
@click.option("--size", nargs=2, type=int, default=(1, 1))
@click.option("--kind", type=click.Choice(["a", "b"]), required=True)
@click.option("--secret", hide_input=True, prompt=True)
def train(**values: Any) -> None:
    SEEN.update(values)


SEEN: dict[str, Any] = {}


def run_click() -> dict[str, Any]:
    SEEN.clear()
    cli.main(standalone_mode=False)
    return dict(SEEN)


CLICK_LINE = ("--verbose", "train", "/d", "--layers", "1", "--layers", "2", "--kind", "a", "--secret", "t0ken")


def test_click_parameters_become_parameters_without_secrets(runs: Runs) -> None:
    task, result = runs.locally(run_click, *CLICK_LINE)
    assert result["layers"] == (1, 2)
    assert task.parameters == {
        "Args/verbose": True,
        "Args/train": True,
        "Args/train/data": Path("/d"),
        "Args/train/lr": 0.1,
        "Args/train/layers": (1, 2),
        "Args/train/size": (1, 1),
        "Args/train/kind": "a",
    }


def test_edited_click_parameters_win_with_their_types(runs: Runs) -> None:
    task, local = runs.locally(run_click, *CLICK_LINE)
    assert runs.remotely(run_click, *CLICK_LINE, **task.parameters) == local
    edits = {"verbose": False, "train/data": "/e", "train/lr": "0.5", "train/layers": [3], "train/size": (4, 5)}
    remote = runs.remotely(run_click, *CLICK_LINE, **edits)
    expected = {"verbose": False, "data": Path("/e"), "lr": 0.5, "layers": (3,), "size": (4, 5)}
    assert remote == local | expected


def test_a_click_choice_that_does_not_exist_is_clicks_own_error(runs: Runs) -> None:
    with pytest.raises(click.BadParameter):
        runs.remotely(run_click, *CLICK_LINE, **{"train/kind": "z"})


def test_click_needs_no_command_line_for_what_the_task_gives(runs: Runs) -> None:
    line = ("train", "/d", "--secret", "x")
    assert runs.remotely(run_click, *line, **{"train/kind": "b"})["kind"] == "b"


def test_typer_parameters_are_watched_like_clicks(runs: Runs) -> None:
    app = typer.Typer()

    @app.command()
    def main(lr: float = 0.1, colour: Colour = Colour.red) -> None:
        SEEN.update(lr=lr, colour=colour)

    def program() -> dict[str, Any]:
        SEEN.clear()
        app(standalone_mode=False)
        return dict(SEEN)

    task, _ = runs.locally(program, "--lr", "0.3")
    assert task.parameters == {"Args/lr": 0.3, "Args/colour": Colour.red}
    assert runs.remotely(program, "--lr", "0.3", lr=0.7, colour="b") == {"lr": 0.7, "colour": Colour.blue}


def fired(name: str, lr: float = 0.1, *more: Any, layers: Any = (1, 2), **others: Any) -> None:
    SEEN.update(name=name, lr=lr, more=more, layers=layers, **others)


class Trainer:
    def __init__(self, lr: float = 0.1) -> None:
        self.lr = lr

    def run(self, steps: int = 5) -> None:
        SEEN.update(lr=self.lr, steps=steps)


def run_fire(component: Any) -> Callable[[], dict[str, Any]]:
    def program() -> dict[str, Any]:
        SEEN.clear()
        fire.core.Fire(component)
        return dict(SEEN)

    return program


def test_fire_arguments_become_parameters_and_come_back(runs: Runs) -> None:
    program = run_fire(fired)
    task, local = runs.locally(program, "n", "--layers=[1,2]", "--extra=7")
    assert task.parameters == {"Args/name": "n", "Args/lr": 0.1, "Args/layers": [1, 2], "Args/extra": 7}
    assert runs.remotely(program, "n", "--layers=[1,2]", "--extra=7", **task.parameters) == local
    edited = runs.remotely(program, "n", "--extra=7", lr="0.5", layers="[9]", extra=8, name="m")
    assert edited == {"name": "m", "lr": 0.5, "more": (), "layers": (9,), "extra": 8}


def test_fire_classes_and_their_methods_are_watched(runs: Runs) -> None:
    program = run_fire(Trainer)
    task, _ = runs.locally(program, "--lr=0.4", "run", "--steps=6")
    assert task.parameters == {"Args/lr": 0.4, "Args/run": True, "Args/run/steps": 6}
    assert runs.remotely(program, "--lr=0.4", "run", "--steps=6", **{"run/steps": 7}) == {"lr": 0.4, "steps": 7}


class Group:
    trainer = Trainer

    def stop(self, now: bool = False) -> None:
        SEEN.update(now=now)


def test_fire_groups_have_their_arguments_under_the_name_that_was_called(runs: Runs) -> None:
    task, _ = runs.locally(run_fire(Group()), "trainer", "run", "--steps=6")
    names = {"Args/trainer": True, "Args/trainer/lr": 0.1, "Args/trainer.run": True, "Args/trainer.run/steps": 6}
    assert task.parameters == names
    again, _ = runs.locally(run_fire({"halt": Group().stop}), "halt", "--now")
    assert again.parameters == {"Args/halt": True, "Args/halt/now": True}


def test_fire_takes_what_is_required_from_the_task(runs: Runs) -> None:
    assert runs.remotely(run_fire(fired), name="it's")["name"] == "it's"


def parse_flags() -> dict[str, Any]:
    flags: Any = absl.flags.FlagValues()  # type: ignore[no-untyped-call]
    absl.flags.DEFINE_float("lr", 0.1, "", flag_values=flags)
    absl.flags.DEFINE_integer("steps", None, "", flag_values=flags)
    absl.flags.mark_flag_as_required("steps", flag_values=flags)  # type: ignore[no-untyped-call]
    absl.flags.DEFINE_bool("fast", default=False, help="", flag_values=flags)
    absl.flags.DEFINE_list("names", ["a"], "", flag_values=flags)
    absl.flags.DEFINE_multi_integer("many", None, "", flag_values=flags)
    absl.flags.DEFINE_enum_class("colour", Colour.red, Colour, "", flag_values=flags)
    flags(sys.argv)
    return {name: flags[name].value for name in ("lr", "steps", "fast", "names", "many", "colour")}


FLAG_LINE = ("--steps=3", "--many=1", "--many=2", "--colour=blue")


def test_absl_flags_become_parameters_and_come_back(runs: Runs) -> None:
    task, local = runs.locally(parse_flags, *FLAG_LINE)
    assert task.parameters == {
        "TF_DEFINE/lr": 0.1, "TF_DEFINE/steps": 3, "TF_DEFINE/fast": False, "TF_DEFINE/names": ["a"],
        "TF_DEFINE/many": [1, 2], "TF_DEFINE/colour": "blue",
    }  # fmt: skip
    assert runs.remotely(parse_flags, *FLAG_LINE, **task.parameters) == local
    edits = {"lr": 2, "steps": "4", "fast": "true", "names": ["b", "c"], "many": [3], "colour": "red"}
    remote = runs.remotely(parse_flags, *FLAG_LINE, **{f"TF_DEFINE/{name}": value for name, value in edits.items()})
    assert remote == {"lr": 2.0, "steps": 4, "fast": True, "names": ["b", "c"], "many": [3], "colour": Colour.red}
    assert type(remote["lr"]) is float


def test_absl_takes_required_flags_from_the_task(runs: Runs) -> None:
    assert runs.remotely(parse_flags, **{"TF_DEFINE/steps": 5})["steps"] == 5


def test_absls_own_flags_are_not_recorded(runs: Runs) -> None:
    def program() -> None:
        absl.flags.FlagValues.__call__(absl.flags.FLAGS, ["script"], known_only=True)

    task, _ = runs.locally(program)
    assert not [name for name in task.parameters if "verbosity" in name or "logtostderr" in name]


class Model:
    def __init__(self, layers: int = 2, names: list[str] | None = None) -> None:
        self.layers, self.names = layers, names


def parse_jsonargparse() -> dict[str, Any]:
    parser = jsonargparse.ArgumentParser()
    parser.add_argument("--lr", type=float, default=0.1)
    parser.add_argument("--table", type=dict[str, int], default={"a": 1})
    parser.add_argument("--colour", type=Colour, default=Colour.red)
    parser.add_argument("--must", type=int, required=True)
    parser.add_class_arguments(Model, "model")
    return dict(parser.parse_args().as_flat().__dict__)


JSON_LINE = ("--must=4", "--model.layers=5", "--lr=0.3")


def test_jsonargparse_arguments_become_parameters_and_come_back(runs: Runs) -> None:
    task, local = runs.locally(parse_jsonargparse, *JSON_LINE)
    assert task.parameters == {
        "Args/lr": 0.3, "Args/table": {"a": 1}, "Args/colour": "red", "Args/must": 4, "Args/model.layers": 5,
        "Args/model.names": None,
    }  # fmt: skip
    assert runs.remotely(parse_jsonargparse, *JSON_LINE, **task.parameters) == local
    edits = {"model.layers": 6, "model.names": ["x"], "colour": "blue", "table": {"b": 2}}
    remote = runs.remotely(
        parse_jsonargparse, *JSON_LINE, **task.parameters | {f"Args/{n}": v for n, v in edits.items()}
    )
    assert remote == local | edits | {"colour": Colour.blue}


@pytest.fixture
def hydra_app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Any]]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/config.yaml").write_text("lr: 0.1\nmodel:\n  layers: 2\nhome: ${oc.env:SECRET_PLACE,none}\n")
    monkeypatch.setenv("SECRET_PLACE", "t0ken")
    seen: list[DictConfig] = []

    @hydra.main(version_base=None, config_path=str(tmp_path / "conf"), config_name="config")
    def app(config: DictConfig) -> None:
        seen.append(config)

    def program() -> Any:
        GlobalHydra.instance().clear()
        seen.clear()
        app()
        found = [OmegaConf.to_container(config) for config in seen]
        return found[0] if len(found) == 1 else found

    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield program
    root.handlers[:] = handlers
    root.setLevel(level)
    for logger in logging.Logger.manager.loggerDict.values():
        if isinstance(logger, logging.Logger):
            logger.disabled = False
    GlobalHydra.instance().clear()


QUIET = "hydra/job_logging=disabled"


def test_hydra_overrides_and_configuration_are_recorded(runs: Runs, hydra_app: Callable[[], Any]) -> None:
    task, _ = runs.locally(hydra_app, "lr=0.5", "+new=[1,2]", QUIET)
    assert task.parameters == {
        "Hydra/_allow_omegaconf_edit_": False, "Hydra/lr": "0.5", "Hydra/+new": "[1,2]",
        "Hydra/hydra/job_logging": "disabled",
    }  # fmt: skip
    recorded: Any = OmegaConf.create(task.configurations["OmegaConf"])
    assert set(recorded) == {"lr", "model", "home", "new"}
    assert "t0ken" not in task.configurations["OmegaConf"]


def test_edited_hydra_overrides_compose_the_configuration_anew(runs: Runs, hydra_app: Callable[[], Any]) -> None:
    edits = {
        "Hydra/lr": 0.7,
        "Hydra/model.layers": "9",
        "Hydra/+new": {"a": [True, None]},
        "Hydra/_allow_omegaconf_edit_": False,
    }
    config = runs.remotely(hydra_app, "lr=0.5", QUIET, **edits)
    assert (config["lr"], config["model"], config["new"]) == (0.7, {"layers": 9}, {"a": [True, None]})


def test_an_edited_hydra_configuration_counts_only_where_that_is_allowed(
    runs: Runs, hydra_app: Callable[[], Any]
) -> None:
    text = {"OmegaConf": "lr: 42\nmodel:\n  layers: 1\n"}
    refused = {"Hydra/_allow_omegaconf_edit_": False}
    assert runs.remotely(hydra_app, "lr=0.5", QUIET, texts=text, **refused)["lr"] == 0.5
    allowed = {"Hydra/_allow_omegaconf_edit_": True}
    config = runs.remotely(hydra_app, "lr=0.5", QUIET, texts=text, **allowed)
    assert config == {"lr": 42, "model": {"layers": 1}}


def test_a_hydra_multirun_records_each_of_its_jobs(runs: Runs, hydra_app: Callable[[], Any]) -> None:
    task, found = runs.locally(hydra_app, "--multirun", "lr=1,2", QUIET)
    assert [config["lr"] for config in found] == [1, 2]
    assert task.parameters["Hydra/lr"] == "1,2"
    assert task.configurations["OmegaConf"].startswith("lr: 2\n")
