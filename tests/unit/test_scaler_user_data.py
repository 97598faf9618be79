"""The script that machines start with: it says what it was told, whatever that is, and is one that EC2 takes."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasktape.events.errors import SettingsError
from tasktape.scaler.user_data import LARGEST, Boot, render

TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40) | st.sampled_from(
    ["'", "$(reboot)", "`reboot`", "\\", "'; reboot; '", "EOF\nreboot\n", '"$HOME"', "!!", "\n", "-n", "%s\\n", "\r"]
)
SAY = 'printf "%s\\0" "$minutes" "$before" "$package" "$user" "$docker" "$region" "$machine"'


def boot(**changes: Any) -> Boot:
    made = {"instance": "1" * 32, "settings": {}, "options": [], "package": "tasktape", "region": "eu-central-1"}
    return Boot(**(made | changes))


def names_of(script: str) -> list[str]:
    """What the names are to bash where the script begins to work."""
    head, _, _ = script.partition("\n# Makes a fresh machine an agent")
    said = subprocess.run(["bash", "-c", f"{head}\n{SAY}"], capture_output=True, check=True)
    assert said.stderr == b""
    return said.stdout.decode().split("\0")[:-1]


@settings(max_examples=30)
@given(before=TEXTS, package=TEXTS, region=TEXTS, value=TEXTS, option=TEXTS, variable=TEXTS)
def test_every_value_arrives_as_it_is(
    before: str, package: str, region: str, value: str, option: str, variable: str
) -> None:
    given = {"log": value, "git": {value: {"user": option}}}
    made = boot(
        before=before, package=package, region=region, settings=given, options=[option], environment={"A": variable}
    )
    names = names_of(render(made))
    assert names[:-1] == ["30", before, package, "tasktape", "", region]
    assert json.loads(names[-1]) == {
        "instance": "1" * 32,
        "user": "tasktape",
        "region": region,
        "settings": given,
        "environment": {"A": variable},
        "options": [option],
    }


def test_it_is_a_script_that_bash_understands() -> None:
    assert subprocess.run(["bash", "-n"], input=render(boot()).encode(), check=True, capture_output=True).stderr == b""


def test_the_same_machine_has_the_same_script() -> None:
    assert render(boot()) == render(boot())


def test_a_script_that_ec2_would_not_take_is_refused_with_what_to_do() -> None:
    room = LARGEST - len(render(boot()).encode())
    assert len(render(boot(before="x" * (room + 2)))) == LARGEST  # two quotes are no longer needed
    with pytest.raises(SettingsError, match=r"16385 bytes.*extra_vm_bash_script"):
        render(boot(before="x" * (room + 3)))
