"""What is known of a program's end besides its exit code."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from tasktape.agent.circumstances import OUT_OF_MEMORY, ROOM, Circumstances, memory_kills
from tasktape.agent.run_control import DISK_FULL


class Usage(NamedTuple):
    free: int


@pytest.mark.parametrize(
    ("code", "kills", "said"),
    [
        (-9, [3, 4], OUT_OF_MEMORY),
        (137, [3, 4], OUT_OF_MEMORY),
        (-9, [3, 3], ""),
        (1, [3, 4], ""),
        (-9, [None, None], ""),
    ],
)
def test_who_was_killed_while_the_kernel_lacked_memory_lacked_it_too(
    tmp_path: Path, code: int, kills: list[int | None], said: str
) -> None:
    counted = iter(kills)
    assert Circumstances(tmp_path, lambda: next(counted)).of(code) == said


@pytest.mark.parametrize(
    ("code", "free", "said"), [(1, ROOM - 1, DISK_FULL), (1, ROOM, ""), (0, 0, "")], ids=["full", "room", "well"]
)
def test_who_failed_on_a_full_disk_failed_for_want_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, free: int, said: str
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(free))
    assert Circumstances(tmp_path).of(code) == said


def test_a_folder_that_is_gone_says_nothing(tmp_path: Path) -> None:
    assert Circumstances(tmp_path / "gone").of(1) == ""


def test_linux_counts_its_kills() -> None:
    assert (memory_kills() or 0) >= 0
