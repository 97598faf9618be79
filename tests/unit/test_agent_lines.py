"""The agent's way from bytes of output to console lines."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tasktape.agent.lines import LONGEST_LINE, PROGRESS_INTERVAL, LineAssembler

texts = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=20)


def assembled(chunks: list[bytes], clock: list[float] | None = None) -> list[str]:
    times = iter(clock or [0.0] * (len(chunks) + 1))
    assembler = LineAssembler(lambda: next(times))
    return [line for chunk in chunks for line in assembler.feed(chunk)] + list(assembler.end())


@given(st.lists(texts, max_size=8), st.lists(st.integers(0, 200), max_size=10))
def test_lines_come_out_as_they_went_in_however_the_bytes_are_cut(lines: list[str], cuts: list[int]) -> None:
    data = "".join(f"{line}\n" for line in lines).encode()
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    chunks = [data[start:end] for start, end in pairwise(edges)]
    assert assembled(chunks) == lines


def test_a_last_line_without_an_end_is_not_lost() -> None:
    assert assembled([b"one\ntw", b"o"]) == ["one", "two"]


def test_bytes_that_are_no_text_become_replacement_characters() -> None:
    assert assembled([b"a\xff\xfeb\n"]) == ["a\ufffd\ufffdb"]


def test_of_a_progress_bar_the_final_state_is_a_line() -> None:
    assert assembled([b"start\n\r10%\r50%\r100%\nend\n"]) == ["start", "100%", "end"]


def test_windows_line_ends_are_line_ends() -> None:
    assert assembled([b"one\r\ntwo\r", b"\nthree\r\n"]) == ["one", "two", "three"]


def test_a_progress_bar_that_goes_on_for_long_shows_now_and_then() -> None:
    chunks = [b"1%\r2%", b"\r3%", b"\r4%", b"\r5%\n"]
    later = PROGRESS_INTERVAL + 1
    assert assembled(chunks, [0.0, 1.0, later]) == ["1%", "3%", "5%"]


def test_an_endless_line_is_cut_so_that_memory_stays_bounded() -> None:
    lines = assembled([b"x" * LONGEST_LINE, b"x" * LONGEST_LINE, b"x\n"])
    assert [len(line) for line in lines] == [LONGEST_LINE, LONGEST_LINE, 1]
