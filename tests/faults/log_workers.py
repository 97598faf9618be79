"""What the processes of the log's fault tests do. Each prints lines that its parent reads."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tasktape.events.log import Delivery, Log, open_log


def say(what: object) -> None:
    """Print a line of JSON at once."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def write(log: Log, name: str, count: str) -> None:
    """Append numbered records under one key, some alone and some together; print what was not delivered."""
    errors: list[str] = []

    def report(delivery: Delivery) -> None:
        if delivery.error is not None:
            errors.append(str(delivery.error))

    for number in range(int(count)):
        log.append("facts", name, b"%d" % number, on_delivery=report)
        if number % 3 == 0:
            log.flush()
    log.flush()
    say(errors)


def write_for_ever(log: Log, name: str) -> None:
    """Append numbered records one by one, printing the number of each once it is delivered."""
    number = 0
    while True:
        log.append("facts", name, b"%d" % number)
        assert log.flush() == 0
        say(number)
        number += 1


def follow(log: Log, total: str) -> None:
    """Read until all records have come; print, for each key, whether they came in order and how many."""
    seen: dict[str, list[int]] = {}
    with log.read(log.start_positions(["facts"])) as reader:
        while sum(map(len, seen.values())) < int(total):
            for record in reader.poll(60):
                seen.setdefault(record.key or "", []).append(int(record.value or b""))
    say({key: [numbers == sorted(numbers), len(numbers)] for key, numbers in seen.items()})


def claim(log: Log, name: str, entries: str) -> None:
    """Claim entries as agents do: the first claim in the entry's partition wins. Print those won."""
    first: dict[str, str] = {}
    with log.read(log.start_positions(["claims"])) as reader:
        for number in range(int(entries)):
            entry = f"entry {number}"
            log.append("claims", entry, name.encode())
            log.flush()
            while entry not in first:
                for record in reader.poll(60):
                    first.setdefault(record.key or "", (record.value or b"").decode())
    say([entry for entry, winner in first.items() if winner == name])


WORK: dict[str, Callable[..., Any]] = {
    function.__name__: function for function in (write, write_for_ever, follow, claim)
}


def start_all(url: str, jobs: list[list[str]], folder: Path) -> list[tuple[int, Path, Path]]:
    """Fork one process for each job from this one, which is small and has no threads: (pid, output, errors) of each."""
    started = []
    for number, job in enumerate(jobs):
        output, errors = folder / f"{number}.out", folder / f"{number}.err"
        if (pid := os.fork()) == 0:
            os.dup2(os.open(output, os.O_WRONLY | os.O_CREAT), 1)
            os.dup2(os.open(errors, os.O_WRONLY | os.O_CREAT), 2)
            run(url, *job)
            os._exit(0)
        started.append((pid, output, errors))
    return started


def run(url: str, name: str, *arguments: str) -> None:
    """Do one job on a log of one's own."""
    with open_log(url) as log:
        WORK[name](log, *arguments)


def main() -> None:
    """Do one job, or (given `all`, a folder and jobs as JSON) all of them at once, and wait for them."""
    url, name, *arguments = sys.argv[1:]
    if name != "all":
        run(url, name, *arguments)
        return
    folder, jobs = arguments
    statuses = [os.waitpid(pid, 0)[1] for pid, _, _ in start_all(url, json.loads(jobs), Path(folder))]
    say([os.waitstatus_to_exitcode(status) for status in statuses])


if __name__ == "__main__":
    main()
