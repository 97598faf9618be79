"""What opens private repositories, handed to git so that nobody else sees it and no other host is shown it.

Passwords and tokens travel in the environment of the git processes alone, through a credential helper that git asks for
one address; helpers of the user's own are not told, or they would keep what isn't theirs. Keys are named in an ssh
configuration that lives as long as git does and includes the user's own.
"""

from __future__ import annotations

import os
import shlex
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

_HELPER: Final = '!f() {{ echo "username=$TASKTAPE_GIT_USER_{0}"; echo "password=$TASKTAPE_GIT_SECRET_{0}"; }}; f'
_NO_QUESTIONS: Final = "Host *\n  BatchMode yes\n"


@dataclass(frozen=True)
class Credentials:
    """User and password (or token) for http, and the file of a private key for ssh; each may be missing."""

    user: str = ""
    password: str = field(default="", repr=False)
    ssh_key: Path | None = None


class GitAccess:
    """Credentials by host: `github.com`, `git.example.org:8443`. Only `http://…` shows a password without TLS."""

    def __init__(self, hosts: Mapping[str, Credentials] | None = None) -> None:
        self._hosts = dict(hosts or {})

    @contextmanager
    def opened(self) -> Iterator[dict[str, str]]:
        """Give the variables git needs; they are of no use afterwards."""
        passwords = {_address(host): known for host, known in self._hosts.items() if known.password}
        keys = {_name(host): known.ssh_key for host, known in self._hosts.items() if known.ssh_key}
        with tempfile.TemporaryDirectory(prefix="tasktape-ssh-") as folder:
            yield _for_http(passwords) | (_for_ssh(keys, Path(folder) / "config") if keys else {})


def _address(host: str) -> str:
    return host if "://" in host else f"https://{host}"


def _name(host: str) -> str:
    return host.rpartition("//")[2].partition(":")[0]


def _for_http(passwords: Mapping[str, Credentials]) -> dict[str, str]:
    """A helper per address, after an empty one that takes the others off the list."""
    variables: dict[str, str] = {}
    settings: list[tuple[str, str]] = []
    for number, (address, known) in enumerate(passwords.items()):
        variables[f"TASKTAPE_GIT_USER_{number}"] = known.user
        variables[f"TASKTAPE_GIT_SECRET_{number}"] = known.password
        settings += [(f"credential.{address}.helper", value) for value in ("", _HELPER.format(number))]
    return variables | (_as_configuration(settings) if settings else {})


def _as_configuration(settings: list[tuple[str, str]]) -> dict[str, str]:
    """Settings of git as variables, behind those this process was given."""
    given = int(os.environ.get("GIT_CONFIG_COUNT") or 0)
    found = {"GIT_CONFIG_COUNT": str(given + len(settings))}
    for number, (name, value) in enumerate(settings, given):
        found |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}
    return found


def _for_ssh(keys: Mapping[str, Path], config: Path) -> dict[str, str]:
    """An ssh that knows the keys, asks no questions, and otherwise behaves as the user has configured it."""
    hosts = (f'Host {host}\n  IdentityFile "{key}"\n  IdentitiesOnly yes\n' for host, key in keys.items())
    config.write_text("".join(hosts) + _NO_QUESTIONS + "  Include ~/.ssh/config\n  Include /etc/ssh/ssh_config\n")
    command = os.environ.get("GIT_SSH_COMMAND") or "ssh"
    return {"GIT_SSH_COMMAND": f"{command} -F {shlex.quote(str(config))}"}
