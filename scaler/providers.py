"""The providers there are, by name; their libraries are imported only where they are used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .settings import ScalerSettings

if TYPE_CHECKING:
    from ..events.settings import Settings
    from .provider import Provider


def open_provider(scaler: ScalerSettings, settings: Settings) -> Provider:
    """The provider that a scaler's settings name."""
    from .local import LocalProvider  # noqa: PLC0415  one of several

    return LocalProvider(settings.home / "scalers" / scaler.name, 2.0 * scaler.max_idle_time_min)
