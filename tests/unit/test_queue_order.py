"""Where moved entries stand: for any queue and place, what is appended gives the order that was asked for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasktape.projections.queue_order import Spot, back, front, spots
from tasktape.projections.work_rows import EntryRow

START = datetime(2026, 1, 1, tzinfo=UTC)
START_SECONDS = START.timestamp()


def row(name: str, priority: int = 0, rank: float = START_SECONDS, at: float = 0.0) -> EntryRow:
    moment = START + timedelta(seconds=at)
    return EntryRow(name, "q", name, 1, 0, "waiting", priority, rank, "", "", 0, moment, moment)


def ordered(rows: list[EntryRow]) -> list[EntryRow]:
    return sorted(rows, key=lambda row: (-row.priority, row.rank, row.enqueued_at, row.id))


def names_after(rows: list[EntryRow], index: int, moved: EntryRow) -> list[str]:
    """Names in order once the moves are on the log, an hour after everything else."""
    found = spots(rows, index, Spot(moved.priority, moved.rank))
    placed = dict(zip([moved.id, *(row.id for row in rows[index:])], found, strict=False))
    later = START_SECONDS + 3600
    changed = {name: later if spot.rank is None else spot.rank for name, spot in placed.items()}
    return [
        one.id
        for one in ordered(
            [
                row(one.id, placed[one.id].priority, changed[one.id], (one.enqueued_at - START).total_seconds())
                if one.id in placed
                else one
                for one in [*rows, moved]
            ]
        )
    ]


@st.composite
def queues(draw: st.DrawFn) -> list[EntryRow]:
    """Entries as they come: few priorities, ranks that are often equal, sometimes beyond the time of their append."""
    ranks = st.sampled_from((0.0, 0.0, 0.001, 0.002, 5.0, -1.0, 9000.0))
    count = draw(st.integers(0, 7))
    made = [
        row(f"e{n}", draw(st.integers(-1, 1)), START_SECONDS + draw(ranks), draw(st.sampled_from((0.0, 1.0))))
        for n in range(count)
    ]
    return ordered(made)


@settings(max_examples=300)
@given(queues(), st.data())
def test_an_entry_stands_where_it_was_put_and_the_others_keep_their_order(
    rows: list[EntryRow], data: st.DataObject
) -> None:
    index = data.draw(st.integers(0, len(rows)))
    moved = row("moved", data.draw(st.integers(-2, 2)), START_SECONDS + data.draw(st.sampled_from((0.0, 0.001, 7.0))))
    expected = [one.id for one in rows]
    expected.insert(index, "moved")
    assert names_after(rows, index, moved) == expected


def test_a_place_between_two_neighbours_changes_no_other_entry() -> None:
    rows = [row("a", rank=1.0), row("b", rank=2.0), row("c", rank=3.0)]
    assert spots(rows, 1, Spot(0, 9.0)) == [Spot(0, 1.5)]


def test_neighbours_of_equal_rank_give_way() -> None:
    rows = [row("a", rank=1.0), row("b", rank=1.0), row("c", rank=4.0)]
    assert spots(rows, 1, Spot(0, 9.0)) == [Spot(0, 2.0), Spot(0, 3.0)]


def test_the_back_is_the_time_of_the_move_so_that_later_ones_come_behind() -> None:
    assert spots([row("a")], 1, Spot(0, 1.0)) == [Spot(0, None)]


@pytest.mark.parametrize(("own", "expected"), [(5, 2), (1, 1), (-5, 0)])
def test_an_entry_keeps_its_priority_as_far_as_its_place_allows(own: int, expected: int) -> None:
    (spot,) = spots([row("a", 2), row("b", 0)], 1, Spot(own, 1.0))
    assert spot.priority == expected


def test_front_and_back_are_those_of_the_queue_or_of_a_priority() -> None:
    rows = [row("a", 2), row("b", 1), row("c", 1), row("d", 0)]
    assert (front(rows, None), back(rows, None)) == (0, 4)
    assert (front(rows, 1), back(rows, 1)) == (1, 3)
    assert (front(rows, 3), back(rows, -1)) == (0, 4)
