"""`tasktape demo scaler`: tasks arrive, a scaler has agents come for them, dies on the way, and lets the agents go."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Annotated, Final

import typer

from ..events.errors import TasktapeError
from ..producers.text import counted
from .demo import PATIENCE, Command, Commands, DemoError, LogUrl
from .demo_examples import examples, prepare
from .demo_scaler_watch import Machine, Scaling
from .demo_watch import events
from .output import Column, note, print_table
from .search_here import let_signals_interrupt

if TYPE_CHECKING:
    from ..events.settings import Settings
    from ..scaler.provider import Provider
    from ..scaler.settings import ScalerSettings

CONFIG: Final = "scaler.toml"
SCRIPT: Final = "scaler_tasks.py"
TASKS: Final = 40
_TICK: Final = 0.1
_GRACE: Final = 20.0

Count = Annotated[int, typer.Option("--tasks", min=1, help="How many tasks arrive.")]


def demo_scaler(log: LogUrl = "", tasks: Count = TASKS) -> None:
    """See a scaler work: tasks arrive, agents of this machine come for them, up to four, and go when nothing waits.

    The scaler is killed on the way, and another one goes on where it was. No agent is left running.

    Examples:
    $ tasktape demo scaler
    $ tasktape demo scaler --log kafka://localhost:9092
    """
    prepare(log, ())
    from ..events.settings import load_settings, without_credentials  # noqa: PLC0415  see `reading`
    from ..scaler.config import read_config  # noqa: PLC0415  the same

    settings = load_settings()
    with examples() as commands:
        scaler = read_config(commands.folder / CONFIG)
        (queue,) = scaler.queues
        most = scaler.maximum("agent", queue)
        note(f"Log: {without_credentials(settings.log)}")
        note(f"A scaler may have up to {most} agents of this machine for the queue {queue!r}.")
        let_signals_interrupt()
        with _story(settings, scaler, commands) as story:
            story.tell(tasks)
    _summary(story.seen, tasks)
    note("\nLook closer: `tasktape scaler list --gone`, or `tasktape dashboard`, there the page Scalers.")


class Story:
    """What happens, in the order of the log, until all is over."""

    def __init__(self, commands: Commands, seen: Scaling, idle: float, news: Callable[[], Iterator[str]]) -> None:
        self.seen = seen
        self._idle = idle
        self._commands = commands
        self._news = news
        self._deadline = time.monotonic() + PATIENCE

    def tell(self, tasks: int) -> None:
        """Have tasks arrive and be run; in between the scaler dies. Raises `DemoError` where patience ends."""
        scaler = self._scaler()
        self._until(lambda: self.seen.leads == 1, scaler)
        note(f"        {SCRIPT} puts {counted(tasks, 'task')} into the queue, one after the other")
        script = self._commands.start(SCRIPT, [SCRIPT, "--tasks", str(tasks)])
        self._until(lambda: self.seen.over() > tasks // 4, scaler, script)
        scaler.kill()
        note("        the scaler is killed (kill -9); agents go on without it, and another scaler starts")
        scaler = self._scaler()
        self._until(lambda: self.seen.over() == tasks, scaler, script)
        note(f"        nothing waits any more: agents that have had nothing to do for {self._idle:g} s go")
        self._until(lambda: not self.seen.live(), scaler)

    def _scaler(self) -> Command:
        return self._commands.start("scaler", ["-m", "tasktape.cli.main", "scaler", "--config", CONFIG])

    def _until(self, done: Callable[[], bool], *needed: Command) -> None:
        while not done():
            for line in self._news():
                note(line)
            for command in needed:
                command.check()
            if time.monotonic() > self._deadline:
                raise DemoError(f"not done within {PATIENCE:.0f} s: `tasktape doctor` tells what is wrong.")


@contextmanager
def _story(settings: Settings, scaler: ScalerSettings, commands: Commands) -> Iterator[Story]:
    """Follow the log from now on; whatever happens, no agent outlives the story."""
    from ..events.instance_events import InstanceEvent  # noqa: PLC0415  see `reading`
    from ..events.queue_events import queue_topic  # noqa: PLC0415  the same
    from ..events.topics import TOPICS, queue_spec  # noqa: PLC0415  the same
    from ..scaler.providers import open_provider  # noqa: PLC0415  the same

    began, seen = time.monotonic(), Scaling(scaler.name)
    queues = list(scaler.queues)
    with _clean(queues), ExitStack() as stack:
        log = stack.enter_context(settings.open_log())
        log.create_topics([*TOPICS, *map(queue_spec, queues)])
        followed = ["tasktape.tasks", InstanceEvent.topic, *map(queue_topic, queues)]
        reader, codec = stack.enter_context(log.read(log.end_positions(followed))), settings.codec()
        stack.callback(_end_agents, open_provider(scaler, settings))
        stack.callback(commands.stop)

        def news() -> Iterator[str]:
            for event in events(reader, codec, _TICK):
                at = time.monotonic() - began
                yield from (f"{at:5.1f} s {line}" for line in seen.apply(event, at))

        yield Story(commands, seen, 60.0 * scaler.max_idle_time_min, news)


@contextmanager
def _clean(queues: Iterable[str]) -> Iterator[None]:
    """Take out of the queues what an interrupted story leaves there."""
    from ..producers.queues import clear_queue  # noqa: PLC0415  the SDK is for those who need it

    try:
        yield
    except BaseException:
        for queue in queues:
            with suppress(TasktapeError):
                clear_queue(queue, "the demo is over")
        note("        ends early: its agents have left, and what waited is taken out of the queue")
        raise


def _end_agents(provider: Provider) -> None:
    """End agents that are there still; what they run goes back to its queue."""
    deadline = time.monotonic() + _GRACE
    while machines := [one.machine for one in provider.describe() if one.status == "running"]:
        provider.terminate(machines)
        if time.monotonic() > deadline:
            raise DemoError(f"these agents did not end: {', '.join(machines)}. End them by their process ids.")
        time.sleep(_TICK)
    provider.close()


def _summary(seen: Scaling, tasks: int) -> None:
    columns = [
        Column("AGENT", right=True),
        Column("ASKED FOR AT", right=True),
        Column("BECAUSE", grow=True),
        Column("SERVED FROM", right=True),
        Column("TASKS", right=True),
        Column("GONE AT", right=True),
    ]
    print_table(
        columns, [_cells(machine, seen.ran_on(machine)) for machine in seen.machines.values()], "No agent came."
    )
    failed = sorted(task for task, end in seen.ends.items() if end != "completed")
    if failed:
        raise DemoError(
            f"{counted(len(failed), 'task')} did not complete: `tasktape tasks logs {failed[0]}` tells why."
        )
    again = sum(starts != 1 for starts in seen.starts.values())
    once = "each was run once" if not again else f"{again} of them were run more than once"
    note(f"{counted(tasks, 'task')} completed, {once}; {counted(seen.most, 'agent')} at once at most.")


def _cells(machine: Machine, runs: int) -> list[str]:
    return [
        str(machine.number),
        f"{machine.asked:.1f} s",
        machine.why,
        "" if machine.served is None else f"{machine.served:.1f} s",
        str(runs),
        "" if machine.gone is None else f"{machine.gone:.1f} s",
    ]
