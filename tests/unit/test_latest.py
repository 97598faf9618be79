"""What is heavy to draw is drawn when it has changed, but for a small part of the time only."""

from __future__ import annotations

from tasktape.dashboard.latest import Latest


class Maker:
    """Makes a text for a second each."""

    def __init__(self) -> None:
        self.now = 100.0
        self.made: list[str] = []

    def make(self, text: str) -> str:
        self.now += 1.0
        self.made.append(text)
        return text

    def ask(self, latest: Latest[str], text: str) -> str:
        return latest.get(text, lambda: self.make(text))


def test_what_has_not_changed_is_made_once_and_else_each_time() -> None:
    maker = Maker()
    latest: Latest[str] = Latest(lambda _: False, lambda: maker.now)
    assert [maker.ask(latest, text) for text in "aabba"] == list("aabba")
    assert maker.made == ["a", "b", "a"]


def test_what_is_heavy_stays_for_ten_times_as_long_as_it_took() -> None:
    maker = Maker()
    latest: Latest[str] = Latest(lambda text: text == "heavy", lambda: maker.now)
    assert [maker.ask(latest, text) for text in ("heavy", "b")] == ["heavy", "heavy"]
    maker.now += 9.9
    assert maker.ask(latest, "b") == "heavy"
    maker.now += 0.1
    assert [maker.ask(latest, text) for text in ("b", "c")] == ["b", "c"]
