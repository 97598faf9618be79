"""How safely a cluster keeps our topics: asked of the cluster itself, as our topics take the brokers' defaults."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from confluent_kafka.admin import AdminClient, ConfigResource  # type: ignore[attr-defined]

from tasktape.tests.support.lost_acks import ProxiedCluster

PATIENCE = 30.0


class Replication(NamedTuple):
    """On how many brokers each partition of a topic is, and how many must have a record before it is acknowledged."""

    factor: int
    min_in_sync: int


SAFE = Replication(3, 2)


def replication(cluster: ProxiedCluster, prefix: str = "tasktape.") -> Counter[Replication]:
    """Count the topics of each kind of replication; the factor is that of the partition on the fewest brokers."""
    admin = AdminClient({"bootstrap.servers": cluster.direct_url.removeprefix("kafka://"), "log_level": 0})
    topics = {
        name: topic for name, topic in admin.list_topics(timeout=PATIENCE).topics.items() if name.startswith(prefix)
    }
    asked = [ConfigResource(ConfigResource.Type.TOPIC, name) for name in topics]
    found = admin.describe_configs(asked, request_timeout=PATIENCE)
    in_sync = {at.name: int(future.result(PATIENCE)["min.insync.replicas"].value) for at, future in found.items()}
    factors = {name: min(len(part.replicas) for part in topic.partitions.values()) for name, topic in topics.items()}
    return Counter(Replication(factors[name], in_sync[name]) for name in topics)
