from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasktape.dashboard import formatting
from tasktape.producers.text import counted

NOW = datetime(2025, 3, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "—"),
        (math.nan, "NaN"),
        (math.inf, "∞"),
        (-math.inf, "-∞"),
        (0, "0"),
        (3.0, "3"),
        (1234567, "1,234,567"),
        (0.1 + 0.2, "0.3"),
        (0.987654321, "0.987654"),
        (1e-7, "1e-07"),
        (12345.678, "12,345.7"),
        (1e300, "1e+300"),
    ],
)
def test_a_number_is_short_and_exact_enough(value: float | None, shown: str) -> None:
    assert formatting.number(value) == shown


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 KB"), (1536, "1.5 KB"), (999_960, "1 MB"), (5e9, "5 GB"), (1e18, "1000 PB")],
)
def test_a_size_has_the_unit_that_fits(count: float, shown: str) -> None:
    assert formatting.size(count) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (None, "—"),
        (-1, "0 s"),
        (0.42, "0.4 s"),
        (9.0, "9 s"),
        (59.6, "1 min"),
        (61, "1 min 1 s"),
        (3600, "1 h"),
        (7500, "2 h 5 min"),
        (90_000, "1 d 1 h"),
    ],
)
def test_a_duration_names_its_two_largest_units(seconds: float | None, shown: str) -> None:
    assert formatting.duration(seconds) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(-5, "just now"), (0, "just now"), (5, "5 s ago"), (200, "3 min ago"), (90_000, "1 d ago")],
)
def test_a_moment_is_told_by_its_distance(seconds: float, shown: str) -> None:
    assert formatting.ago(NOW - timedelta(seconds=seconds), NOW) == shown


def test_things_are_counted_in_their_number() -> None:
    assert [counted(count, "task") for count in (0, 1, 2000)] == ["0 tasks", "1 task", "2,000 tasks"]


def test_times_name_utc_when_they_mean_it() -> None:
    assert formatting.utc_time(NOW) == "2025-03-01 12:00:00 UTC"


@given(st.text(max_size=600), st.integers(min_value=2, max_value=60))
def test_one_line_never_breaks_nor_exceeds_its_width(text: str, width: int) -> None:
    line = formatting.one_line(text, width)
    assert len(line) <= width
    assert len(line.splitlines()) <= 1
    assert "\x1b" not in line


def test_a_very_long_name_ends_in_an_ellipsis() -> None:
    assert formatting.one_line("x" * 10_000, 10) == "x" * 9 + "…"
    assert formatting.one_line(" " * 10_000 + "x", 10) == "…"


@pytest.mark.parametrize("text", ["**b**", "![i](http://e.x/i.png)", "<b>", ":red[x]", "$x$", "`c`", "a_b", "# h"])
def test_markdown_gives_every_mark_a_backslash(text: str) -> None:
    assert formatting.markdown(text).replace("\\", "") == text
    assert all(formatting.markdown(mark) == f"\\{mark}" for mark in "*_`[]<>$:#!|~")


@pytest.mark.parametrize(
    ("name", "status"),
    [("in_progress", "in_progress"), ("Running", "in_progress"), ("pending", "queued"), (" draft ", "created")],
)
def test_statuses_go_by_name_and_by_label(name: str, status: str) -> None:
    assert formatting.status_named(name) == status


def test_an_unknown_status_is_none_to_filters_and_itself_to_readers() -> None:
    assert formatting.status_named("bogus") is None
    assert formatting.status_look("bogus").label == "bogus"
