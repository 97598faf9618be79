"""`tasktape scaler`: machines that come when work waits and go when it doesn't."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal

import typer

from ..events.settings import load_settings

Config = Annotated[Path, typer.Option("--config", "-c", metavar="FILE", help="What it may do; see docs/scaler.md.")]
LogFormat = Annotated[Literal["text", "json"], typer.Option("--log-format", help="How it says on stderr what it does.")]


CONFIG: Final = Path("scaler.toml")


def scaler(config: Config = CONFIG, *, log_format: LogFormat = "text") -> None:
    """Launch machines when work waits in queues, and end those that have nothing to do.

    Ctrl-C or SIGTERM ends the scaler, not its machines: the next one of its name goes on with them.

    Of two with the same name one leads, and the other one waits.

    Examples:
    $ tasktape scaler init
    $ tasktape scaler plan
    $ tasktape scaler
    $ tasktape scaler list
    """
    from ..scaler.config import read_config  # noqa: PLC0415  see `reading`
    from ..scaler.main import run_scaler  # noqa: PLC0415  the same

    run_scaler(load_settings(), read_config(config), log_format)
