"""`tasktape search run|resume`: a search told on the command line, controlled by this process or by an agent.

Its task holds all about it, so whatever ends this process, `resume`, or an agent that is given the task, goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from ..dashboard.formatting import one_line
from ..events.errors import SettingsError
from ..projections.rows import TaskRow
from .errors import NotFoundError, RefusedError, near_matches
from .lookup import find_queue, find_task
from .options import DEFAULT_QUEUE, Json
from .output import console, note, print_json
from .reading import reading
from .search import Search
from .search_here import control

if TYPE_CHECKING:
    from ..producers.search.description import Description
    from ..projections.query import Queries

Base = Annotated[str, typer.Option("--task", "-t", metavar="TASK", help="The task to try: its id, or its name.")]
Params = Annotated[
    list[str],
    typer.Option(
        "--param",
        "-p",
        metavar="NAME=RANGE",
        help="What to try: uniform(MIN,MAX[,STEP]), loguniform(MIN,MAX[,BASE]) of exponents, int(MIN,MAX[,STEP]), "
        "choice(A,B,…) or [A,B,…]; repeatable.",
    ),
]
Goals = Annotated[
    list[str],
    typer.Option(
        "--objective",
        "-o",
        metavar="TITLE/SERIES:SIGN",
        help="A scalar, Summary/NAME for a single value; the sign is min or max of its last value, min_global or "
        "max_global of all. Repeatable.",
    ),
]
Strategy = Annotated[str, typer.Option("--strategy", metavar="NAME", help="random, grid, optuna or bohb.")]
Sampler = Annotated[str, typer.Option("--sampler", metavar="NAME", help="Optuna's, by its name: TPESampler.")]
Pruner = Annotated[str, typer.Option("--pruner", metavar="NAME", help="Optuna's, by its name: MedianPruner.")]
Seed = Annotated[int | None, typer.Option("--seed", metavar="NUMBER", help="What chance begins with.")]
Queue = Annotated[str, typer.Option("--queue", "-q", metavar="QUEUE", help="The queue for trials.")]
Local = Annotated[bool, typer.Option("--local", help="Run trials as processes of this machine, without agents.")]
Remote = Annotated[
    str, typer.Option("--remote", metavar="QUEUE", help="Let an agent of this queue control it; services, as a rule.")
]
Concurrent = Annotated[int, typer.Option("--concurrent", "-c", min=1, metavar="COUNT", help="Trials at once.")]
Trials = Annotated[int, typer.Option("--trials", "-n", min=0, metavar="COUNT", help="Trials in all.")]
Time = Annotated[float, typer.Option("--time-limit", min=0, metavar="MINUTES", help="What the search may take.")]
Compute = Annotated[
    float, typer.Option("--compute-limit", min=0, metavar="MINUTES", help="What all trials together may take.")
]
TrialTime = Annotated[float, typer.Option("--trial-limit", min=0, metavar="MINUTES", help="What a trial may take.")]
Fewest = Annotated[
    int, typer.Option("--min-iterations", min=0, metavar="COUNT", help="No trial is given up before these.")
]
Most = Annotated[int, typer.Option("--max-iterations", min=0, metavar="COUNT", help="A trial ends with these.")]
Project = Annotated[str, typer.Option("--project", metavar="TEXT", help="Project of the trials.")]
Top = Annotated[int, typer.Option("--top", min=0, metavar="COUNT", help="Archive all trials but the best of them.")]
Name = Annotated[str, typer.Option("--name", metavar="TEXT", help="The search's name.")]
New = Annotated[bool, typer.Option("--new", help="Parameters may be new to the task.")]


def run_search(
    task: Base,
    parameters: Params,
    objectives: Goals,
    strategy: Strategy = "random",
    sampler: Sampler = "",
    pruner: Pruner = "",
    seed: Seed = None,
    queue: Queue = DEFAULT_QUEUE,
    remote: Remote = "",
    concurrent: Concurrent = 4,
    trials: Trials = 0,
    time_limit: Time = 0.0,
    compute_limit: Compute = 0.0,
    trial_limit: TrialTime = 0.0,
    min_iterations: Fewest = 0,
    max_iterations: Most = 0,
    project: Project = "",
    top: Top = 0,
    name: Name = "",
    *,
    local: Local = False,
    new: New = False,
    as_json: Json = False,
) -> None:
    """Search for better parameters of a task, and show how far that is; Ctrl-C stops it and its trials.

    Examples:
    $ tasktape search run -t digits -p "Args/lr=loguniform(-4, -1)" -o accuracy/validation:max --trials 20
    $ tasktape search run -t digits -p "hidden=[16, 64]" -o accuracy/validation:max --strategy grid --local
    $ tasktape search run -t digits -p "lr=uniform(0, 1)" -o loss/test:min --trials 50 --remote services
    """
    from ..producers.search.description import Description  # noqa: PLC0415  the SDK is for those who need it

    with reading() as queries:
        base = find_task(queries, task)
        for one in {queue if not local else "", remote} - {""}:
            find_queue(queries, one)
        space = _space(parameters, [held.name for held in queries.parameters(base.id)], new=new)
    description = Description(
        base_task=base.id,
        objectives=tuple(objectives),
        space=tuple(space.items()),
        strategy=strategy,
        sampler=sampler,
        pruner=pruner,
        seed=seed,
        queue="" if local else queue,
        concurrent=concurrent,
        trials=trials,
        time_limit=time_limit,
        compute_time_limit=compute_limit,
        trial_time_limit=trial_limit,
        min_iterations=min_iterations,
        max_iterations=max_iterations,
        project=project,
        top=top,
    )
    _control(_created(description, base, name), remote, as_json=as_json)


_UNDER_WAY: Final = ("in_progress", "queued")


def resume_search(search: Search, remote: Remote = "", *, as_json: Json = False) -> None:
    """Go on with a search that `run` has begun and whose controller is gone; trials under way are taken over.

    Examples:
    $ tasktape search resume 0199a3c2
    $ tasktape search resume 0199a3c2 --remote services
    """
    row = _left_search(search, remote)
    if row.status in _UNDER_WAY:
        hint = f"`tasktape search show {row.id} --watch` shows how far it is, `tasktape tasks abort {row.id}` ends it."
        raise RefusedError(f"{one_line(row.name, 60)!r} is {row.status}. {hint}")
    _control(row.id, remote, as_json=as_json)


def _left_search(search: Search, remote: str) -> TaskRow:
    """The task of a search, once nobody here is about to say that its controller is dead."""
    from ..producers.running import is_being_told  # noqa: PLC0415  the SDK is for those who need it
    from ..producers.session import current_session  # noqa: PLC0415  the same

    row, is_told = _read_search(search, remote), True
    while row.status in _UNDER_WAY and is_told:
        is_told = is_being_told(current_session().settings, row.id)
        row = _read_search(search, remote)
    return row


def _read_search(search: Search, remote: str) -> TaskRow:
    """The task of a search whose controller is told to be dead where that died here; raises for what can't go on."""
    from ..producers.running import mark_dead_runs  # noqa: PLC0415  the SDK is for those who need it
    from ..producers.search.description import described  # noqa: PLC0415  the same
    from ..producers.session import current_session  # noqa: PLC0415  the same
    from .task_changes import flush  # noqa: PLC0415  the same

    mark_dead_runs(current_session())
    flush()
    with reading() as queries:
        row = _controller(queries, search)
        described(_values(queries, row.id))
        if remote:
            find_queue(queries, remote)
    return row


