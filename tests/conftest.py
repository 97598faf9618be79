"""Fixtures all tests share: a home of their own, the logs, a real Kafka and a real Schema Registry."""

from __future__ import annotations

import gc
import inspect
import os
import signal
import time
import uuid
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NoReturn

import hypothesis
import pytest
from confluent_kafka.admin import AdminClient

from tasktape.events.log import Log, open_log
from tasktape.producers.session import change_session
from tasktape.tests.kafka.broker import Broker, Cluster, KafkaMissingError, jars
from tasktape.tests.kafka.container import engine_answers, kafka_container
from tasktape.tests.kafka.registry import Registry

KEPT = ("TASKTAPE_TEST_", "TASKTAPE_REQUIRE_", "TASKTAPE_KAFKA_CACHE")
LOG_OF_FIXTURE = {"kafka_url": "kafka", "kafka_jars": "kafka"}

signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in a shell's background ignores it, as do its children

hypothesis.settings.register_profile("untimed", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("untimed")

for name in [name for name in os.environ if name.startswith("TASKTAPE_") and not name.startswith(KEPT)]:
    del os.environ[name]


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Keep all that was collected out of the garbage collector's sight: half of the time went to walks through it."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_xdist_auto_num_workers() -> int | None:
    """Half as many processes more than cores: tests of processes wait now and then. The usual variable wins."""
    return None if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ else (os.cpu_count() or 1) * 3 // 2


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, beside which all else is run."""
    items.sort(key=lambda item: item.get_closest_marker("machine") is None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note in a report which logs its test uses: reports alone travel from the processes that run tests."""
    report = yield
    report.user_properties += [("log", kind) for kind in logs_of(item)]
    return report


def logs_of(item: pytest.Item) -> set[str]:
    """Kinds of log a test uses: from its parameter, else from its fixtures."""
    parameters: dict[str, Any] = getattr(getattr(item, "callspec", None), "params", {})
    if kind := parameters.get("log_kind") or parameters.get("log_url"):
        return {kind}
    return {kind for fixture, kind in LOG_OF_FIXTURE.items() if fixture in getattr(item, "fixturenames", ())}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many tests ran on which log; skipped ones did not."""
    ran = [report for kind in ("passed", "failed") for report in terminalreporter.stats.get(kind, ())]
    counts = Counter(log for report in ran if report.when == "call" for _, log in report.user_properties)
    if counts:
        line = " · ".join(f"log {kind}: {count} tests" for kind, count in sorted(counts.items()))
        terminalreporter.write_line(line)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Folder for everything tasktape keeps; nothing touches the user's own, and no session outlives its test's home."""
    folder = tmp_path / "home"
    monkeypatch.setenv("TASKTAPE_HOME", str(folder))
    yield folder
    change_session(None)


@pytest.fixture
def until() -> Callable[[Callable[[], Any]], Any]:
    """Wait for a condition: calls again until the answer is true, fails after 30 seconds, returns the answer."""
    return wait_until


def wait_until(condition: Callable[[], Any], timeout: float = 30.0) -> Any:
    deadline = time.monotonic() + timeout
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"still not so after {timeout:.0f} s: {inspect.getsource(condition)}"
        time.sleep(0.002)
    return answer


def missing(what: str, error: RuntimeError) -> NoReturn:
    """Fail where the thing is required, else skip."""
    if os.environ.get(f"TASKTAPE_REQUIRE_{what}") == "1":
        pytest.fail(f"required, but not to be had: {error}")
    pytest.skip(str(error))


@pytest.fixture(scope="session")
def kafka_jars() -> Path:
    """Folder of Kafka's jars, for tests that start brokers themselves."""
    try:
        return jars()
    except KafkaMissingError as error:
        missing("KAFKA", error)


@pytest.fixture(scope="session")
def kafka_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a Kafka for all tests that do it no harm."""
    with ExitStack() as stack:
        try:
            address = _find_kafka(stack, tmp_path_factory)
        except KafkaMissingError as error:
            missing("KAFKA", error)
        yield f"kafka://{address.removeprefix('kafka://')}"


def _find_kafka(stack: ExitStack, folders: pytest.TempPathFactory) -> str:
    """Return the Kafka that was named, else one in a container, else one as a child process."""
    if named := os.environ.get("TASKTAPE_TEST_KAFKA"):
        return named
    if engine_answers():
        return stack.enter_context(kafka_container())
    return stack.enter_context(Broker(folders.mktemp("kafka"))).address


@pytest.fixture(scope="session")
def registry_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a real Schema Registry: the one TASKTAPE_TEST_REGISTRY names, else one as a child process."""
    with ExitStack() as stack:
        try:
            named = os.environ.get("TASKTAPE_TEST_REGISTRY")
            url = named or stack.enter_context(Registry(tmp_path_factory.mktemp("registry"))).url
        except KafkaMissingError as error:
            missing("REGISTRY", error)
        yield url


@pytest.fixture(scope="module")
def _breakable_broker(kafka_jars: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    assert kafka_jars.is_dir()
    started = Broker(tmp_path_factory.mktemp("kafka")).start()
    yield started
    started.kill()


@pytest.fixture
def broker(_breakable_broker: Broker) -> Broker:
    """A running broker that tests may break. Use topics of your own."""
    if _breakable_broker.alive:
        _breakable_broker.resume()
    else:
        _breakable_broker.start()
    return _breakable_broker


@pytest.fixture
def cluster(kafka_jars: Path, tmp_path: Path) -> Iterator[Cluster]:
    """Three brokers of the test's own."""
    assert kafka_jars.is_dir()
    with Cluster(tmp_path / "cluster") as started:
        yield started


@pytest.fixture(params=["memory", "sqlite", pytest.param("kafka", marks=pytest.mark.kafka)])
def log_kind(request: pytest.FixtureRequest) -> str:
    """Each kind of log in turn."""
    return str(request.param)


@pytest.fixture
def any_log_url(log_kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of each kind of log in turn. The Kafka is the session's: use topics of your own."""
    urls: dict[str, Callable[[], str]] = {
        "memory": lambda: f"memory://{uuid.uuid4().hex}",
        "sqlite": lambda: f"sqlite://{tmp_path}/log.db",
        "kafka": lambda: str(request.getfixturevalue("kafka_url")),
    }
    return urls[log_kind]()


@pytest.fixture
def any_log(any_log_url: str) -> Iterator[Log]:
    """A log of each kind in turn."""
    with open_log(any_log_url) as log:
        yield log


@pytest.fixture
def kafka_log(kafka_url: str) -> Iterator[Log]:
    """A log on the session's Kafka."""
    with open_log(kafka_url) as log:
        yield log


@pytest.fixture
def topic() -> str:
    """Name of a topic of the test's own, on whatever log."""
    return f"test-{uuid.uuid4().hex[:16]}"


@pytest.fixture(params=["sqlite", pytest.param("kafka", marks=pytest.mark.kafka)])
def log_url(request: pytest.FixtureRequest, home: Path) -> str:
    """URL of an empty log for programs, embedded and Kafka in turn: `TASKTAPE_LOG` for them."""
    if request.param == "sqlite":
        return f"sqlite://{home}/log.db"
    url = str(request.getfixturevalue("kafka_url"))
    if not os.environ.get("TASKTAPE_TEST_KAFKA"):
        empty(url.removeprefix("kafka://"))
    return url


def empty(address: str) -> None:
    """Delete all topics of tasktape from a Kafka of our own."""
    client = AdminClient({"bootstrap.servers": address})
    ours = [name for name in client.list_topics(timeout=10).topics if name.startswith("tasktape.")]
    if ours:
        for future in client.delete_topics(ours, operation_timeout=10).values():
            future.result()
    wait_until(lambda: not any(name.startswith("tasktape.") for name in client.list_topics(timeout=10).topics))
