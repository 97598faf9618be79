"""Uploads with one key keep their order, and what failed waits longer each time."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasktape.events.parts import BlobRef
from tasktape.producers.spool_folder import SpoolFolder
from tasktape.producers.upload_chains import Chains
from tasktape.producers.upload_spool import Note, Waiting


class Clock:
    """A clock that moves when it is told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def upload(key: str, number: int = 0) -> Waiting:
    ref = BlobRef(uri=f"file:///{key}/{number}", size=0, sha256="")
    note = Note(key=key, destination="", name="", ref=ref, event_type="", event="", delete=[])
    return Waiting(Path(), SpoolFolder(Path(), -1), note)


def number_of(waiting: Waiting) -> int:
    return int(waiting.note.ref.uri.rpartition("/")[2])


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=30))
def test_each_key_keeps_its_order_whatever_fails(asked: list[tuple[str, bool]]) -> None:
    clock = Clock()
    chains = Chains(clock)
    chains.add(upload(key, number) for number, (key, _) in enumerate(asked))
    fails = {number for number, (_, failing) in enumerate(asked) if failing}
    done: list[int] = []
    while chains:
        clock.now += 1000
        chain = chains.take()
        assert chain is not None
        number = number_of(chain.uploads[0])
        if number in fails:
            fails.remove(number)
            chains.failed(chain)
        else:
            done.append(number)
            chains.done(chain)
    for key in "abc":
        mine = [number for number, (each, _) in enumerate(asked) if each == key]
        assert [number for number in done if number in mine] == mine


def test_a_chain_is_never_tried_by_two_at_once() -> None:
    chains = Chains()
    chains.add([upload("a", 0), upload("a", 1), upload("b", 2)])
    first, second = chains.take(), chains.take()
    assert first is not None
    assert second is not None
    assert {number_of(chain.uploads[0]) for chain in (first, second)} == {0, 2}


def test_what_failed_is_tried_after_a_pause_that_doubles_up_to_a_minute() -> None:
    clock = Clock()
    chains = Chains(clock)
    chains.add([upload("a")])
    pauses = []
    for _ in range(9):
        chain = chains.take()
        assert chain is not None
        chains.failed(chain)
        pauses.append(chain.due - clock.now)
        clock.now = chain.due
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_waiting_ends_when_all_is_done() -> None:
    chains = Chains()
    chains.add([upload("a")])
    chain = chains.take()
    assert chain is not None
    assert not chains.wait(0)
    chains.done(chain)
    assert chains.wait(None)
    assert len(chains) == 0


def test_waiting_ends_when_all_that_is_left_has_failed() -> None:
    chains = Chains()
    chains.add([upload("a")])
    chain = chains.take()
    assert chain is not None
    chains.failed(chain)
    assert chains.wait(None) is False


@pytest.mark.parametrize("count", [0, 3])
def test_closing_gives_back_what_was_not_done_and_ends_all_takers(count: int) -> None:
    chains = Chains()
    chains.add(upload("a", number) for number in range(count))
    assert [number_of(waiting) for waiting in chains.close()] == list(range(count))
    assert chains.take() is None
    chains.add([upload("b")])
    assert chains.take() is not None
