"""A page of figures: whatever texts are in it, it stays the page it was meant to be."""

from __future__ import annotations

from tasktape.cli.page import page

EVIL = "</script><script>alert(1)</script>"


def test_no_text_ends_a_script_or_becomes_markup() -> None:
    figure = {"data": [{"type": "bar", "x": [EVIL], "y": [float("nan")]}], "layout": {"title": {"text": EVIL}}}
    made = page(EVIL, [EVIL], [(EVIL, figure)], [["a"], [EVIL]])
    assert EVIL not in made
    assert made.count("</script>") == 2
    assert '"y":[null]' in made
