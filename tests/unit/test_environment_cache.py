"""The cache of environments: within its limits, oldest out first, never one that is in use, never a half-made one."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tasktape.agent.environment_cache import EnvironmentCache, Held, Limits

HOLDER = """
import sys
from pathlib import Path
from tasktape.agent.environment_cache import EnvironmentCache
held = EnvironmentCache(Path(sys.argv[1])).take("a", lambda folder: folder.mkdir(), lambda: None)
print(held.folder, flush=True)
sys.stdin.read()
"""


def of_size(size: int, made: list[str] | None = None) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        folder.mkdir()
        (folder / "content").write_bytes(bytes(size))
        if made is not None:
            made.append(folder.name)

    return make


def nothing() -> None:
    """No reason to give up."""


class Moments:
    """Gives each entry a moment of use of its own: the file system's clock may stand still between two tests' lines."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.now = 1_000_000_000

    def use(self, cache: EnvironmentCache, *keys: str, size: int = 10) -> None:
        for key in keys:
            cache.take(key, of_size(size), nothing).release()
            self.now += 1
            os.utime(self.root / key / "tasktape-complete.json", (self.now, self.now))


def there(root: Path) -> set[str]:
    return {path.name for path in root.iterdir() if path.is_dir()}


def test_the_one_unused_for_longest_makes_room_for_a_new_one(tmp_path: Path) -> None:
    cache, moments = EnvironmentCache(tmp_path, Limits(count=3)), Moments(tmp_path)
    moments.use(cache, "a", "b", "c", "a", "d")
    assert there(tmp_path) == {"a", "c", "d"}
    assert sorted(path.name for path in tmp_path.glob("*.lock")) == ["a.lock", "c.lock", "cleaning.lock", "d.lock"]


def test_large_ones_make_room_for_each_other_by_their_size(tmp_path: Path) -> None:
    cache, moments = EnvironmentCache(tmp_path, Limits(gigabytes=1e-6)), Moments(tmp_path)
    moments.use(cache, "a", "b", size=400)
    moments.use(cache, "c", size=700)
    assert there(tmp_path) == {"c"}


def test_the_newest_stays_even_where_it_alone_is_too_large(tmp_path: Path) -> None:
    cache, moments = EnvironmentCache(tmp_path, Limits(gigabytes=1e-9)), Moments(tmp_path)
    moments.use(cache, "a")
    assert there(tmp_path) == {"a"}


def test_what_is_in_use_stays_whoever_uses_it(tmp_path: Path) -> None:
    cache = EnvironmentCache(tmp_path, Limits(count=1))
    mine = cache.take("b", of_size(1), nothing)
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline().strip() == str(tmp_path / "a")
        cache.take("c", of_size(1), nothing).release()
        assert there(tmp_path) == {"a", "b", "c"}
        mine.release()
        cache.take("d", of_size(1), nothing).release()
        assert there(tmp_path) == {"a", "d"}
        other.kill()
        other.wait()
        cache.take("e", of_size(1), nothing).release()
        assert there(tmp_path) == {"e"}, "what a process that was killed had in use is free"


def test_an_entry_is_made_once_and_again_after_it_had_to_go(tmp_path: Path) -> None:
    cache, made = EnvironmentCache(tmp_path, Limits(count=1)), list[str]()
    for key in ("a", "a", "b", "a"):
        cache.take(key, of_size(1, made), nothing).release()
    assert made == ["a", "b", "a"]


def test_what_could_not_be_made_does_not_count_and_is_cleared_away(tmp_path: Path) -> None:
    cache = EnvironmentCache(tmp_path)

    def fail(folder: Path) -> None:
        of_size(1)(folder)
        raise InterruptedError

    with pytest.raises(InterruptedError):
        cache.take("a", fail, nothing)
    cache.take("b", of_size(1), nothing).release()
    assert there(tmp_path) == {"b"}
    cache.take("a", of_size(1), nothing).release()
    assert there(tmp_path) == {"a", "b"}


def test_who_waits_for_another_s_making_can_give_up(tmp_path: Path) -> None:
    cache = EnvironmentCache(tmp_path)

    def give_up() -> None:
        raise InterruptedError

    def make_while_another_waits(folder: Path) -> None:
        with pytest.raises(InterruptedError):
            EnvironmentCache(tmp_path).take("a", of_size(1), give_up)
        of_size(1)(folder)

    cache.take("a", make_while_another_waits, nothing).release()
    assert there(tmp_path) == {"a"}


@pytest.mark.parametrize("key", [f"{number}" for number in range(10)])
def test_who_wanted_to_make_an_entry_too_uses_it_beside_whoever_was_first(tmp_path: Path, key: str) -> None:
    cache, made, together = EnvironmentCache(tmp_path), list[str](), threading.Barrier(6)
    deadline = time.monotonic() + 30

    def give_up() -> None:
        assert time.monotonic() < deadline, "it waits for an entry that is there"

    def take() -> None:
        together.wait()
        held.append(cache.take(key, of_size(1, made), give_up))

    held: list[Held] = []
    with ThreadPoolExecutor(6) as pool:
        for done in [pool.submit(take) for _ in range(6)]:
            done.result()
    assert made == [key]
    for one in held:
        one.release()
