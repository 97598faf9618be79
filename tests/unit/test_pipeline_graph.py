"""A pipeline's graph, checked before anything of it runs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasktape.producers.pipelines.errors import CycleError, PipelineError
from tasktape.producers.pipelines.graph import check_graph, order


def test_an_unknown_parent_is_named_with_its_step() -> None:
    with pytest.raises(PipelineError, match=r"step 'b'.*'nobody'"):
        check_graph({"a": [], "b": ["a", "nobody"]})


@pytest.mark.parametrize(
    ("parents", "cycle"),
    [
        ({"a": ["a"]}, {"a"}),
        ({"a": ["b"], "b": ["a"]}, {"a", "b"}),
        ({"x": [], "a": ["x", "c"], "b": ["a"], "c": ["b"], "y": ["c"]}, {"a", "b", "c"}),
    ],
)
def test_a_cycle_is_named_step_by_step(parents: dict[str, list[str]], cycle: set[str]) -> None:
    with pytest.raises(CycleError) as caught:
        check_graph(parents)
    steps = caught.value.steps
    assert set(steps) == cycle
    assert all(before in parents[after] for before, after in zip(steps, (*steps[1:], steps[0]), strict=True))
    assert " → ".join([*steps, steps[0]]) in str(caught.value)


@given(st.dictionaries(st.integers(0, 12), st.lists(st.integers(0, 12), max_size=4), max_size=13))
def test_steps_come_behind_their_parents_and_only_cycles_are_left_out(drawn: dict[int, list[int]]) -> None:
    parents = {str(name): [str(parent) for parent in named if parent in drawn] for name, named in drawn.items()}
    ordered = order(parents)
    places = {name: place for place, name in enumerate(ordered)}
    assert all(places[parent] < places[name] for name in ordered for parent in parents[name])
    rest = parents.keys() - places.keys()
    assert all(rest.intersection(parents[name]) for name in rest)
    if rest:
        with pytest.raises(CycleError):
            check_graph(parents)
    else:
        check_graph(parents)
