"""A real Schema Registry with Confluent's API as a child process: Apicurio, which keeps everything in memory."""

from __future__ import annotations

import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Final, Self

from tasktape.tests.kafka.broker import Child, KafkaMissingError, cache_folder, maven, once, require
from tasktape.tests.kafka.ports import free_port

VERSION: Final = "3.0.9"
ARTIFACT: Final = f"io.apicurio:apicurio-registry-app:{VERSION}:tar.gz:all"
START_TIMEOUT: Final = 90.0


def unpacked() -> Path:
    """Folder of the registry's jars, downloaded with Maven the first time."""
    require("java")
    folder = cache_folder() / f"apicurio-{VERSION}"
    with once(folder) as to_be_made:
        if to_be_made:
            require("mvn")
            with tempfile.TemporaryDirectory(dir=folder.parent) as partial:
                maven("dependency:copy", f"-Dartifact={ARTIFACT}", f"-DoutputDirectory={partial}")
                jars = Path(partial, "unpacked")
                jars.mkdir()
                (archive,) = Path(partial).glob("*.tar.gz")
                subprocess.run(["tar", "-xzf", archive, "-C", jars], check=True)
                jars.rename(folder)
    return folder


class Registry(Child):
    """A Schema Registry on a port of its own."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        jar = unpacked() / f"apicurio-registry-app-{VERSION}-runner.jar"
        options = [
            f"-Dquarkus.http.port={self.port}",
            "-Dquarkus.http.host=127.0.0.1",
            "-Dapicurio.storage.kind=sql",
        ]
        memory = ["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
        super().__init__(folder, ["java", *memory, *options, "-jar", str(jar)], "registry")

    @property
    def url(self) -> str:
        """What clients are given as `schema.registry.url`."""
        return f"http://127.0.0.1:{self.port}/apis/ccompat/v7"

    def __enter__(self) -> Self:
        self.launch()
        deadline = time.monotonic() + START_TIMEOUT
        while not self._answers():
            if not self.alive or time.monotonic() > deadline:
                raise KafkaMissingError(f"the Schema Registry did not start:\n{self.tail()}")
            time.sleep(0.1)
        return self

    def __exit__(self, *exc: object) -> None:
        self.kill()

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/subjects", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False
