"""Apache Kafka as child processes, without Docker: brokers that tests can stop, kill, freeze and restart.

As a program: `broker.py run [--port PORT]` serves until it is told to stop and prints its address first,
`broker.py with -- COMMAND …` runs a command with TASKTAPE_LOG set to a broker of its own, `broker.py fetch` only
gets the jars ready.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import shutil
import signal
import string
import subprocess
import sys
import tempfile
import time
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from tasktape.tests.kafka.ports import free_port

HERE = Path(__file__).parent
VERSION = "4.3.1"
JAVA = ("-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData", "-Xshare:auto")
START_TIMEOUT = 60.0
STOP_TIMEOUT = 30.0
NO_PROPERTIES: Mapping[str, str] = {}


class KafkaMissingError(RuntimeError):
    """No Kafka can be had here; the message says what is missing and how to get it."""


def cache_folder() -> Path:
    """Where the jars lie: `TASKTAPE_KAFKA_CACHE`, else under the user's cache folder."""
    if named := os.environ.get("TASKTAPE_KAFKA_CACHE"):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tasktape"


@contextmanager
def once(path: Path) -> Iterator[bool]:
    """Whether `path` is still to be made, while no other process makes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield not path.exists()


def maven(*arguments: str) -> None:
    """Run Maven quietly; what it says is shown only when it fails."""
    done = subprocess.run(["mvn", "-q", "-B", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise KafkaMissingError(f"Maven failed: {(done.stdout + done.stderr).strip()[-500:]}")


def require(*programs: str) -> None:
    """Raise `KafkaMissingError` unless all programs are there."""
    if missing := [program for program in programs if shutil.which(program) is None]:
        what = " and ".join(missing)
        raise KafkaMissingError(
            f"{what} not found: apt-get install openjdk-17-jre-headless maven, or set TASKTAPE_TEST_KAFKA"
        )


def jars() -> Path:
    """Folder of the jars that pom.xml names, downloaded with Maven the first time."""
    require("java")
    wanted = hashlib.sha256((HERE / "pom.xml").read_bytes()).hexdigest()[:8]
    folder = cache_folder() / f"kafka-{VERSION}-{wanted}"
    with once(folder) as to_be_made:
        if to_be_made:
            require("mvn")
            with tempfile.TemporaryDirectory(dir=folder.parent) as partial:
                maven("-f", str(HERE / "pom.xml"), "dependency:copy-dependencies", f"-DoutputDirectory={partial}/jars")
                Path(partial, "jars").rename(folder)
    return folder


def class_archive() -> Path:
    """Where Kafka's classes lie as Java has them in memory, if `make_class_archive` has been called once."""
    return jars() / "classes.jsa"


def make_class_archive() -> None:
    """Have a broker write Kafka's classes at its end: all others start in half the time. Takes some 10 s."""
    archive = class_archive()
    with once(archive) as to_be_made:
        if to_be_made:
            with tempfile.TemporaryDirectory(dir=archive.parent) as partial:
                written = Path(partial, archive.name)
                with Broker(Path(partial), option=f"-XX:ArchiveClassesAtExit={written}"):
                    pass
                written.touch()  # a Java that writes none takes none, and goes on without
                written.rename(archive)


def java(main: str, *arguments: str, option: str = "") -> list[str]:
    """Return the command that runs one of Kafka's programs. Java does without an archive that is not its own."""
    logging = f"-Dlog4j2.configurationFile={HERE / 'log4j2.properties'}"
    option = option or f"-XX:SharedArchiveFile={class_archive()}"
    return ["java", *JAVA, option, logging, "-cp", f"{jars()}/*", main, *arguments]


def serves(address: str, properties: Mapping[str, str] = NO_PROPERTIES) -> bool:
    """Whether a Kafka at `host:port` answers its clients now."""
    client = AdminClient({"bootstrap.servers": address, "log_level": 0, **properties})
    try:
        return bool(client.list_topics(timeout=1).brokers)
    except KafkaException:
        return False


