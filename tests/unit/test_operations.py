"""What docs/operations hands to an operator fits the agent there is: units, manifests, alerts, log actions."""

from __future__ import annotations

import ast
import configparser
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from tasktape.cli.main import commands

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "operations"
UNIT = FOLDER / "tasktape-agent.service"
SCALER = FOLDER / "tasktape-scaler.service"
MONITORING = (FOLDER / "monitoring.md").read_text()


def options_of(command: str) -> set[str]:
    group: Any = typer.main.get_command(commands())
    return {name for parameter in group.commands[command].params for name in parameter.opts}


def used(arguments: list[str]) -> set[str]:
    return {argument.partition("=")[0] for argument in arguments if argument.startswith("-")}


def unit(file: Path = UNIT) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.read(file)
    return parser


@pytest.mark.parametrize(("file", "command"), [(UNIT, "agent"), (SCALER, "scaler")])
def test_a_unit_starts_its_command_with_options_it_has(file: Path, command: str) -> None:
    program, *arguments = shlex.split(unit(file)["Service"]["ExecStart"])
    assert (Path(program).name, arguments[0]) == ("tasktape", command)
    assert used(arguments) <= options_of(command)


def test_stopping_a_scaler_leaves_its_machines_alone() -> None:
    assert unit(SCALER)["Service"]["KillMode"] == "process"


def test_stopping_the_unit_lets_what_runs_be_finished() -> None:
    service = unit()["Service"]
    assert (service["KillMode"], service["TimeoutStopSec"], service["Restart"]) == ("mixed", "1d", "on-failure")


@pytest.mark.parametrize("file", [UNIT, SCALER])
def test_systemd_takes_a_unit(tmp_path: Path, file: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze: apt-get install systemd")
    there = tmp_path / file.name
    there.write_text(file.read_text().replace("/opt/tasktape/bin/tasktape", str(Path(sys.executable))))
    said = subprocess.run(["systemd-analyze", "verify", there], capture_output=True, text=True, check=False)
    assert (said.returncode, [line for line in said.stderr.splitlines() if file.name in line]) == (0, [])


def deployments() -> dict[str, Any]:
    found = yaml.safe_load_all((FOLDER / "kubernetes.yaml").read_text())
    return {one["metadata"]["name"]: one for one in found}


@pytest.mark.parametrize("deployment", deployments().values(), ids=deployments())
def test_a_deployment_of_agents_is_whole(deployment: dict[str, Any]) -> None:
    assert (deployment["apiVersion"], deployment["kind"]) == ("apps/v1", "Deployment")
    template = deployment["spec"]["template"]
    assert deployment["spec"]["selector"]["matchLabels"] == template["metadata"]["labels"]
    pod = template["spec"]
    (container,) = pod["containers"]
    assert container["command"] == ["tasktape", "agent"]
    assert used(container["args"]) <= options_of("agent")
    port = container["args"][container["args"].index("--metrics-port") + 1]
    assert [one["containerPort"] for one in container["ports"]] == [int(port)]
    assert template["metadata"]["annotations"]["prometheus.io/port"] == port
    assert container["readinessProbe"]["httpGet"] == {"path": "/ready", "port": container["ports"][0]["name"]}
    assert {one["name"] for one in container["volumeMounts"]} == {one["name"] for one in pod["volumes"]}
    assert {one["valueFrom"]["secretKeyRef"]["name"] for one in container["env"] if "valueFrom" in one} == {"tasktape"}
    preemptible = "--preemptible" in container["args"]
    assert (pod["terminationGracePeriodSeconds"] <= 120) == preemptible
    assert ("preStop" in container.get("lifecycle", {})) != preemptible


def test_the_deployment_of_a_scaler_is_whole() -> None:
    deployment = yaml.safe_load((FOLDER / "kubernetes-scaler.yaml").read_text())
    template = deployment["spec"]["template"]
    assert deployment["spec"]["selector"]["matchLabels"] == template["metadata"]["labels"]
    (container,) = template["spec"]["containers"]
    assert container["command"] == ["tasktape", "scaler"]
    assert used(container["args"]) <= options_of("scaler")
    mounts = {one["name"]: one["mountPath"] for one in container["volumeMounts"]}
    assert container["args"][1] == f"{mounts['scaler']}/scaler.toml"
    assert mounts.keys() == {one["name"] for one in template["spec"]["volumes"]}


def test_alerts_speak_of_metrics_there_are() -> None:
    (block,) = re.findall(r"```yaml alerts\n(.*?)```", MONITORING, re.DOTALL)
    (rules,) = yaml.safe_load(block)["groups"]
    named = {name for rule in rules["rules"] for name in re.findall(r"tasktape_agent_\w+", rule["expr"])}
    documented = set(re.findall(r"^\| `(tasktape_agent_\w+)", MONITORING, re.MULTILINE))
    assert {name.removesuffix("_bucket") for name in named} <= documented


def actions(folder: str) -> Iterator[str]:
    """All actions of log lines of a package's own."""
    for path in ROOT.glob(f"{folder}/*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Dict):
                pairs = zip(node.keys, node.values, strict=True)
                yield from (
                    str(value.value) for key, value in pairs if is_action(key) and isinstance(value, ast.Constant)
                )
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "warn_once":
                yield ast.literal_eval(node.args[0])


def is_action(key: ast.expr | None) -> bool:
    return isinstance(key, ast.Constant) and key.value == "action"


def named(lines: str) -> set[str]:
    """Actions that a table names."""
    rows = [row.split("|")[1] for row in lines.splitlines() if row.startswith("| `")]
    return {name for row in rows for name in re.findall(r"`(\w+)`", row)}


def test_the_page_names_every_action_of_an_agent_and_no_other() -> None:
    _, _, lines = MONITORING.partition("## Log lines")
    assert named(lines) == set(actions("agent"))


def test_the_scalers_page_names_every_action_of_a_scaler_and_no_other() -> None:
    _, _, lines = (ROOT / "docs" / "scaler.md").read_text().partition("| action |")
    assert named(lines) == set(actions("scaler"))
