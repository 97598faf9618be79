"""Scripts outside repositories, modules, inline code and notebooks travel whole."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from tasktape.events.blobs import FolderStore
from tasktape.events.parts import Script
from tasktape.producers.capture.entry import Entry, notebook_source
from tasktape.producers.capture.materialise import materialise
from tasktape.producers.capture.notebook import follow_notebook
from tasktape.producers.capture.script import INLINE_LIMIT, capture
from tasktape.producers.capture.tree import UnsafeArchiveError, unpack

SHOW = """
import sys, tempfile, pathlib
from tasktape.events.blobs import FolderStore
from tasktape.producers.capture.entry import find_entry
from tasktape.producers.capture.notebook import follow_notebook
from tasktape.producers.capture.script import capture
blobs = FolderStore(pathlib.Path(sys.argv[1]))
print(capture(find_entry(), blobs).script.model_dump_json())
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


def captured_by_running(folder: Path, *command: str) -> Script:
    """The script that a Python process started in `folder` captures of itself."""
    full = [sys.executable, *command, str(folder.parent / "blobs"), "--flag", "a b"]
    done = subprocess.run(full, cwd=folder, check=True, capture_output=True, text=True)
    return Script.model_validate_json(done.stdout.splitlines()[-1])


def test_a_lone_script_travels_whole_with_the_modules_beside_it(folder: Path) -> None:
    text = "# caf\u00e9 \u2603\r\nimport beside, pack.age\n" + SHOW
    (folder / "lone.py").write_bytes(text.encode())
    (folder / "beside.py").write_text("import further\n")
    (folder / "further.py").write_text("")
    (folder / "unused.py").write_text("")
    (folder / "pack").mkdir()
    (folder / "pack/age.py").write_text("")
    script = captured_by_running(folder, "lone.py")
    checkout = materialise(script, folder.parent / "there", mirrors=folder.parent)
    assert script.source == text
    assert script.arguments[1:] == ["--flag", "a b"]
    assert script.python_version == sys.version.partition(" ")[0]
    assert (checkout.working_dir / checkout.entry_point).read_bytes() == text.encode()
    files = sorted(path.relative_to(checkout.root).as_posix() for path in checkout.root.rglob("*.py"))
    assert files == ["beside.py", "further.py", "lone.py", "pack/age.py"]


def test_a_module_outside_a_repository_travels_with_all_it_imports(folder: Path) -> None:
    (folder / "pack").mkdir()
    (folder / "pack/__init__.py").write_text("")
    (folder / "pack/run.py").write_text("from . import part\n" + SHOW)
    (folder / "pack/part.py").write_text("")
    script = captured_by_running(folder, "-m", "pack.run")
    assert script.entry_point == "-m pack.run"
    checkout = materialise(script, folder.parent / "there", mirrors=folder.parent)
    done = subprocess.run(
        [sys.executable, *checkout.entry_point.split(), str(folder.parent / "blobs")],
        cwd=checkout.working_dir, check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert json.loads(done.stdout)["entry_point"] == "-m pack.run"


def test_code_given_on_the_command_line_travels(folder: Path) -> None:
    (folder / "beside.py").write_text("")
    script = captured_by_running(folder, "-c", "import beside\n" + SHOW)
    assert (script.source, script.entry_point) == ("import beside\n" + SHOW, "inline.py")
    assert script.untracked is not None


def test_without_git_a_script_in_a_repository_travels_whole(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / ".git").mkdir()
    (folder / "train.py").write_text("x = 1\n")
    monkeypatch.setenv("PATH", str(folder))
    script = capture(Entry(folder, folder / "train.py", name="train.py"), FolderStore(folder / "blobs")).script
    assert (script.repository, script.source) == ("", "x = 1\n")


def test_a_broken_repository_leaves_the_script_to_travel_alone_and_says_so(folder: Path) -> None:
    subprocess.run(["git", "init", "--quiet", str(folder)], check=True)
    (folder / "train.py").write_text("x = 1\n")
    (folder / ".git/index").write_bytes(b"broken")
    captured = capture(Entry(folder, folder / "train.py", name="train.py"), FolderStore(folder / "blobs"))
    assert captured.script.source == "x = 1\n"
    assert len(captured.notes) == 1


def test_a_script_whose_folder_is_gone_is_still_found(folder: Path) -> None:
    (folder / "gone").mkdir()
    (folder / "lone.py").write_text("import os\nos.rmdir(os.getcwd())\n" + SHOW)
    command = [sys.executable, str(folder / "lone.py"), str(folder.parent / "blobs")]
    done = subprocess.run(command, cwd=folder / "gone", check=True, capture_output=True, text=True)
    assert Script.model_validate_json(done.stdout).source.startswith("import os\n")


def test_an_interactive_shell_has_no_script(folder: Path) -> None:
    script = capture(Entry(folder), FolderStore(folder / "blobs")).script
    assert (script.entry_point, script.source, script.untracked) == ("", "", None)


def test_the_cells_of_a_notebook_are_its_script() -> None:
    main = ModuleType("__main__")
    cells = ["", "import a\n%matplotlib inline\nx = 1", "!pip install b", "%%bash\nls\npwd", "help?\ny = 2\n"]
    shell = SimpleNamespace(history_manager=SimpleNamespace(input_hist_raw=cells))
    main.get_ipython = lambda: shell  # type: ignore[attr-defined]
    text = notebook_source(main)
    names: dict[str, object] = {}
    exec(text.replace("import a", ""), names)
    assert (names["x"], names["y"]) == (1, 2)
    assert "# !pip install b" in text
    assert "# ls" in text


class Events:
    """IPython's registry of callbacks, as far as it is used."""

    def __init__(self) -> None:
        self.callbacks: list[Callable[[], None]] = []

    def register(self, event: str, callback: Callable[[], None]) -> None:
        assert event == "post_run_cell"
        self.callbacks.append(callback)

    def unregister(self, event: str, callback: Callable[[], None]) -> None:
        assert event == "post_run_cell"
        self.callbacks.remove(callback)


def test_a_notebook_is_described_again_now_and_then_and_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    events, described = Events(), threading.Semaphore(0)
    main = sys.modules["__main__"]
    monkeypatch.setattr(main, "get_ipython", lambda: SimpleNamespace(events=events), raising=False)
    stop = follow_notebook(described.release)
    assert stop is not None
    events.callbacks[0]()
    assert not described.acquire(blocking=False)
    clock = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: clock + 61)
    events.callbacks[0]()
    monkeypatch.undo()
    assert described.acquire(timeout=30)
    stop()
    assert described.acquire(timeout=30)
    assert events.callbacks == []


