"""What the contract suite shares: sentences of the port's guarantees, and hands that reach behind each log."""

from __future__ import annotations

import ast
import re
import sqlite3
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

from confluent_kafka import Producer
from confluent_kafka import TopicPartition as KafkaPartition
from confluent_kafka.admin import AdminClient

from tasktape.events.log import Log, LogRecord, TopicPartition, open_log, port
from tasktape.events.log.memory import MemoryLog
from tasktape.events.log.sqlite_database import OFFSET_BITS

F = TypeVar("F", bound=Callable[..., object])


def promise(*_sentences: str) -> Callable[[F], F]:
    """Name the sentences of the port's guarantees that a test checks; one test compares both lists."""
    return lambda function: function


def sentences() -> set[str]:
    """Sentences under the headings of *Guarantees* in the port's docstring."""
    text = (port.__doc__ or "").partition("==========\n")[2]
    paragraphs = [textwrap.dedent(part) for part in re.split(r"\n(?=\S)", text)]
    bodies = [" ".join(paragraph.split("\n")[1:]) for paragraph in paragraphs]
    found = [sentence for body in bodies for sentence in re.split(r"(?<=\.)\s+(?=[A-Z`])", " ".join(body.split()))]
    return {sentence for sentence in found if sentence}


def promised(folder: Path) -> set[str]:
    """Sentences named by the tests in a folder."""
    trees = [ast.parse(path.read_text()) for path in folder.glob("test_*.py")]
    calls = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]
    named = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "promise"]
    return {ast.literal_eval(argument) for call in named for argument in call.args}


def elsewhere(url: str, code: str) -> subprocess.CompletedProcess[str]:
    """Run code in another process that has opened the log as `log`; where a log lives in this one, run it here."""
    source = textwrap.dedent(code)
    if url.startswith("memory://"):
        with open_log(url) as log:
            exec(source, {"log": log})
        return subprocess.CompletedProcess([], 0, "", "")
    program = f"from tasktape.events.log import *\nlog = open_log({url!r})\n{source}\nlog.close()\n"
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)


def kafka_servers(log: Log) -> dict[str, Any]:
    """Settings of a client beside ours."""
    return {"bootstrap.servers": log.url.removeprefix("kafka://")}


def forget_before(log: Log, positions: Mapping[TopicPartition, int]) -> None:
    """Delete the records before these positions behind the log's back, as retention does."""
    if isinstance(log, MemoryLog):
        log.delete_before(positions)
    elif log.url.startswith("sqlite:"):
        for source, offset in positions.items():
            _delete(log, source, "place < ?", offset)
    else:
        wanted = [KafkaPartition(*source, offset) for source, offset in positions.items()]
        admin = AdminClient(kafka_servers(log))
        for future in admin.delete_records(wanted).values():
            future.result()


def make_gap(log: Log, source: TopicPartition) -> None:
    """Take an offset of a partition that no record will ever have."""
    if isinstance(log, MemoryLog):
        log.append(source.topic, None, b"gone", partition=source.partition)
        log._store.partitions[source].records.pop()
    elif log.url.startswith("sqlite:"):
        log.append(source.topic, None, b"gone", partition=source.partition)
        log.flush()
        _delete(log, source, "place = ?", log.end_positions([source.topic])[source] - 1)
    else:
        _run_transaction(log, source)


def _delete(log: Log, source: TopicPartition, condition: str, offset: int) -> None:
    with closing(sqlite3.connect(log.url.removeprefix("sqlite://"), timeout=10)) as connection, connection:
        query = "SELECT id FROM partitions WHERE topic = ? AND number = ?"
        (identity,) = connection.execute(query, source).fetchone()
        first = identity << OFFSET_BITS
        connection.execute(f"DELETE FROM records WHERE place >= ? AND {condition}", (first, first + offset))


def _run_transaction(log: Log, source: TopicPartition) -> None:
    """End a transaction: its marker takes an offset, a little later."""
    before = log.end_positions([source.topic])[source]
    producer = Producer(kafka_servers(log) | {"transactional.id": source.topic})
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(source.topic, b"in a transaction", partition=source.partition)
    producer.commit_transaction(30)
    while log.end_positions([source.topic])[source] < before + 2:
        time.sleep(0.01)


def take(reader: port.Reader, count: int) -> list[LogRecord]:
    """Poll until there are `count` records."""
    found: list[LogRecord] = []
    while len(found) < count:
        found += (batch := reader.poll(30))
        assert batch, f"only {len(found)} of {count} records came"
    return found
