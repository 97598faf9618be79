"""compose.yaml is accepted by docker-compose, with and without the scaler's profile."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def compose() -> list[str]:
    command = shutil.which("docker-compose")
    if command is None:
        if os.environ.get("CI"):
            pytest.fail("docker-compose is required in CI: apt-get install docker-compose")
        pytest.skip("no docker-compose: apt-get install docker-compose")
    return [command, "-f", str(ROOT / "compose.yaml")]


def services(command: list[str]) -> set[str]:
    done = subprocess.run([*command, "config", "--services"], check=True, capture_output=True, text=True)
    return set(done.stdout.split())


def test_the_configuration_is_valid(compose: list[str]) -> None:
    subprocess.run([*compose, "config", "--quiet"], check=True)


def test_it_runs_a_broker_two_agents_and_the_dashboard(compose: list[str]) -> None:
    assert {"kafka", "agent", "services-agent", "dashboard"} <= services(compose)


def test_the_scaler_is_a_profile(compose: list[str]) -> None:
    assert services([*compose, "--profile", "scaler"]) >= {"scaler"}
