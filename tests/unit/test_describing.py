"""How a script that is not running would be started, named, and made a task where it does not say so itself."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tasktape.events.parts import Script
from tasktape.producers import describing

PLAIN = "print('hello')\n"
WITH_DOCSTRING = '"""What it does."""\nfrom __future__ import annotations\nprint("hello")\n'


@pytest.mark.parametrize("source", [PLAIN, WITH_DOCSTRING, "", "# only a comment\n"])
def test_a_lone_script_becomes_a_task_before_its_first_statement(source: str) -> None:
    changed = describing.with_init(Script(source=source or "\n", entry_point="train.py")).source
    body = [ast.unparse(node) for node in ast.parse(changed).body]
    place = body.index("Task.init()")
    assert body[place - 1] == "from tasktape import Task"
    assert all("hello" not in line for line in body[:place])
    compile(changed, "train.py", "exec")


def test_a_script_in_a_repository_is_started_through_the_launcher() -> None:
    script = Script(repository="https://host/repo.git", entry_point="src/train.py", arguments=["--lr", "1"])
    started = describing.with_init(script)
    assert started.entry_point == describing.LAUNCHER
    assert started.arguments == ["src/train.py", "--lr", "1"]


def test_a_module_is_started_through_the_launcher() -> None:
    started = describing.with_init(Script(repository="r", entry_point="-m package.train"))
    assert started.arguments == ["-m", "package.train"]


def test_source_that_is_no_python_stays_as_it_is() -> None:
    assert describing.with_init(Script(source="def (", entry_point="x.py")).source == "def ("


@pytest.mark.parametrize(
    ("text", "calls"),
    [("task = Task.init('p', 'n')", True), ("Task . init (", True), ("task.initialise()", False), ("", False)],
)
def test_a_call_of_init_is_seen(tmp_path: Path, text: str, calls: bool) -> None:
    (tmp_path / "s.py").write_text(text)
    assert describing.calls_init(tmp_path / "s.py") is calls


def test_a_module_with_arguments_is_an_entry(tmp_path: Path) -> None:
    entry = describing.entry_of(tmp_path, None, "package.train --lr 1")
    assert (entry.module, entry.arguments, entry.file) == ("package.train", ["--lr", "1"], None)


def test_names_come_from_the_repository_and_the_script(tmp_path: Path) -> None:
    folder = tmp_path / "my-repo" / "src"
    folder.mkdir(parents=True)
    (tmp_path / "my-repo" / ".git").mkdir()
    (folder / "train.py").write_text(PLAIN)
    entry = describing.entry_of(folder, folder / "train.py")
    assert describing.default_names(entry) == ("my-repo", "train")


def test_a_script_outside_any_repository_is_untitled(tmp_path: Path) -> None:
    entry = describing.entry_of(tmp_path, tmp_path / "train.py")
    assert describing.default_names(entry) == ("Untitled", "train")
