"""The scaler as a program: signals in, exit code out."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

from ..agent.log_lines import LogFormat, logging_to_stderr
from ..agent.masking import mask_for
from .providers import open_provider
from .service import Service

if TYPE_CHECKING:
    from ..events.settings import Settings
    from .settings import ScalerSettings


def run_scaler(settings: Settings, scaler: ScalerSettings, log_format: LogFormat = "text") -> None:
    """Scale until SIGTERM or SIGINT; machines stay, and the next scaler of that name goes on with them."""
    with logging_to_stderr(log_format, mask_for(settings, {}), f"scaler/{scaler.name}"):
        service = Service(settings, scaler, open_provider(scaler, settings))
        with _signals(service):
            service.run()


@contextmanager
def _signals(service: Service) -> Iterator[None]:
    def on_signal(_number: int, _frame: FrameType | None) -> None:
        service.leave()

    former = {number: signal.signal(number, on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