def _own_environment() -> dict[str, str]:
    """The environment without its settings of tasktape: a test takes what has its home for its own, and ends it."""
    return {name: value for name, value in os.environ.items() if not name.startswith("TASKTAPE_")}


class Child:
    """A server process that ends with this one, however this one ends, and can be made to fail."""

    def __init__(self, folder: Path, command: Sequence[str], name: str) -> None:
        self.folder = folder
        self.output = folder / f"{name}.log"
        self._command = list(command)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Process id; the process must have been started."""
        assert self._process is not None
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process runs (or is frozen)."""
        return self._process is not None and self._process.poll() is None

    def launch(self) -> None:
        """Start the process. The kernel kills it when the calling thread ends: call this from the main thread."""
        guard = ["setpriv", "--pdeathsig", "KILL", "--"] if shutil.which("setpriv") else []
        with self.output.open("ab") as output:
            self._process = subprocess.Popen(
                [*guard, *self._command],
                cwd=self.folder,
                env=_own_environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    def stop(self) -> None:
        """Ask the process to end in order and wait for it; kill it when it does not."""
        if self.alive:
            self.resume()
            self._signal(signal.SIGTERM)
            try:
                self._wait(STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """Kill the process at once (SIGKILL) and wait until it is gone."""
        if self.alive:
            self._signal(signal.SIGKILL)
            self._wait(STOP_TIMEOUT)

    def freeze(self) -> None:
        """Stop the process in its tracks (SIGSTOP): its connections stay open and nothing answers."""
        self._signal(signal.SIGSTOP)
        while self.state() != "T":
            time.sleep(0.001)

    def resume(self) -> None:
        """Let a frozen process go on."""
        self._signal(signal.SIGCONT)

    def state(self) -> str:
        """State of the process as proc(5) has it: `S` sleeping, `R` running, `T` frozen."""
        return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0]

    def tail(self) -> str:
        """Return the last lines of the output."""
        return "\n".join(self.output.read_text(errors="replace").splitlines()[-15:])

    def _signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def _wait(self, timeout: float) -> None:
        assert self._process is not None
        self._process.wait(timeout)


class Broker(Child):
    """One node of a Kafka. Port and data stay the same over restarts.

    `features` are levels below the newest, such as `group.version=0` for a broker without KIP-848; `settings` are lines
    of server.properties that win over the usual ones; `option` is for Java.
    """

    def __init__(
        self,
        folder: Path,
        *,
        port: int = 0,
        node: int = 1,
        nodes: dict[int, Node] | None = None,
        features: Sequence[str] = (),
        settings: str = "",
        option: str = "",
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.node = node
        self._features = features
        self._settings = settings
        self._option = option
        self._nodes = nodes or {node: Node(port)}
        self.port = self._nodes[node].port
        self._properties = folder / "server.properties"
        super().__init__(folder, java("kafka.Kafka", str(self._properties), option=option), "broker")

    @property
    def address(self) -> str:
        """`host:port` for clients."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """URL of the log."""
        return f"kafka://{self.address}"

    def start(self) -> Self:
        """Start and wait until it answers."""
        self.begin()
        self.wait_until_ready()
        return self

    def begin(self) -> None:
        """Start without waiting."""
        if not self._properties.exists():
            self._lay_out()
        self.launch()

    def restart(self) -> None:
        """Stop in order, start again."""
        self.stop()
        self.start()

    def wait_until_ready(self) -> None:
        """Wait until the broker serves its clients."""
        deadline = time.monotonic() + START_TIMEOUT
        while not serves(self.address):
            if not self.alive or time.monotonic() > deadline:
                raise KafkaMissingError(f"Kafka did not start:\n{self.tail()}")

    def _lay_out(self) -> None:
        """Write the settings and format the data folder."""
        template = string.Template((HERE / "server.properties").read_text())
        me = self._nodes[self.node]
        replicas = min(3, len(self._nodes))
        values = {
            "node": self.node,
            "port": me.port,
            "controller_port": me.controller_port,
            "controllers": ",".join(f"127.0.0.1:{node.controller_port}" for node in self._nodes.values()),
            "data": self.folder / "data",
            "replicas": replicas,
            "in_sync": min(2, replicas),
        }
        self._properties.write_text(f"{template.substitute(values)}\n{self._settings}")
        done = subprocess.run(self._format_command(), cwd=self.folder, capture_output=True, text=True, check=False)
        if done.returncode:
            raise KafkaMissingError(f"Kafka's storage tool failed: {(done.stdout + done.stderr).strip()[-500:]}")

    def _format_command(self) -> list[str]:
        cluster = _kafka_uuid(f"cluster {[node.port for node in self._nodes.values()]}")
        controllers = [f"{n}@127.0.0.1:{node.controller_port}:{_kafka_uuid(str(n))}" for n, node in self._nodes.items()]
        quorum = ["--standalone"] if len(self._nodes) == 1 else ["--initial-controllers", ",".join(controllers)]
        features = [word for feature in self._features for word in ("--feature", feature)]
        arguments = ["format", "-t", cluster, "-c", str(self._properties), *quorum, *features]
        return java("kafka.tools.StorageTool", *arguments, option=self._option)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.stop()


class Node:
    """Ports of one node."""

    def __init__(self, port: int = 0) -> None:
        self.port = port or free_port()
        self.controller_port = free_port()


def _kafka_uuid(seed: str) -> str:
    """Return a UUID the way Kafka writes them, the same for the same seed."""
    return urlsafe_b64encode(uuid.uuid5(uuid.NAMESPACE_OID, seed).bytes).decode().rstrip("=").replace("-", "A")


class Cluster:
    """Three brokers: every topic on all of them, two must have a record before it counts as appended."""

    def __init__(self, folder: Path) -> None:
        nodes = {number: Node() for number in (1, 2, 3)}
        self.brokers = [
            Broker(folder / f"node{number}", node=number, nodes=nodes, settings=self.settings(node))
            for number, node in nodes.items()
        ]

    def settings(self, node: Node) -> str:  # noqa: ARG002  subclasses look at it
        """Lines of a node's server.properties that win over the usual ones."""
        return ""

    @property
    def url(self) -> str:
        """URL of the log, naming all three."""
        return "kafka://" + ",".join(broker.address for broker in self.brokers)

    def is_in_sync(self) -> bool:
        """Whether every partition is on all three, as each says: then any one may fail, and none lives in the past."""
        return all(map(self._is_in_sync, self.brokers))

    def _is_in_sync(self, broker: Broker) -> bool:
        client = AdminClient({"bootstrap.servers": broker.address, "log_level": 0})
        try:
            topics = client.list_topics(timeout=10).topics.values()
        except KafkaException:
            return False
        return all(
            len(partition.isrs) == len(self.brokers) for topic in topics for partition in topic.partitions.values()
        )

    def __enter__(self) -> Self:
        for broker in self.brokers:
            broker.begin()
        for broker in self.brokers:
            broker.wait_until_ready()
        return self

    def __exit__(self, *exc: object) -> None:
        for broker in self.brokers:
            broker.kill()


def _run(port: int) -> int:
    with tempfile.TemporaryDirectory(prefix="tasktape-kafka-") as folder, Broker(Path(folder), port=port) as broker:
        sys.stdout.write(f"{broker.address}\n")
        sys.stdout.flush()
        signal.pause()
    return 0


def _run_with(command: Sequence[str]) -> int:
    with tempfile.TemporaryDirectory(prefix="tasktape-kafka-") as folder, Broker(Path(folder)) as broker:
        return subprocess.run(command, env=os.environ | {"TASKTAPE_LOG": broker.url}, check=False).returncode


def main() -> int:
    """Run the program the module's docstring describes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("run").add_argument("--port", type=int, default=9092)
    commands.add_parser("fetch")
    commands.add_parser("with").add_argument("argv", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    try:
        if arguments.command == "run":
            return _run(arguments.port)
        if arguments.command == "with":
            return _run_with(arguments.argv[arguments.argv[:1] == ["--"] :])
        make_class_archive()
    except KafkaMissingError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
