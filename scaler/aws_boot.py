"""What a machine at AWS is to become: the scaler's settings of log and blobs, and what the machine's say beside them.

Secrets of the scaler's do not travel: for each the machine's settings must refer to one that it can read itself.
"""

from __future__ import annotations

from importlib.metadata import version
from math import ceil
from typing import TYPE_CHECKING, Any, Final

from ..events.errors import SettingsError
from ..events.settings import Settings, without_credentials
from .aws_settings import AwsMachine, is_secret_property, merged
from .references import FORMS, reference
from .user_data import Boot

if TYPE_CHECKING:
    from .settings import ScalerSettings

_SHARED: Final = ("log", "schema_registry", "blobs", "projection", "output_uri", "heartbeat_interval", "claim_lease")
_PLACES: Final = ("log", "blobs")


def boot_for(scaler: ScalerSettings, settings: Settings, resource: str, machine: AwsMachine, instance: str) -> Boot:
    """The machine of a resource. Raises `SettingsError` where it could not do what it is for."""
    return Boot(
        instance=instance,
        settings=_settings(settings, machine),
        options=_options(scaler, resource, machine),
        package=machine.package or f"tasktape[aws]=={version('tasktape')}",
        region=scaler.aws.region,
        user=machine.user,
        environment=machine.environment,
        before=machine.extra_vm_bash_script,
        docker=bool(machine.default_docker_image),
        minutes=ceil(scaler.spin_up_seconds(resource) / 60.0),
    )


def _options(scaler: ScalerSettings, resource: str, machine: AwsMachine) -> list[str]:
    options = [part for queue in scaler.queues_of(resource) for part in ("--queue", queue)]
    options += [*scaler.resources[resource].agent_options(), "--preemptible"]
    options += ["--max-idle-min", f"{scaler.minutes_alone(resource):g}"]
    if machine.default_docker_image:
        options += ["--docker", machine.default_docker_image]
    return [*options, *machine.agent_options]


def _settings(settings: Settings, machine: AwsMachine) -> dict[str, Any]:
    own = {name: value for name in _SHARED if (value := getattr(settings, name)) not in ("", None)}
    found: dict[str, Any] = merged({**own, "kafka": dict(settings.kafka)}, machine.settings)
    for name, value in _secrets(found):
        if reference(value) is None:
            raise SettingsError(f"{name} is a secret, which does not travel: say {FORMS} in aws.settings.{name}.")
    for name in _PLACES:
        if _is_of_this_machine(found[name]):
            raise SettingsError(
                f"{name} is {found[name]}, which machines at AWS can't reach: say another in aws.settings.{name}."
            )
    return found


def _secrets(settings: dict[str, Any]) -> list[tuple[str, str]]:
    found = [(f"kafka.{name}", value) for name, value in settings["kafka"].items() if is_secret_property(name)]
    addresses = ((name, value) for name, value in settings.items() if isinstance(value, str))
    return [*found, *((name, value) for name, value in addresses if without_credentials(value) != value)]


def _is_of_this_machine(place: str) -> bool:
    return reference(place) is None and ("://" not in place or place.startswith(("sqlite:", "memory:")))
