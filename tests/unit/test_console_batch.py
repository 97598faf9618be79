from __future__ import annotations

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasktape.events.report_events import ConsoleLine
from tasktape.producers.console_batch import ConsoleBatcher


class Sink:
    def __init__(self) -> None:
        self.batches: list[list[ConsoleLine]] = []
        self.now = 0.0
        self.batcher = ConsoleBatcher(self.batches.append, clock=lambda: 7, timer=lambda: self.now)

    def lines(self) -> list[tuple[str, str]]:
        return [(line.stream, line.text) for batch in self.batches for line in batch]


@pytest.fixture
def sink() -> Sink:
    return Sink()


def test_lines_are_put_together_from_pieces_and_streams_are_kept_apart(sink: Sink) -> None:
    for stream, text in [("stdout", "one "), ("stderr", "bad\n"), ("stdout", "two\nthree\n"), ("stdout", "four")]:
        sink.batcher.write(stream, text)
    sink.batcher.emit()
    assert sink.lines() == [("stderr", "bad"), ("stdout", "one two"), ("stdout", "three")]
    sink.batcher.flush()
    assert sink.lines()[-1] == ("stdout", "four")
    assert sink.batches[0][0].at == 7


def test_a_progress_bar_becomes_the_line_it_ends_as(sink: Sink) -> None:
    for percent in range(101):
        sink.batcher.write("stderr", f"\r{percent}%|{'#' * (percent // 10)}")
    sink.batcher.write("stderr", "\n")
    for percent in range(101):
        sink.batcher.write("stderr", f"{percent} of 100\r")
    sink.batcher.flush()
    assert sink.lines() == [("stderr", "100%|##########"), ("stderr", "100 of 100")]


def test_windows_line_ends_are_line_ends(sink: Sink) -> None:
    sink.batcher.write("stdout", "one\r\ntwo\r\n\r\n")
    sink.batcher.flush()
    assert sink.lines() == [("stdout", "one"), ("stdout", "two"), ("stdout", "")]


def test_a_bar_without_an_end_is_seen_now_and_then(sink: Sink) -> None:
    for second in range(25):
        sink.now = float(second)
        sink.batcher.write("stderr", f"\r{second} s")
        sink.batcher.tick()
    assert sink.lines() == [("stderr", "10 s"), ("stderr", "20 s")]


def test_lines_wait_half_a_second_for_company_but_not_when_they_are_many(sink: Sink) -> None:
    sink.batcher.write("stdout", "one\n")
    sink.batcher.tick()
    assert not sink.batches
    sink.now = 0.6
    sink.batcher.write("stdout", "two\n")
    sink.batcher.tick()
    assert len(sink.batches) == 1
    sink.batcher.write("stdout", "x\n" * 40_000)
    assert len(sink.batches) == 2


@settings(deadline=None)
@given(text=st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=50), repeat=st.integers(1, 2000))
def test_a_line_of_any_length_arrives_whole_in_parts_of_bounded_length(text: str, repeat: int) -> None:
    sink = Sink()
    sink.batcher.write("stdout", text * repeat)
    sink.batcher.write("stdout", "\n")
    sink.batcher.flush()
    assert "".join(text for _, text in sink.lines()) == text * repeat
    assert all(len(text) <= 16_384 for _, text in sink.lines())


@settings(deadline=None)
@given(st.lists(st.text("ab\r\n", max_size=8), max_size=10))
def test_how_output_is_cut_into_writes_does_not_matter(writes: list[str]) -> None:
    whole, pieces = Sink(), Sink()
    whole.batcher.write("stdout", "".join(writes))
    for text in writes:
        pieces.batcher.write("stdout", text)
    whole.batcher.flush()
    pieces.batcher.flush()
    assert whole.lines() == pieces.lines()


def test_lone_surrogates_are_shown_by_their_escapes(sink: Sink) -> None:
    sink.batcher.write("stdout", "\udcff\n")
    sink.batcher.flush()
    assert sink.lines() == [("stdout", "\\udcff")]


def test_what_this_thread_writes_while_it_is_muted_is_left_out_and_other_threads_are_not(sink: Sink) -> None:
    with sink.batcher.muted():
        sink.batcher.write("stdout", "known already\n")
        other = threading.Thread(target=sink.batcher.write, args=("stdout", "new\n"))
        other.start()
        other.join()
    sink.batcher.write("stdout", "later\n")
    sink.batcher.flush()
    assert sink.lines() == [("stdout", "new"), ("stdout", "later")]
