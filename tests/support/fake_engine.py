"""A container engine for tests: `docker run` runs its command on this machine, cut off from its caller.

The program inside gets none of the caller's variables and is in no process group of the caller's; only `stop` and `rm`
by its name end it. What was asked for is recorded in `FAKE_ENGINE/asked`, each call a line of JSON.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

FOLDER = Path(os.environ.get("FAKE_ENGINE", ""))
FLAGS = {"--rm", "--init"}


def main(arguments: list[str]) -> int:
    with (FOLDER / "asked").open("a") as asked:
        asked.write(json.dumps(arguments) + "\n")
    verb, *rest = arguments
    if verb == "run":
        return run(rest)
    if verb == "image":
        return image(rest[-1])
    if verb == "pull":
        return pull(rest[-1])
    return end(rest[-1], signal.SIGTERM if verb == "stop" else signal.SIGKILL)


def run(arguments: list[str]) -> int:
    options, at = {}, 0
    while arguments[at].startswith("-"):
        name, equals, value = arguments[at].partition("=")
        takes_next = name not in FLAGS and not equals
        options[name] = arguments[at + 1] if takes_next else value
        at += 2 if takes_next else 1
    command = [options["--entrypoint"], *arguments[at + 1 :]]
    inside = {"PATH": os.environ["PATH"], "IMAGE": arguments[at]}
    with subprocess.Popen(command, env=inside, cwd=options["--workdir"], start_new_session=True) as process:
        pid = FOLDER / f"{options['--name']}.pid"
        pid.write_text(str(process.pid))
        code = process.wait()
        pid.unlink(missing_ok=True)
    return code if code >= 0 else 128 - code


def image(name: str) -> int:
    if not (FOLDER / name.replace("/", "_")).exists():
        return 1
    sys.stdout.write(f"sha256:{name}\n")
    return 0


def pull(name: str) -> int:
    if "missing" in name:
        sys.stderr.write(f"no such image: {name}\n")
        return 1
    (FOLDER / name.replace("/", "_")).touch()
    return 0


def end(name: str, number: signal.Signals) -> int:
    try:
        os.killpg(int((FOLDER / f"{name}.pid").read_text()), number)
    except (FileNotFoundError, ProcessLookupError):
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
