"""The providers there are, by name; their libraries are imported only where they are used."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING
from urllib.parse import quote

from ..agent.onlookers import MissingLibraryError
from .settings import ScalerSettings

if TYPE_CHECKING:
    from ..events.settings import Settings
    from .provider import Provider


def open_provider(scaler: ScalerSettings, settings: Settings) -> Provider:
    """The provider that a scaler's settings name. Raises `MissingLibraryError` and `SettingsError`."""
    if scaler.provider == "aws":
        if find_spec("boto3") is None:
            raise MissingLibraryError("a scaler of machines at AWS", "boto3", "aws")
        from .aws import AwsProvider  # noqa: PLC0415  one of several

        return AwsProvider(scaler, settings)
    from .local import LocalProvider  # noqa: PLC0415  one of several

    folder = quote(scaler.name, safe="").replace(".", "%2E")  # one folder, whatever the name
    return LocalProvider(settings.home / "scalers" / folder, 2.0 * scaler.max_idle_time_min)
