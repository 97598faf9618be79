"""What a search costs its controller grows with its trials, not with their square: lines of code run are counted."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from tasktape.producers.search.keeping import Keeper
from tasktape.producers.search.objectives import objectives
from tasktape.producers.search.parameters import DiscreteParameterRange
from tasktape.producers.search.reporting import Reporting
from tasktape.producers.search.strategies import GridSearch, RandomSearch, SearchStrategy
from tasktape.projections.search_fold import SearchFold, TrialState
from tasktape.tests.support.counter import Counter
from tasktape.tests.support.search_world import SearchWorld

COUNTED = ("producers/controllers/", "producers/search/", "projections/search_fold.py")
FEW, MANY = 200, 800
LOSS = objectives("loss", "test", "min")


def lines_of(world: SearchWorld) -> int:
    counter, before = Counter(*COUNTED), sys.gettrace()
    sys.settrace(counter)
    try:
        world.run()
    finally:
        sys.settrace(before)
    return counter.lines


def plain(trials: int) -> SearchWorld:
    return SearchWorld(trials)


def failing(trials: int) -> SearchWorld:
    return SearchWorld(trials, values=(), fails=True)


def given_up(trials: int) -> SearchWorld:
    return SearchWorld(trials, values=(1.0, 200.0))


def told(trials: int) -> SearchWorld:
    world = SearchWorld(trials)
    world.searcher.on_finished = lambda _trial, _best: None
    return world


def kept(trials: int) -> SearchWorld:
    world, keeper = SearchWorld(trials), Keeper(LOSS, 3)

    def drop(over: Sequence[TrialState]) -> None:
        keeper.take(over)

    world.searcher.on_over = drop
    return world


def shown(trials: int) -> SearchWorld:
    """Trials that take an hour each, so that nothing is too soon to be shown."""
    world, now = SearchWorld(trials), [0.0]
    silent: Any = Silent()
    reporting = Reporting(silent, lambda: now[0], lambda work: work())

    def show(fold: SearchFold) -> None:
        now[0] += 3600.0
        reporting.show(fold)

    world.searcher.on_change, world.searcher.on_end = show, reporting.finish
    return world


def of_all(strategy: type[SearchStrategy]) -> Callable[[int], SearchWorld]:
    """A search that tries all there is."""

    def made(trials: int) -> SearchWorld:
        ranges = [DiscreteParameterRange("General/x", range(trials))]
        return SearchWorld(trials, strategy("b", ranges, LOSS, "default", 4))

    return made


class Silent:
    """Stands for a task on which nothing is reported."""

    def __getattr__(self, _: str) -> Any:
        return lambda *_args, **_named: self


SHAPES = [plain, failing, given_up, told, kept, shown, of_all(GridSearch), of_all(RandomSearch)]
NAMES = ["plain", "failing", "given up", "told", "kept", "shown", "grid", "chance"]


@pytest.mark.parametrize("shape", SHAPES, ids=NAMES)
def test_the_controllers_work_grows_with_the_trials(shape: Callable[[int], SearchWorld]) -> None:
    few, many = lines_of(shape(FEW)), lines_of(shape(MANY))
    assert many < 1.25 * MANY / FEW * few
