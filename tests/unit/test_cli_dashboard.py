from __future__ import annotations

import socket
import tomllib
from pathlib import Path

from typer.testing import CliRunner

from tasktape.cli import exit_codes
from tasktape.cli.dashboard import command, free_port
from tasktape.cli.main import app
from tasktape.dashboard.theme import APP, ICON, OPTIONS


def test_the_dashboard_is_served_to_this_machine_alone_and_calls_nobody() -> None:
    arguments = command("127.0.0.1", 8600, browser=False)
    assert str(APP) in arguments
    for flag in (
        "--server.address=127.0.0.1",
        "--server.port=8600",
        "--server.headless=true",
        "--server.allowedHosts=localhost",
        "--browser.gatherUsageStats=false",
        "--server.showEmailPrompt=false",
    ):
        assert flag in arguments


def test_on_another_address_other_names_are_served_too() -> None:
    assert not [flag for flag in command("0.0.0.0", 8600, browser=False) if "allowedHosts" in flag]


def test_what_the_dashboard_needs_is_there() -> None:
    assert Path(ICON).is_file()
    assert {"theme"} == tomllib.loads(Path(OPTIONS["theme.base"]).read_text()).keys()


def test_a_port_that_is_taken_is_a_sentence_or_the_next_one() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = CliRunner().invoke(app, ["dashboard", "--port", str(port), "--no-browser"])
        assert result.exit_code == exit_codes.SETTINGS
        assert f"port {port} of 127.0.0.1 is taken" in result.stderr
    assert free_port("127.0.0.1", port) == port


def test_without_a_wish_the_first_free_port_is_taken() -> None:
    first = free_port("127.0.0.1", None)
    with socket.create_server(("127.0.0.1", first)):
        assert free_port("127.0.0.1", None) != first
