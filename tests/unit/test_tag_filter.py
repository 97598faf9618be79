"""Lists of tags mean what ClearML's documentation says they mean."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasktape.producers.tag_filter import tag_filter

DOCUMENTED = ["__$all", "a", "b", "c", "__$or", "d", "__$not", "e", "__$and", "__$or", "f", "g"]
TAGS = st.sets(st.sampled_from("abcdefg"))


@pytest.mark.parametrize(
    ("listed", "tags", "matches"),
    [
        ([], set(), True),
        (["a", "b"], {"b"}, True),
        (["a", "b"], {"c"}, False),
        (["a", "-b"], {"a", "b"}, False),
        (["a", "-b"], {"a"}, True),
        (["-b"], set(), True),
        (["__$all", "a", "b"], {"a"}, False),
        (["__$all", "a", "b"], {"a", "b", "c"}, True),
        (["__$all", "a", "__$not", "b"], {"a", "b"}, False),
        (["__$all", "a", "__$not", "b"], {"a"}, True),
        (["__$and", "a", "-b"], {"a"}, True),
        ([None, "a"], {"a"}, True),
    ],
)
def test_a_list_of_tags_matches(listed: list[str | None], tags: set[str], matches: bool) -> None:
    assert tag_filter(listed).matches(tags) is matches


@given(TAGS)
def test_the_documented_example_means_what_is_documented(tags: set[str]) -> None:
    meant = {"a", "b", "c"} <= tags and ("d" in tags or "e" not in tags) and bool({"f", "g"} & tags)
    assert tag_filter(DOCUMENTED).matches(tags) is meant