def test_outside_a_notebook_nothing_is_followed() -> None:
    assert follow_notebook(lambda: None) is None


@pytest.mark.parametrize("content", ["# long\n" * INLINE_LIMIT, "# caf\xe9\n".encode("latin-1")], ids=["long", "latin"])
def test_a_script_that_is_no_short_text_travels_as_a_file(folder: Path, content: str | bytes) -> None:
    data = content.encode() if isinstance(content, str) else content
    (folder / "train.py").write_bytes(data)
    script = capture(Entry(folder, folder / "train.py", name="train.py"), FolderStore(folder / "blobs")).script
    checkout = materialise(script, folder / "there", mirrors=folder)
    assert script.source == ""
    assert (checkout.working_dir / checkout.entry_point).read_bytes() == data


def test_the_same_files_make_the_same_archive(folder: Path) -> None:
    blobs = FolderStore(folder / "blobs")
    (folder / "train.py").write_text("import beside\n")
    (folder / "beside.py").write_text("x = 1\n")
    entry = Entry(folder, folder / "train.py", name="train.py", roots=[folder])
    first = capture(entry, blobs).script.untracked
    os.utime(folder / "beside.py", (1, 1))
    assert capture(entry, blobs).script.untracked == first


def test_finding_imports_takes_no_longer_for_each_module_the_more_there_are(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subprocess.run(["git", "init", "--quiet", str(folder)], check=True)
    (folder / "train.py").write_text("x = 1\n")
    looked_for: list[Path] = []
    is_file = Path.is_file

    def noting(path: Path) -> bool:
        looked_for.append(path)
        return is_file(path)

    monkeypatch.setattr(Path, "is_file", noting)

    def look_ups(modules: int) -> int:
        loaded = {f"part{number}": folder / f"part{number}.py" for number in range(modules)}
        for number, file in enumerate(loaded.values()):
            file.write_text(f"import numpy, only{number}, part{(number + 1) % modules}\n")
        looked_for.clear()
        entry = Entry(folder, folder / "train.py", name="train.py", roots=[folder / "tools"], loaded=loaded)
        assert capture(entry, FolderStore(folder / "blobs")).imports.files == {folder / "train.py", *loaded.values()}
        return len(looked_for)

    few = look_ups(10)
    assert few < look_ups(100) < 11 * few


@pytest.mark.parametrize("name", ["../outside.py", "/tmp/outside.py", "a/../../outside.py"])
def test_an_archive_cannot_write_outside_its_folder(folder: Path, name: str) -> None:
    with tarfile.open(folder / "bad.tar.gz", "w:gz") as archive:
        archive.addfile(tarfile.TarInfo(name))
    with pytest.raises(UnsafeArchiveError, match="outside"):
        unpack(folder / "bad.tar.gz", folder / "target")
