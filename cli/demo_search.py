"""`tasktape demo search`: tunes the digits example with four agents, and shows the trials."""

from __future__ import annotations

from typing import Final

from .demo import LogUrl
from .demo_examples import QUEUE, agent, examples, prepare, run
from .output import note
from .search import show_search

SCRIPT: Final = "search_digits.py"
NAME: Final = "search digits"
AGENTS: Final = 4
_MODULES: Final = ("sklearn", "joblib", "optuna")


def demo_search(log: LogUrl = "") -> None:
    """See a search work: four agents train the digits example with parameters that Optuna proposes.

    Examples:
    $ tasktape demo search
    $ tasktape demo search --log kafka://localhost:9092
    """
    prepare(log, _MODULES)
    from ..events.settings import load_settings  # noqa: PLC0415  see `reading`

    note(f"Log: {load_settings().log}\n{AGENTS} agents serve the queue {QUEUE!r}.")
    with examples() as commands:
        run(commands, SCRIPT, [agent(commands) for _ in range(AGENTS)])
    show_search(NAME, 0)
    note("\nLook closer: `tasktape search show` with `--html FILE`, or `tasktape dashboard`.")
