"""`tasktape demo`: trains the example, has an agent train two variants of it, and compares them."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Self

import typer

from ..agent.processes import Leash
from ..dashboard.columns import Task, shown_parameter
from ..dashboard.formatting import duration, number
from ..events.errors import SettingsError, TasktapeError
from ..projections.rows import MetricColumn, ParameterColumn, TaskFilter
from .demo_watch import NAME, Seen, Watch, events, open_reader
from .output import Column, note, notes, print_table, status_text

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from ..events.codec import Codec
    from ..events.log import Reader
    from ..events.settings import Settings

QUEUE: Final = "demo"
SCRIPT: Final = Path(__file__).resolve().parent.parent / "examples" / "digits.py"
VARIANTS: Final[dict[str, dict[str, object]]] = {
    "digits, wider": {"Args/hidden": 96},
    "digits, slower": {"Args/lr": 0.0005},
}
PATIENCE: Final = 300.0
"""Seconds after which the demo gives up."""
_GRACE: Final = 20.0
_TICK: Final = 0.25

LogUrl = Annotated[str, typer.Option("--log", metavar="URL", help="Another log than the one that is set.")]


class DemoError(TasktapeError):
    """The demo could not finish."""


def demo(log: LogUrl = "") -> None:
    """See it work: train a small network, have an agent train two variants of it, compare the three.

    Examples:
    $ tasktape demo
    $ tasktape demo --log kafka://localhost:9092
    """
    if missing := [name for name in ("sklearn", "joblib") if importlib.util.find_spec(name) is None]:
        raise SettingsError(f"the demo needs {' and '.join(missing)}: pip install 'tasktape[examples]'.")
    if log:
        os.environ["TASKTAPE_LOG"] = log
    from ..events.settings import load_settings  # noqa: PLC0415  see `reading`

    settings = load_settings()
    watch = _run(settings)
    _compare(settings, watch)
    ids = ",".join(watch.seen)
    note(f"\nLook closer: `tasktape dashboard`, then http://127.0.0.1:8501/compare?compare={ids}")


def _run(settings: Settings) -> Watch:
    """Train, enqueue, wait; return the tasks of this demo."""
    from ..events.base import default_actor  # noqa: PLC0415  see `reading`
    from ..events.topics import TOPICS, queue_spec  # noqa: PLC0415  the same

    note(f"Log: {settings.log}\nAn agent serves the queue {QUEUE!r}; {SCRIPT.name} trains on this machine.")
    watch = Watch(default_actor())
    with settings.open_log() as log, tempfile.TemporaryDirectory(prefix="tasktape-demo-") as folder:
        log.create_topics([*TOPICS, queue_spec(QUEUE)])
        commands = Commands(Path(folder))
        example = shutil.copy(SCRIPT, folder)  # alone it travels whole: a checkout's remote may be out of reach here
        with open_reader(log) as reader, commands, _display(watch) as show:
            agent = commands.start("agent", ["-m", "tasktape.cli.main", "agent", "--queue", QUEUE])
            script = commands.start("script", [example])
            wait = Wait(reader, settings.codec(), watch, show)
            wait.until(lambda: script.ended() and watch.all_ended(), agent, script)
            _enqueue_variants(watch)
            wait.until(watch.all_ended, agent)
    return watch


class Command:
    """A program the demo started; what it prints is kept, to be shown if it fails."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], output: Path) -> None:
        self.name = name
        self.process = process
        self._output = output

    def ended(self) -> bool:
        """Whether it is over."""
        return self.process.poll() is not None

    def check(self) -> None:
        """Raise `DemoError` with its last words if it failed."""
        if code := self.process.poll():
            words = self._output.read_text(errors="replace").strip().splitlines()[-12:]
            raise DemoError(f"the {self.name} ended with exit code {code}:\n" + "\n".join(words))

    def kill(self) -> None:
        """End it at once, as no program expects it."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """End it in order; after a while, end it."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            self.kill()


class Commands:
    """The programs of the demo in a `folder`, each in a session of its own; none outlives it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._leash = Leash()
        self._started: list[Command] = []

    def start(self, name: str, arguments: Sequence[str]) -> Command:
        """Start a Python program in the demo's folder."""
        output = self.folder / f"{name}.log"
        with output.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._leash.hold(process.pid)
        self._started.append(Command(name, process, output))
        return self._started[-1]

    def __enter__(self) -> Self:
        return self

    def stop(self) -> None:
        """End all that were started."""
        while self._started:
            command = self._started.pop()
            command.stop()
            self._leash.let_go(command.process.pid)

    def __exit__(self, *exc: object) -> None:
        self.stop()
        self._leash.close()


