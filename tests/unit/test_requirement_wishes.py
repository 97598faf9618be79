"""What a script says of its packages before `Task.init` shapes what the analysis finds."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import pytest

from tasktape.producers.errors import InvalidArgumentError
from tasktape.producers.requirements import PackageWishes, read_requirements

FOUND = ["numpy==2.4.0", "scikit_learn==1.9", "torch @ file:///wheels/torch.whl"]


def test_without_wishes_what_was_found_stays() -> None:
    assert PackageWishes().applied(FOUND) == FOUND


@pytest.mark.parametrize(
    ("name", "wanted", "line"),
    [
        ("tqdm", "4.6", "tqdm==4.6"),
        ("tqdm", ">=4", "tqdm>=4"),
        ("tqdm", "", "tqdm"),
        ("pytest", None, f"pytest=={version('pytest')}"),
        ("no-such-package", None, "no-such-package"),
    ],
)
def test_a_package_is_added_with_its_version(name: str, wanted: str | None, line: str) -> None:
    assert line in PackageWishes(added={name: wanted}).applied(FOUND)


def test_an_added_package_replaces_the_found_one_whatever_its_spelling() -> None:
    lines = PackageWishes(added={"Scikit-Learn": "1.8"}).applied(FOUND)
    assert [line for line in lines if "learn" in line.lower()] == ["Scikit-Learn==1.8"]


def test_an_ignored_package_is_left_out() -> None:
    assert PackageWishes(ignored={"scikit-learn", "torch"}).applied(FOUND) == FOUND[:1]


def test_a_requirements_file_is_read_without_comments(tmp_path: Path) -> None:
    file = tmp_path / "requirements.txt"
    file.write_text("# comment\n\nnumpy>=2\n  tqdm\n")
    assert read_requirements(file) == ["numpy>=2", "tqdm"]
    assert read_requirements(str(file)) == ["numpy>=2", "tqdm"]


def test_lines_are_taken_as_they_are() -> None:
    assert read_requirements(["numpy>=2", "tqdm"]) == ["numpy>=2", "tqdm"]
    assert read_requirements("") == []


def test_a_missing_requirements_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="requirements file"):
        read_requirements(tmp_path / "missing.txt")
