"""`tasktape init`: what it writes, what it asks, what it refuses."""

from __future__ import annotations

import json
import stat
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from tasktape.cli import exit_codes
from tasktape.cli import init as init_module
from tasktape.cli.main import app
from tasktape.cli.settings_file import Choices, render
from tasktape.events.settings import load_settings

Run = Callable[..., Result]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("TASKTAPE_LOG", "TASKTAPE_CONFIG", "TASKTAPE_BLOBS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TASKTAPE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


@pytest.fixture
def run(home: Path) -> Run:
    def run(*arguments: str, answers: str = "") -> Result:
        return CliRunner().invoke(app, ["init", *arguments], input=answers)

    assert not home.exists()
    return run


def test_without_a_terminal_it_writes_defaults_and_asks_nothing(run: Run, home: Path) -> None:
    result = run()
    assert result.exit_code == exit_codes.OK
    assert "answers" in result.stderr
    written = home / "tasktape.toml"
    assert stat.S_IMODE(written.stat().st_mode) == 0o600
    assert tomllib.loads(written.read_text()) == {"log": f"sqlite:///{home}/log.db"}
    assert load_settings().log == f"sqlite:///{home}/log.db"


def test_flags_become_settings(run: Run, home: Path) -> None:
    arguments = ("--log", "kafka://b:9093", "-p", "security.protocol=SASL_SSL", "--blobs", "s3://x/y", "--no-check")
    assert run(*arguments, "--schema-registry", "http://r:8081").exit_code == exit_codes.OK
    settings = load_settings()
    assert (settings.log, settings.blobs, settings.schema_registry) == ("kafka://b:9093", "s3://x/y", "http://r:8081")
    assert settings.kafka == {"security.protocol": "SASL_SSL"}
    assert home.exists()


def test_a_password_comes_from_standard_input(run: Run) -> None:
    run("--log", "kafka://b:9093", "--password-stdin", "--no-check", answers='p"ss\\wörd\n')
    assert load_settings().kafka["sasl.password"] == 'p"ss\\wörd'


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["-p", "sasl.password=hunter2"], exit_codes.SETTINGS, "--password-stdin"),
        (["-p", "nonsense"], exit_codes.SETTINGS, "name=value"),
        (["--log", "http://nowhere"], exit_codes.SETTINGS, "sqlite:///"),
        (["--log", "sqlite"], exit_codes.SETTINGS, "sqlite:///"),
        (["--bogus"], exit_codes.USAGE, "No such option"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_written(
    run: Run, home: Path, arguments: list[str], code: int, words: str
) -> None:
    result = run(*arguments)
    assert result.exit_code == code
    assert words in result.stderr
    assert "hunter2" not in result.stderr
    assert not (home / "tasktape.toml").exists()


def test_a_file_that_is_there_is_replaced_only_by_force(run: Run, home: Path) -> None:
    run()
    again = run("--blobs", "s3://a/b")
    assert again.exit_code == exit_codes.SETTINGS
    assert "--force" in again.stderr
    assert run("--blobs", "s3://a/b", "--force").exit_code == exit_codes.OK
    assert "s3://a/b" in (home / "tasktape.toml").read_text()


def test_json_tells_what_was_done(run: Run, home: Path) -> None:
    told = json.loads(run("--json").stdout)
    assert told["file"] == str(home / "tasktape.toml")
    assert told["log"] == f"sqlite:///{home}/log.db"
    assert told["topics"] >= 7


def test_a_log_that_does_not_answer_has_an_exit_code_and_a_sentence(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = run("--log", f"sqlite:///{tmp_path}/file/log.db")
    assert result.exit_code == exit_codes.LOG_UNAVAILABLE
    assert "does not answer" in result.stderr
    assert "Traceback" not in result.stderr


def test_in_a_terminal_it_asks_for_a_broker(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(init_module, "in_terminal", lambda: True)
    answers = "2\nbroker:9093\nSASL_SSL\n\nbogus\nPLAIN\nada\nsecret\nhttp://r:8081\n\n"
    result = CliRunner().invoke(app, ["init", "--no-check"], input=answers)
    assert result.exit_code == exit_codes.OK, result.output
    assert "'bogus' is none of" in result.output
    settings = load_settings()
    assert (settings.log, settings.schema_registry) == ("kafka://broker:9093", "http://r:8081")
    assert settings.kafka == {
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "PLAIN",
        "sasl.username": "ada",
        "sasl.password": "secret",
    }
    assert home.exists()


TEXT = st.text(st.characters(codec="utf-8"), max_size=40)


@given(user=TEXT, password=TEXT, blobs=TEXT)
def test_a_settings_file_reads_back_as_it_was_chosen(user: str, password: str, blobs: str) -> None:
    kafka = {"sasl.username": user, "sasl.password": password}
    read = tomllib.loads(render(Choices("kafka://h:1", kafka, "http://r", blobs)))
    assert (read["log"], read["schema_registry"], read["kafka"]) == ("kafka://h:1", "http://r", kafka)
    assert read.get("blobs", "") == blobs
