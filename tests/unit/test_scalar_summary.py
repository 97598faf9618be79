"""Summaries of scalars against a reading of the points one by one, however they are cut into batches."""

from __future__ import annotations

from dataclasses import astuple
from itertools import pairwise
from math import inf, isnan, nan

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tasktape.projections.scalar_summary import Points, Summary, summarise

Point = tuple[int, int, float]
"""Group, step, value; a point's time is its place."""

values = st.sampled_from((nan, inf, -inf, 0.0, -0.0, 1e300, -1e300, 0.1)) | st.floats(-10, 10)
points = st.lists(st.tuples(st.integers(0, 3), st.integers(-2, 3), values), min_size=1, max_size=40)


def read_one_by_one(found: list[Point], group: int) -> Summary:
    """The summary as its docstring tells it."""
    mine = [(step, value, time) for time, (of, step, value) in enumerate(found) if of == group]
    valid = [(step, value) for step, value, _ in mine if not isnan(value)]
    summary = Summary(count=len(mine), valid=len(valid))
    for _, value in valid:
        summary.total += value
    first = min(step for step, *_ in mine)
    summary.first, summary.first_step = next(value for step, value, _ in mine if step == first), first
    last = max(step for step, *_ in mine)
    summary.last, summary.last_us = next((value, time) for step, value, time in reversed(mine) if step == last)
    summary.last_step = last
    if valid:
        summary.min = min(value for _, value in valid)
        summary.min_step = next(step for step, value in valid if value == summary.min)
        summary.max = max(value for _, value in valid)
        summary.max_step = next(step for step, value in valid if value == summary.max)
    return summary


def summaries(found: list[Point], cuts: set[int]) -> dict[int, Summary]:
    """Summaries of the points, taken in batches that end at the cuts."""
    known: dict[int, Summary] = {}
    edges = [0, *sorted(cut for cut in cuts if 0 < cut < len(found)), len(found)]
    for start, end in pairwise(edges):
        groups = sorted({group for group, *_ in found[start:end]})
        states = [known.setdefault(group, Summary()) for group in groups]
        batch = Points(
            group=np.array([groups.index(group) for group, *_ in found[start:end]]),
            steps=np.array([step for _, step, _ in found[start:end]]),
            times=np.arange(start, end),
            values=np.array([value for *_, value in found[start:end]]),
        )
        for state, later in zip(states, summarise(batch, [state.total for state in states]), strict=True):
            state.add(later)
    return known


@given(points, st.sets(st.integers(0, 40)))
def test_a_summary_says_what_the_points_say_whatever_the_batches(found: list[Point], cuts: set[int]) -> None:
    known = summaries(found, cuts)
    expected = {group: read_one_by_one(found, group) for group in {group for group, *_ in found}}
    assert {group: repr(astuple(one)) for group, one in known.items()} == {
        group: repr(astuple(one)) for group, one in expected.items()
    }
