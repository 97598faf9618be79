"""Who may do what on a Kafka: the access rules (ACLs) that each role's work needs, and not one more.

`WRITE` and `READ` include `DESCRIBE`. Every role sees all topics that are always there, or it would take them for
missing. Reading needs no group: groups are for agents and scalers. Idempotent appends need no rule besides `WRITE`.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from typing import Final, Literal, NamedTuple, TypeAlias, get_args

from .groups import AGENTS_PREFIX, SCALERS_PREFIX, agents_group
from .instance_events import InstanceEvent
from .queue_events import QUEUE_TOPIC_PREFIX, AbortRequested, QueueEvent, queue_topic
from .report_events import ConsoleWritten, ReportEvent, ScalarsReported
from .task_events import TasksEvent
from .topics import TOPICS
from .worker_events import WorkerEvent

Role: TypeAlias = Literal["sdk", "agent", "scaler", "viewer", "auditor", "admin"]
Resource: TypeAlias = Literal["topic", "group", "cluster"]

ROLES: Final[tuple[Role, ...]] = get_args(Role)
WITH_QUEUES: Final[tuple[Role, ...]] = ("sdk", "agent")
"""Roles that can be kept to given queues."""

CLUSTER: Final = "kafka-cluster"
_OURS: Final = "tasktape."
_SEE: Final = ("DESCRIBE", "DESCRIBE_CONFIGS")
_READ: Final = ("READ", "DESCRIBE_CONFIGS")
_WRITE: Final = ("WRITE",)
_BOTH: Final = ("READ", "WRITE", "DESCRIBE_CONFIGS")

_RESULTS: Final = (
    TasksEvent.topic,
    ScalarsReported.topic,
    ReportEvent.topic,
    ConsoleWritten.topic,
    AbortRequested.topic,
)
"""What a script writes: about tasks, its own and those it starts, and requests to stop them."""


class Acl(NamedTuple):
    """Operations allowed on a resource; `prefixed` means on all whose names begin so."""

    resource: Resource
    name: str
    operations: tuple[str, ...]
    prefixed: bool = False


def acls_of(role: Role, queues: Sequence[str] = ()) -> list[Acl]:
    """Return the rules of a role; SDK users and agents may be kept to given queues."""
    return _OF_ROLE[role](list(dict.fromkeys(queues)))


def _sdk(queues: Sequence[str]) -> list[Acl]:
    """Scripts and people at work: read tasks, write results, enqueue. No group, so nothing is ever claimed."""
    return [*_base(_RESULTS), *_queue_topics(_BOTH, queues)]


def _agent(queues: Sequence[str]) -> list[Acl]:
    """Agents, and the scripts they run. One that is kept to given queues looks after no workers of others."""
    groups = [Acl("group", agents_group(queue), ("READ",)) for queue in queues]
    everywhere = [Acl("group", AGENTS_PREFIX, ("READ",), prefixed=True)]
    written = (*_RESULTS, WorkerEvent.topic, QueueEvent.topic)
    return [*_base(written), *_queue_topics(_BOTH, queues), *(groups or everywhere)]


def _scaler(_: Sequence[str]) -> list[Acl]:
    """Machines come and go: reads what waits and who serves it, writes of machines and asks their agents to leave."""
    read = {TasksEvent.topic, QueueEvent.topic, WorkerEvent.topic}
    written = (AbortRequested.topic, InstanceEvent.topic)
    seen = [spec.name for spec in TOPICS if spec.name not in written]
    topics = [Acl("topic", name, _READ if name in read else _SEE) for name in seen]
    leads = Acl("group", SCALERS_PREFIX, ("READ",), prefixed=True)
    return [*topics, *(Acl("topic", name, _BOTH) for name in written), *_queue_topics(_READ, ()), leads]


def _viewer(_: Sequence[str]) -> list[Acl]:
    """People and dashboards that look at everything."""
    return [Acl("topic", _OURS, _READ, prefixed=True)]


def _auditor(_: Sequence[str]) -> list[Acl]:
    """Reads everything, what groups have committed and the access rules themselves too."""
    groups = Acl("group", _OURS, ("DESCRIBE",), prefixed=True)
    return [*_viewer(()), groups, Acl("cluster", CLUSTER, ("DESCRIBE",))]


def _admin(_: Sequence[str]) -> list[Acl]:
    """Creates topics and queues, and gives roles to others."""
    ours = [Acl("topic", _OURS, ("ALL",), prefixed=True), Acl("group", _OURS, ("ALL",), prefixed=True)]
    return [*ours, Acl("cluster", CLUSTER, ("DESCRIBE", "ALTER"))]


_OF_ROLE: Final[Mapping[Role, Callable[[Sequence[str]], list[Acl]]]] = {
    "sdk": _sdk,
    "agent": _agent,
    "scaler": _scaler,
    "viewer": _viewer,
    "auditor": _auditor,
    "admin": _admin,
}


def _base(written: Iterable[str]) -> list[Acl]:
    """Rules for the topics that are always there: all are read, these are written."""
    names = set(written)
    return [Acl("topic", spec.name, _BOTH if spec.name in names else _READ) for spec in TOPICS]


def _queue_topics(operations: tuple[str, ...], queues: Sequence[str]) -> list[Acl]:
    """Rules for the topics of these queues; of all queues where none are given."""
    if not queues:
        return [Acl("topic", QUEUE_TOPIC_PREFIX, operations, prefixed=True)]
    return [Acl("topic", queue_topic(queue), operations) for queue in queues]


def commands(acls: Iterable[Acl], principal: str, servers: str) -> list[str]:
    """Return the commands of Apache Kafka that give a principal these rules; alike ones are put together."""
    alike: dict[tuple[Resource, tuple[str, ...], bool], list[str]] = {}
    for acl in acls:
        alike.setdefault((acl.resource, acl.operations, acl.prefixed), []).append(acl.name)
    start = f"kafka-acls.sh --bootstrap-server {servers} --command-config admin.properties"
    return [
        f"{start} --add --allow-principal {shlex.quote(principal)} {_options(names, *kind)}"
        for kind, names in alike.items()
    ]


def _options(names: Sequence[str], resource: Resource, operations: Sequence[str], prefixed: bool) -> str:
    words = chain.from_iterable(("--operation", _spelt(operation)) for operation in operations)
    if resource == "cluster":
        return " ".join((*words, "--cluster"))
    named = chain.from_iterable((f"--{resource}", shlex.quote(name)) for name in names)
    pattern = "prefixed" if prefixed else "literal"
    return " ".join((*words, *named, "--resource-pattern-type", pattern))


def _spelt(operation: str) -> str:
    """An operation as `kafka-acls.sh` spells it: `DescribeConfigs`."""
    return operation.title().replace("_", "")