def _controller(queries: Queries, text: str) -> TaskRow:
    """The task of the newest search of this name, or the one whose id is or begins with `text`."""
    named = queries.searches(text, limit=1)
    return find_task(queries, named[0].task if named else text)


def _values(queries: Queries, task: str) -> dict[str, Any]:
    from ..producers.parameters import value_of  # noqa: PLC0415  the SDK is for those who need it

    return {held.name: value_of(held) for held in queries.parameters(task)}


def _space(parameters: Sequence[str], known: Sequence[str], *, new: bool) -> dict[str, str]:
    """Ranges by the full names of parameters. Raises for names that the task lacks, unless they may be `new`."""
    from ..producers.search.written import parameter  # noqa: PLC0415  the SDK is for those who need it

    found: dict[str, str] = {}
    for text in parameters:
        name = _full_name(parameter(text).name, known, new=new)
        if name in found:
            raise SettingsError(f"{name} is given twice: give it one range.")
        found[name] = text.partition("=")[2].strip()
    return found


def _full_name(name: str, known: Sequence[str], *, new: bool) -> str:
    """The task's parameter of this name, which may lack its section."""
    from ..producers.parameters import full_name  # noqa: PLC0415  the SDK is for those who need it

    fitting = [one for one in known if name in {one, one.partition("/")[2]}]
    if name in fitting or len(fitting) == 1:
        return name if name in fitting else fitting[0]
    if fitting:
        raise SettingsError(f"{name} is in more than one section: give one of {', '.join(fitting)}.")
    if new:
        return full_name(name)
    names = known if "/" in name else [one.partition("/")[2] for one in known]
    raise NotFoundError("parameter", name, near_matches(name, names), "--new lets trials have it all the same.")


def _created(description: Description, base: TaskRow, name: str) -> str:
    """Make the search's task, once it is sure that the search can be run."""
    from ..producers.search.described import create, prepare  # noqa: PLC0415  the SDK is for those who need it

    prepare(description)
    return create(description, base.project, name or f"search: {base.name}")


def _control(task: str, remote: str, *, as_json: bool) -> None:
    """Have the search of this task controlled: by an agent, or here until it is over."""
    from ..producers.task import Task  # noqa: PLC0415  the SDK is for those who need it
    from .task_changes import flush  # noqa: PLC0415  the same

    flush()
    if remote:
        Task.enqueue(task, queue_name=remote)
        flush()
    if not as_json:
        console().print(task)
    elif remote:
        print_json({"id": task, "queue": remote})
    if remote:
        note(f"Enqueued in {remote}: `tasktape search show {task} --watch` shows how far it is.")
        return
    control(task, as_json=as_json)
