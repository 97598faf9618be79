"""Machines at AWS: one call of RunInstances for each, with the instance's id as its token, many at a time.

A token makes a call safe to repeat, which no fleet's call is for single machines: whatever answer was lost, the same
order never makes two. Machines are found by their tags.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ConnectionError, HTTPClientError  # noqa: A004  boto's own

from ..events.errors import SettingsError
from ..events.instance_events import Placement
from .aws_boot import boot_for
from .aws_failures import code_of, kind_of, told
from .aws_launch import INSTANCE, SCALER, arguments, described
from .aws_settings import machines_of
from .errors import ProviderError
from .provider import Described, Launched, Order, Refused
from .user_data import Boot, render

if TYPE_CHECKING:
    from ..events.settings import Settings
    from .settings import ScalerSettings

AT_ONCE: Final = 8
PAGE: Final = 500
_CHUNK: Final = 100
ATTEMPTS: Final = 5
_AGAIN: Final = frozenset({"throttled", "provider"})
_UNKNOWN: Final = ("InvalidInstanceID.NotFound", "InvalidInstanceID.Malformed")


class AwsProvider:
    """EC2 machines of one scaler. `wait` sleeps between attempts at a launch."""

    name = "aws"

    def __init__(self, scaler: ScalerSettings, settings: Settings, wait: Callable[[float], None] = time.sleep) -> None:
        self._scaler = scaler
        self._settings = settings
        self._wait = wait
        self._machines = machines_of(scaler.aws, {name: kind.provider for name, kind in scaler.resources.items()})
        for resource in self._machines:
            render(self._boot(resource, "0" * 32))
        self._launcher = _client(scaler.aws.region, attempts=1)
        self._client = _client(scaler.aws.region, attempts=ATTEMPTS)
        self._pool = ThreadPoolExecutor(AT_ONCE, "tasktape-launch")

    def launch(self, orders: Sequence[Order]) -> list[Launched | Refused]:
        """Ask for all at once; not again for what EC2 has just refused in the same place."""
        closed: dict[tuple[str, Placement], Refused] = {}
        return list(self._pool.map(partial(self._launch, closed), orders))

    def describe(self) -> list[Described]:
        """All machines that bear this scaler's name, with those that ended within the last hour."""
        with _errors("list machines"):
            return [described(each) for each in self._find(SCALER, self._scaler.name)]

    def terminate(self, machines: Sequence[str]) -> None:
        """End machines in chunks."""
        with _errors("end machines"):
            for start in range(0, len(machines), _CHUNK):
                self._terminate(machines[start : start + _CHUNK])

    def close(self) -> None:
        """Let go of threads and connections."""
        self._pool.shutdown()
        self._launcher.close()
        self._client.close()

    def _boot(self, resource: str, instance: str) -> Boot:
        return boot_for(self._scaler, self._settings, resource, self._machines[resource], instance)

    def _launch(self, closed: dict[tuple[str, Placement], Refused], order: Order) -> Launched | Refused:
        place = (order.resource, order.placement)
        if (known := closed.get(place)) is not None:
            return replace(known, instance=order.instance)
        outcome = self._launch_patiently(order)
        if isinstance(outcome, Refused) and outcome.kind not in _AGAIN:
            closed[place] = outcome
        return outcome

    def _launch_patiently(self, order: Order) -> Launched | Refused:
        """Launch a machine; again where EC2 is busy, which for the same token is no second one."""
        script = render(self._boot(order.resource, order.instance))
        asked = arguments(order, self._scaler.name, self._machines[order.resource], script)
        outcome = self._try(order, asked)
        for attempt in range(1, ATTEMPTS):
            if isinstance(outcome, Launched) or outcome.kind not in _AGAIN:
                break
            self._wait(random.uniform(0.5, 1.0) * 2.0**attempt)  # noqa: S311  spreads calls
            outcome = self._try(order, asked)
        return outcome

    def _try(self, order: Order, asked: dict[str, Any]) -> Launched | Refused:
        try:
            return _launched(order, self._launcher.run_instances(**asked)["Instances"][0])
        except ClientError as error:
            if code_of(error) == "IdempotentParameterMismatch":
                return self._launched_before(order, error)
            return Refused(order.instance, kind_of(code_of(error), _status(error)), told(error))
        except (ConnectionError, HTTPClientError) as error:
            return Refused(order.instance, "provider", str(error))
        except BotoCoreError as error:
            return Refused(order.instance, "settings", told(error))

    def _launched_before(self, order: Order, error: ClientError) -> Launched | Refused:
        """The settings have changed since this order was carried out: its machine is as it was asked for then."""
        try:
            known = next(self._find(INSTANCE, order.instance), None)
        except (ClientError, BotoCoreError) as trouble:
            return Refused(order.instance, "provider", str(trouble))
        return _launched(order, known) if known is not None else Refused(order.instance, "provider", told(error))

    def _find(self, tag: str, value: str) -> Iterator[dict[str, Any]]:
        pages = self._client.get_paginator("describe_instances").paginate(
            Filters=[{"Name": f"tag:{tag}", "Values": [value]}], PaginationConfig={"PageSize": PAGE}
        )
        return (each for page in pages for group in page["Reservations"] for each in group["Instances"])

    def _terminate(self, machines: Sequence[str]) -> None:
        """End machines. A call that names one that is forgotten ends none: then each half is asked for on its own."""
        try:
            self._client.terminate_instances(InstanceIds=list(machines))
        except ClientError as error:
            if code_of(error) not in _UNKNOWN:
                raise
            middle = len(machines) // 2
            for half in (machines[:middle], machines[middle:]) if middle else ():
                self._terminate(half)


def _client(region: str, attempts: int) -> Any:
    config = Config(
        connect_timeout=5,
        read_timeout=60,
        max_pool_connections=AT_ONCE,
        retries={"mode": "standard", "total_max_attempts": attempts},
        user_agent_extra="tasktape",
    )
    try:
        return boto3.client("ec2", region_name=region or None, config=config)
    except BotoCoreError as error:
        raise SettingsError(f"EC2 can't be used: {error} Say which region in aws.region.") from error


def _launched(order: Order, found: dict[str, Any]) -> Launched:
    return Launched(order.instance, found["InstanceId"], found["Placement"]["AvailabilityZone"])


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


@contextmanager
def _errors(action: str) -> Iterator[None]:
    try:
        yield
    except (ClientError, BotoCoreError) as error:
        raise ProviderError("aws", action, told(error)) from error
