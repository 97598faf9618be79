"""Where the benchmarks run: an empty home and a log, processes there, and a follower that is up."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tasktape.events.base import Event
from tasktape.events.log import Log
from tasktape.events.log.past import past_in_batches
from tasktape.events.log.port import Positions
from tasktape.events.settings import Settings
from tasktape.events.wire import read_event

TASKTAPE = str(Path(sys.executable).with_name("tasktape"))


class Site:
    """An empty home and a log."""

    def __init__(self, home: Path, log: str) -> None:
        self.settings = Settings(home=home, log=log)
        kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        self.environment = {**kept, "TASKTAPE_HOME": str(home), "TASKTAPE_LOG": log}

    def start(self, *command: str, **options: Any) -> subprocess.Popen[str]:
        """Start a program here; what it prints is to be read."""
        return subprocess.Popen(command, env=self.environment, stdout=subprocess.PIPE, text=True, **options)

    def run(self, code: str, *arguments: object) -> Any:
        """Run a Python program; return its last line as JSON."""
        with self.start(sys.executable, "-c", code, *map(str, arguments)) as process:
            output, _ = process.communicate()
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, process.args)
        return json.loads(output.splitlines()[-1])

    def sync(self) -> None:
        """Bring what killed processes left to the log."""
        subprocess.run([TASKTAPE, "sync"], env=self.environment, check=True, stdout=subprocess.DEVNULL)

    def said(self, log: Log, since: Positions) -> Iterator[tuple[int, Event]]:
        """Yield the events since these positions, with the log's times in µs."""
        codec = self.settings.codec()
        for records in past_in_batches(log, log.end_positions({source.topic for source in since}), since):
            yield from ((record.timestamp, read_event(record, codec=codec)) for record in records)

    @contextmanager
    def followed(self) -> Iterator[None]:
        """Have `tasktape serve` follow the log; queries from here ask it."""
        with self.start(TASKTAPE, "serve", stderr=subprocess.PIPE) as server:
            if server.stderr is None or "Serving" not in server.stderr.readline():
                raise RuntimeError("tasktape serve did not start")
            try:
                yield
            finally:
                server.terminate()


def cores() -> str:
    """How many processors there are."""
    return f"{os.cpu_count()} cores"
