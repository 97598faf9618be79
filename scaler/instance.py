"""What runs on a machine that a scaler launched: it gets the agent's settings ready, runs it, and watches for notices.

`python -m tasktape.scaler.instance machine.json` returns once the agent has left; whoever started it, `boot.sh` or its
systemd unit, ends the machine then.
"""

from __future__ import annotations

import json
import os
import pwd
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any, Final, Literal

from ..events.errors import TasktapeError
from ..events.private_file import toml_lines, write_private
from .imds import Imds, Notice
from .references import Reference, with_secrets

LOOK_SECONDS: Final = 5.0
_SIGNALS: Final[dict[Notice, signal.Signals]] = {"interruption": signal.SIGTERM, "rebalance": signal.SIGINT}
"""An agent of a machine that may go hands back what runs at SIGTERM, and finishes it at SIGINT."""


class SecretError(TasktapeError):
    """A machine can't read a secret that its settings refer to."""

    def __init__(self, wanted: Reference, reason: str) -> None:
        super().__init__(
            f"{wanted.service}:{wanted.name} can't be read: {reason}. Is there one, and does the machine's instance "
            "profile allow it?"
        )


def main(file: Path) -> int:
    """Run the agent that the file describes until it leaves; returns its exit code."""
    machine = json.loads(file.read_text(encoding="utf-8"))
    os.environ.update(_surroundings(machine["region"]))
    account = pwd.getpwnam(machine["user"])
    try:
        environment = with_secrets(machine["environment"], read_secret)
        settings = with_secrets(machine["settings"], read_secret)
        with _as_user(account):
            write_settings(settings, Path(account.pw_dir) / ".tasktape")
    except TasktapeError as error:
        say(str(error))
        return 1
    agent = start_agent(machine["options"], account, environment | {"TASKTAPE_INSTANCE": machine["instance"]})
    with _passing_on(agent):
        watch(agent, Imds().notice)
    say(f"the agent has left with exit code {agent.returncode}")
    return agent.returncode


def say(text: str) -> None:
    """Say something where the machine's console and journal have it."""
    sys.stderr.write(f"tasktape: {text}\n")
    sys.stderr.flush()


def _surroundings(region: str) -> dict[str, str]:
    """Variables for boto3, here and in the agent: credentials of a machine that has just started take a moment."""
    found = {"AWS_EC2_METADATA_V1_DISABLED": "true", "AWS_METADATA_SERVICE_NUM_ATTEMPTS": "10"}
    return found | ({"AWS_DEFAULT_REGION": region} if region else {})


# Secrets.


def read_secret(wanted: Reference) -> str:
    """Read what is referred to, with the rights of the machine's instance profile. Raises `SecretError`."""
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415  only machines at AWS have it

    try:
        return _parameter(wanted) if wanted.service == "ssm" else _secret(wanted)
    except ClientError as error:
        raise SecretError(wanted, error.response["Error"]["Code"]) from None
    except BotoCoreError as error:
        raise SecretError(wanted, str(error)) from None
    except (KeyError, TypeError, ValueError):
        raise SecretError(wanted, f"it is no JSON with a text at {wanted.key!r}") from None


def _parameter(wanted: Reference) -> str:
    found = _client("ssm").get_parameter(Name=wanted.name, WithDecryption=True)
    return str(found["Parameter"]["Value"])


def _secret(wanted: Reference) -> str:
    text = str(_client("secretsmanager").get_secret_value(SecretId=wanted.name)["SecretString"])
    return str(json.loads(text)[wanted.key]) if wanted.key else text


@cache
def _client(service: Literal["ssm", "secretsmanager"]) -> Any:
    import boto3  # noqa: PLC0415  only machines at AWS have it
    from botocore.config import Config  # noqa: PLC0415  the same

    patience = Config(connect_timeout=5, read_timeout=10, retries={"mode": "standard", "total_max_attempts": 8})
    return boto3.client(service, config=patience)


# Settings.


@contextmanager
def _as_user(account: pwd.struct_passwd) -> Iterator[None]:
    """Have files made by the user: root does not write where a user's links may lead."""
    former = os.getegid(), os.geteuid()
    os.setegid(account.pw_gid)
    os.seteuid(account.pw_uid)
    try:
        yield
    finally:
        os.seteuid(former[1])
        os.setegid(former[0])


def write_settings(settings: Mapping[str, Any], folder: Path) -> None:
    """Write the agent's `tasktape.toml`, and keys of git beside it, so that nobody else can read them."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    tables = _with_key_files(settings, folder / "keys")
    write_private(folder / "tasktape.toml", "\n".join(toml_lines(tables)) + "\n")


def _with_key_files(settings: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The same settings with ssh keys in files; a key that is a path already stays one."""
    hosts = {}
    for number, (host, access) in enumerate(settings.get("git", {}).items()):
        hosts[host] = dict(access)
        if "\n" in (key := str(access.get("ssh_key", ""))):
            write_private(folder / str(number), key.rstrip("\n") + "\n")
            hosts[host]["ssh_key"] = str(folder / str(number))
    return {**settings, **({"git": hosts} if hosts else {})}


# The agent.


def start_agent(
    options: list[str], account: pwd.struct_passwd, environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    """Start the agent as its user."""
    own = {"HOME": account.pw_dir, "USER": account.pw_name, "LOGNAME": account.pw_name}
    return subprocess.Popen(
        [sys.executable, "-m", "tasktape.cli.main", "agent", *options],
        stdin=subprocess.DEVNULL,
        cwd=account.pw_dir,
        env={**os.environ, **own, **environment},
        user=account.pw_uid,
        group=account.pw_gid,
        extra_groups=os.getgrouplist(account.pw_name, account.pw_gid),
    )


def watch(agent: subprocess.Popen[bytes], look: Callable[[], Notice | None], interval: float = LOOK_SECONDS) -> None:
    """Wait until the agent has left, and tell it of each kind of notice once."""
    told: set[Notice] = set()
    while agent.poll() is None:
        notice = look()
        if notice is not None and notice not in told:
            told.add(notice)
            say(f"EC2 gives notice of a coming {notice}: the agent is told to leave")
            agent.send_signal(_SIGNALS[notice])
        try:
            agent.wait(interval)
        except subprocess.TimeoutExpired:
            continue


@contextmanager
def _passing_on(agent: subprocess.Popen[bytes]) -> Iterator[None]:
    """Tell the agent of the signals that end this process."""

    def on_signal(number: int, _frame: FrameType | None) -> None:
        agent.send_signal(number)

    former = {number: signal.signal(number, on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