class Wait:
    """Follows the log until something has happened."""

    def __init__(self, reader: Reader, codec: Codec, watch: Watch, show: Callable[[], None]) -> None:
        self._reader = reader
        self._codec = codec
        self._watch = watch
        self._show = show
        self._deadline = time.monotonic() + PATIENCE

    def until(self, done: Callable[[], bool], *needed: Command) -> None:
        """Wait until `done`. Raises `DemoError` where a program that is needed fails, or patience ends."""
        self._show()
        while not done():
            changed = [self._watch.apply(event) for event in events(self._reader, self._codec, _TICK)]
            if any(changed):
                self._show()
            for command in needed:
                command.check()
            if time.monotonic() > self._deadline:
                raise DemoError(f"not done within {PATIENCE:.0f} s: `tasktape doctor` tells what is wrong.")


def _enqueue_variants(watch: Watch) -> None:
    from .. import Task  # noqa: PLC0415  see `task_changes`
    from ..producers.session import current_session  # noqa: PLC0415  the same

    (source,) = watch.seen
    for name, parameters in VARIANTS.items():
        variant = Task.clone(source, name=name)
        for parameter, value in parameters.items():
            variant.set_parameter(parameter, value)
        watch.add(variant.id, name)
        Task.enqueue(variant, queue_name=QUEUE)
    current_session().outbox.flush(10.0)


@contextmanager
def _display(watch: Watch) -> Iterator[Callable[[], None]]:
    """A table of the tasks that changes in place; without a terminal a line for each change of status."""
    if not sys.stderr.isatty():
        yield _Lines(watch)
        return
    from rich.live import Live  # noqa: PLC0415  see `output.console`

    with Live(console=notes(), transient=True, refresh_per_second=8) as live:
        yield lambda: live.update(_table(watch))


def _table(watch: Watch) -> Table:
    from rich.table import Table  # noqa: PLC0415  see `output.console`

    table = Table.grid(padding=(0, 2))
    for seen in watch.seen.values() or [Seen("", NAME)]:
        accuracy = "" if seen.accuracy is None else f"{seen.accuracy:.1%} recognised"
        epoch = f"epoch {seen.iteration}" if seen.iteration else ""
        table.add_row(seen.name, status_text(seen.status), epoch, accuracy)
    return table


class _Lines:
    """Says each change of a task's status, once."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._said: set[tuple[str, str]] = set()

    def __call__(self) -> None:
        for seen in self._watch.seen.values():
            if (seen.task, seen.status) not in self._said:
                self._said.add((seen.task, seen.status))
                note(f"{seen.name}: {seen.status}")


def _compare(settings: Settings, watch: Watch) -> None:
    """Print the comparison, from the projection."""
    from ..projections import open_queries  # noqa: PLC0415  see `reading`

    chosen = (
        ParameterColumn("Args/lr"),
        ParameterColumn("Args/hidden"),
        MetricColumn("accuracy", "train"),
        MetricColumn("accuracy", "validation"),
        MetricColumn("loss", "validation", "min"),
    )
    with open_queries(settings, fresh=True) as queries:
        wanted = TaskFilter(ids=tuple(watch.seen), order_by=("created_at",))
        tasks = queries.task_rows(wanted, chosen)
    titles = ("LR", "HIDDEN", "TRAIN", "VALIDATION", "LOSS", "TIME")
    columns = [
        Column("ACCURACY OF", grow=True),
        *(Column(title, right=True) for title in titles),
        Column("RAN"),
    ]
    print_table(columns, [_cells(task) for task in tasks], "The projection knows none of these tasks.")
    if failed := [seen.name for seen in watch.seen.values() if seen.status != "completed"]:
        raise DemoError(f"{' and '.join(failed)} did not complete: `tasktape tasks logs NAME` tells why.")


def _cells(task: Task) -> list[str | Text]:
    runtime = (task["ended_at"] - task["started_at"]).total_seconds() if task["ended_at"] else None
    return [
        task["name"],
        shown_parameter(task["c0"] or ""),
        shown_parameter(task["c1"] or ""),
        *(number(task[name], 4) for name in ("c2", "c3", "c4")),
        duration(runtime),
        "agent" if task["worker"] else "here",
    ]
