"""What is captured of a repository, laid out again elsewhere, is the same tree of files."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tasktape.events.blobs import FolderStore
from tasktape.events.parts import Script
from tasktape.producers.capture.changes import DiffConflictError
from tasktape.producers.capture.entry import Entry
from tasktape.producers.capture.materialise import (
    Checkout,
    CommitNotFoundError,
    NothingToRunError,
    OutsideError,
    materialise,
)
from tasktape.producers.capture.mirror import forget_removed
from tasktape.producers.capture.script import Captured, capture

Tree = dict[str, tuple[str, bytes]]

PLAIN_CONFIG = """
[user]
    name = U
    email = u@example.org
[protocol "file"]
    allow = always
"""
HOSTILE_CONFIG = f"""{PLAIN_CONFIG}
[diff]
    noprefix = true
    mnemonicPrefix = true
    external = false
    renames = copies
    context = 0
    interHunkContext = 9
    submodule = log
    ignoreSubmodules = all
    relative = true
    suppressBlankEmpty = true
    colorMoved = zebra
    algorithm = histogram
    orderFile = ~/order
[diff "shown"]
    textconv = "echo shown"
[color]
    ui = always
[core]
    pager = false
    quotePath = true
    attributesFile = ~/attributes
[apply]
    whitespace = fix
"""


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def config(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    text = str(getattr(request, "param", HOSTILE_CONFIG))
    (tmp_path / "gitconfig").write_text(text)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    (tmp_path / "attributes").write_text("*.py diff=shown\n*.bin diff=shown\n")
    (tmp_path / "order").write_text("train.py\n*.bin\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    return text


class Project:
    """A user's repository with a remote, and a place to lay it out again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "my project"
        self.remote = folder / "remote.git"
        self.blobs = FolderStore(folder / "blobs")
        self.root.mkdir()
        git(self.root, "init", "--quiet", "--initial-branch=main")

    def write(self, name: str, content: bytes | str = "x = 1\n", mode: int = 0o644) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        path.chmod(mode)
        return path

    def commit(self, message: str = "work") -> str:
        git(self.root, "add", "--all")
        git(self.root, "commit", "--quiet", "--allow-empty", "--message", message)
        return git(self.root, "rev-parse", "HEAD")

    def push(self) -> None:
        if not self.remote.exists():
            git(self.folder, "init", "--quiet", "--bare", "--initial-branch=main", str(self.remote))
            git(self.root, "remote", "add", "origin", self.remote.as_uri())
        git(self.root, "push", "--quiet", "--set-upstream", "origin", "HEAD:main")

    def captured(self, script: str = "train.py", **options: object) -> Captured:
        entry = Entry(working_dir=self.root, file=self.root / script, name=script, roots=[(self.root / script).parent])
        return capture(entry, self.blobs, **options)  # type: ignore[arg-type]

    def laid_out(self, script: Script, name: str = "elsewhere") -> Checkout:
        travelled = Script.model_validate_json(script.model_dump_json())
        return materialise(travelled, self.folder / name, mirrors=self.folder / "mirrors")


@pytest.fixture
def project(tmp_path: Path, config: str) -> Project:  # noqa: ARG001  git reads it
    return Project(tmp_path)


def tree(root: Path) -> Tree:
    files = (path for path in sorted(root.rglob("*")) if ".git" not in path.parts[len(root.parts) :])
    return {path.relative_to(root).as_posix(): content(path) for path in files if path.is_symlink() or path.is_file()}


def content(path: Path) -> tuple[str, bytes]:
    if path.is_symlink():
        return "link", os.fsencode(path.readlink())
    return "x" if path.stat().st_mode & stat.S_IXUSR else "-", path.read_bytes()


BINARY = bytes(range(256)) * 40


def start(project: Project) -> None:
    """The commit all kinds of changes start from."""
    project.write("train.py", "import helper\n")
    project.write("helper.py", "".join(f"line_{i} = {i}\n" for i in range(60)))
    project.write("data/image.bin", BINARY)
    project.write("dos.txt", "one\r\ntwo\r\nthree\r\n" * 20)
    project.write("latin.txt", "caf\xe9 \xdf\n".encode("latin-1") * 9)
    project.write("no newline at end.txt", "last")
    project.write("sp ace/üñí ☃.py", "y = 2\n")
    project.write('tab\there\\quote".txt', "odd\n")
    project.write("run.sh", "#!/bin/sh\n", 0o755)
    (project.root / "link").symlink_to("helper.py")
    project.commit()


def edit(project: Project) -> None:
    lines = (project.root / "helper.py").read_text().splitlines(keepends=True)
    lines[3] = "changed = True\n"
    lines[40:42] = ["\n", "    \n", "trailing = 1   \n"]
    project.write("helper.py", "".join(lines))


def edit_binary(project: Project) -> None:
    project.write("data/image.bin", BINARY[:5000] + b"\0new" + BINARY[5000:])
    project.write("data/second.bin", BINARY[::-1])
    git(project.root, "add", "data/second.bin")


def rename(project: Project) -> None:
    git(project.root, "mv", "helper.py", "sp ace/moved helper.py")
    git(project.root, "mv", "data/image.bin", "picture.bin")


def delete(project: Project) -> None:
    (project.root / "dos.txt").unlink()
    git(project.root, "rm", "--quiet", "data/image.bin")


def change_modes(project: Project) -> None:
    (project.root / "run.sh").chmod(0o644)
    (project.root / "train.py").chmod(0o755)


def edit_carriage_returns(project: Project) -> None:
    project.write("dos.txt", (project.root / "dos.txt").read_bytes().replace(b"two\r\n", b"2\r\nand\n", 3))
    project.write("helper.py", (project.root / "helper.py").read_bytes().replace(b"\n", b"\r\n"))


def edit_other_encodings(project: Project) -> None:
    project.write("latin.txt", (project.root / "latin.txt").read_bytes() + "\xfcber\n".encode("latin-1"))


def edit_odd_names(project: Project) -> None:
    project.write("sp ace/üñí ☃.py", "y = 3\n")
    project.write('tab\there\\quote".txt', "odder\n")
    project.write("b/a/b/ new file.txt", "new\n")
    git(project.root, "add", "--all")


def edit_end_of_file(project: Project) -> None:
    project.write("no newline at end.txt", "last\n")
    project.write("helper.py", (project.root / "helper.py").read_bytes().rstrip(b"\n"))


def stage_and_edit(project: Project) -> None:
    edit(project)
    git(project.root, "add", "helper.py")
    project.write("helper.py", (project.root / "helper.py").read_text() + "later = 1\n")
    project.write("new.py", "n = 1\n")
    git(project.root, "add", "--intent-to-add", "new.py")


def relink(project: Project) -> None:
    (project.root / "link").unlink()
    (project.root / "link").symlink_to("run.sh")
    (project.root / "run.sh").unlink()
    (project.root / "run.sh").symlink_to("train.py")


def become_folder(project: Project) -> None:
    (project.root / "dos.txt").unlink()
    project.write("dos.txt/inside.txt", "now a folder\n")
    git(project.root, "add", "--all")


def empty_files(project: Project) -> None:
    project.write("helper.py", "")
    project.write("empty.py", "")
    git(project.root, "add", "--all")


def leave_conflict(project: Project) -> None:
    git(project.root, "checkout", "--quiet", "-b", "other")
    project.write("helper.py", "theirs = 1\n")
    project.commit()
    git(project.root, "checkout", "--quiet", "main")
    project.write("helper.py", "ours = 1\n")
    project.commit()
    subprocess.run(["git", "merge", "--quiet", "other"], cwd=project.root, check=False, capture_output=True)


def detach(project: Project) -> None:
    project.commit("another")
    git(project.root, "checkout", "--quiet", "--detach", "HEAD~1")
    edit(project)


def normalise_line_ends(project: Project) -> None:
    project.write(".gitattributes", "text.txt text eol=crlf\n")
    project.write("text.txt", "a\r\nb\r\n")
    project.commit()
    project.write("text.txt", "a\r\nc\r\nd\r\n")


def rename_and_edit(project: Project) -> None:
    """Renames the diff tells as such, with changes of content and mode in the same breath."""
    git(project.root, "mv", "helper.py", "moved.py")
    project.write("moved.py", (project.root / "moved.py").read_text().replace("line_7 ", "other_7 "), 0o755)
    git(project.root, "mv", "data/image.bin", "sp ace/image.bin")
    project.write("sp ace/image.bin", BINARY[:-9] + b"the end")


def swap(project: Project) -> None:
    helper, dos = (project.root / name for name in ("helper.py", "dos.txt"))
    one, other = helper.read_bytes(), dos.read_bytes()
    helper.write_bytes(other)
    dos.write_bytes(one)


def convert_line_ends(project: Project) -> None:
    """A user whose git turns line ends around, as on Windows: what lies in the folder is what counts."""
    git(project.root, "config", "core.autocrlf", "true")
    project.write("fresh.txt", "a\r\nb\r\n")
    project.commit()
    project.write("fresh.txt", "a\r\nc\r\n")


def nothing(project: Project) -> None:
    """Leave everything as it was committed."""


CHANGES: list[Callable[[Project], None]] = [
    nothing, edit, edit_binary, rename, delete, change_modes, edit_carriage_returns, edit_other_encodings,
    edit_odd_names, edit_end_of_file, stage_and_edit, relink, become_folder, empty_files, leave_conflict, detach,
    normalise_line_ends, rename_and_edit, swap,
]  # fmt: skip


@pytest.mark.parametrize("config", [PLAIN_CONFIG, HOSTILE_CONFIG], ids=["plain", "hostile"], indirect=True)
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_changed_working_tree_is_laid_out_again_byte_for_byte(
    project: Project, change: Callable[[Project], None]
) -> None:
    start(project)
    project.push()
    change(project)
    captured = project.captured()
    checkout = project.laid_out(captured.script)
    assert tree(checkout.root) == tree(project.root)
    assert checkout.commit == git(project.root, "rev-parse", "HEAD")
    assert captured.notes == []


def test_changes_under_a_git_that_turns_line_ends_around_still_apply(project: Project) -> None:
    start(project)
    project.push()
    convert_line_ends(project)
    project.push()
    checkout = project.laid_out(project.captured().script)
    assert (checkout.root / "fresh.txt").read_bytes().split() == (project.root / "fresh.txt").read_bytes().split()


@pytest.mark.parametrize("config", [PLAIN_CONFIG], indirect=True)
def test_the_diff_does_not_depend_on_what_the_user_configured(project: Project) -> None:
    start(project)
    lines = (project.root / "helper.py").read_text().splitlines(keepends=True)
    project.write("copied.py", "".join(lines))
    lines[10] = lines[20] = "changed = True\n"
    project.write("helper.py", "".join(lines))
    project.write("train.py", "import copied\n")
    edit_binary(project)
    git(project.root, "mv", "dos.txt", "moved.txt")
    git(project.root, "add", "--all")
    expected = project.captured().script.diff
    (project.folder / "gitconfig").write_text(HOSTILE_CONFIG)
    assert project.captured().script.diff == expected


def test_changes_before_the_first_commit_travel_whole(project: Project) -> None:
    project.write("train.py", "import helper\n")
    project.write("helper.py", "z = 1\n")
    project.write("image.bin", BINARY)
    project.write("caf\xe9.txt", "caf\xe9".encode("latin-1"))
    git(project.root, "add", "--all")
    captured = project.captured()
    assert captured.script.commit == ""
    assert tree(project.laid_out(captured.script).root) == tree(project.root)


def test_an_empty_repository_lets_its_untracked_script_travel(project: Project) -> None:
    project.write("train.py", "import helper\n")
    project.write("helper.py", "z = 1\n")
    checkout = project.laid_out(project.captured().script)
    assert tree(checkout.root) == tree(project.root)


def test_a_commit_on_no_remote_travels_as_a_bundle_of_what_the_remote_lacks(project: Project) -> None:
    start(project)
    project.write("large.bin", os.urandom(200_000))
    project.commit()
    project.push()
    project.write("helper.py", "new = 1\n")
    commit = project.commit()
    edit_binary(project)
    script = project.captured().script
    assert script.bundle is not None
    assert script.bundle.size < 5_000
    checkout = project.laid_out(script)
    assert checkout.commit == commit
    assert tree(checkout.root) == tree(project.root)


def test_a_repository_without_a_remote_travels_whole(project: Project) -> None:
    start(project)
    commit = project.commit()
    edit(project)
    script = project.captured().script
    assert script.repository == ""
    checkout = project.laid_out(script)
    assert checkout.commit == commit
    assert tree(checkout.root) == tree(project.root)
    assert git(checkout.root, "log", "--format=%s").splitlines() == ["work", "work"]


def test_a_shallow_clone_with_commits_of_its_own_is_laid_out_again(project: Project) -> None:
    start(project)
    project.commit()
    project.push()
    git(project.folder, "clone", "--quiet", "--depth=1", project.remote.as_uri(), "shallow")
    project.root = project.folder / "shallow"
    project.write("helper.py", "new = 1\n")
    project.commit()
    project.write("helper.py", "newer = 1\n")
    checkout = project.laid_out(project.captured().script)
    assert tree(checkout.root) == tree(project.root)


def test_the_bundle_of_a_commit_is_made_once(project: Project, tmp_path: Path) -> None:
    start(project)
    first = project.captured(memory=tmp_path / "memory").script.bundle
    stored = sorted((tmp_path / "blobs").rglob("*"))
    assert project.captured(memory=tmp_path / "memory").script.bundle == first
    assert sorted((tmp_path / "blobs").rglob("*")) == stored


def test_a_bundle_that_has_left_the_store_is_made_again(project: Project, tmp_path: Path) -> None:
    start(project)
    first = project.captured(memory=tmp_path / "memory").script.bundle
    assert first is not None
    project.blobs.delete(first)
    script = project.captured(memory=tmp_path / "memory").script
    assert project.laid_out(script).commit == script.commit


def test_untracked_and_ignored_modules_travel_when_the_script_imports_them(project: Project) -> None:
    start(project)
    project.write(".gitignore", "secret_config.py\n")
    project.write("train.py", "import helper, direct\nfrom package import part\nimport secret_config\n")
    project.commit()
    project.push()
    expected = tree(project.root)
    for name, text in {
        "direct.py": "import indirect\n",
        "indirect.py": "",
        "package/__init__.py": "",
        "package/part.py": "from . import sibling\n",
        "package/sibling.py": "def later():\n    import deep.down\n",
        "deep/down.py": "z = 1\n",
        "secret_config.py": "a = 1\n",
    }.items():
        project.write(name, text)
        expected[name] = ("-", text.encode())
    project.write("unrelated.py", "")
    project.write("package/notes.txt", "")
    checkout = project.laid_out(project.captured().script)
    assert tree(checkout.root) == expected


def test_an_untracked_script_travels_with_its_repository(project: Project) -> None:
    start(project)
    project.push()
    project.write("sub/fresh.py", "print(1)\n")
    script = project.captured("sub/fresh.py").script
    checkout = project.laid_out(script)
    assert script.entry_point == "sub/fresh.py"
    assert tree(checkout.root) == tree(project.root)


def test_the_script_is_found_from_the_folder_it_was_started_in(project: Project) -> None:
    start(project)
    project.push()
    project.write("sub/tool.py", "")
    entry = Entry(working_dir=project.root / "sp ace", file=project.root / "sub/tool.py", name="tool.py")
    script = capture(entry, project.blobs).script
    checkout = project.laid_out(script)
    assert (script.working_dir, script.entry_point) == ("sp ace", "../sub/tool.py")
    assert (checkout.working_dir / checkout.entry_point).resolve() == (checkout.root / "sub/tool.py").resolve()


def test_a_module_keeps_its_name_and_folder(project: Project) -> None:
    start(project)
    project.write("package/__main__.py", "")
    project.commit()
    project.push()
    main = project.root / "package/__main__.py"
    script = capture(Entry(working_dir=project.root, file=main, module="package"), project.blobs).script
    assert (script.working_dir, script.entry_point) == (".", "-m package")


def test_large_changes_travel_through_the_blob_store(project: Project) -> None:
    start(project)
    project.push()
    project.write("helper.py", "".join(f"long_line_{i} = {i}\n" for i in range(20_000)))
    script = project.captured().script
    assert script.diff == ""
    assert script.diff_blob is not None
    assert tree(project.laid_out(script).root) == tree(project.root)


def test_two_tasks_of_one_repository_share_its_mirror_and_see_new_commits(project: Project) -> None:
    start(project)
    project.push()
    project.laid_out(project.captured().script, "first")
    project.write("helper.py", "second = 1\n")
    project.commit()
    project.push()
    checkout = project.laid_out(project.captured().script, "second")
    assert tree(checkout.root) == tree(project.root)
    assert len(list((project.folder / "mirrors").glob("*.git"))) == 1


def test_a_known_commit_is_laid_out_while_the_remote_is_away(project: Project) -> None:
    start(project)
    project.push()
    script = project.captured().script
    project.laid_out(script, "first")
    project.remote.rename(project.folder / "gone.git")
    assert tree(project.laid_out(script, "second").root) == tree(project.root)


def test_a_branch_without_a_commit_means_its_newest(project: Project) -> None:
    start(project)
    project.push()
    script = Script(repository=project.remote.as_uri(), branch="main", entry_point="train.py")
    project.laid_out(script, "first")
    commit = project.commit("newer")
    project.push()
    assert project.laid_out(script, "second").commit == commit


def test_a_commit_nobody_has_is_named_in_the_error(project: Project) -> None:
    start(project)
    project.push()
    missing = project.captured().script.model_copy(update={"commit": "1" * 40})
    with pytest.raises(CommitNotFoundError, match="1" * 40):
        project.laid_out(missing)


def test_a_diff_that_does_not_fit_says_so(project: Project) -> None:
    start(project)
    project.push()
    edit(project)
    script = project.captured().script
    project.write("helper.py", "something else\n")
    other = project.commit()
    project.push()
    with pytest.raises(DiffConflictError, match=r"helper\.py"):
        project.laid_out(script.model_copy(update={"commit": other}))


@pytest.mark.parametrize(
    "options", ["--no-prefix", "--src-prefix=c/ --dst-prefix=w/", "--src-prefix=a/ --dst-prefix=b/"]
)
@pytest.mark.parametrize("change", [edit, rename, rename_and_edit, edit_odd_names], ids=lambda change: change.__name__)
def test_a_diff_somebody_made_by_hand_applies_whatever_their_prefixes(
    project: Project, change: Callable[[Project], None], options: str
) -> None:
    start(project)
    project.push()
    script = project.captured().script
    change(project)
    command = [
        "git",
        "-c",
        "color.ui=never",
        "diff",
        "--binary",
        "-U3",
        "--no-ext-diff",
        "--no-textconv",
        "--no-relative",
    ]
    made = subprocess.run(
        [*command, *options.split(), "HEAD"], cwd=project.root, check=True, capture_output=True
    ).stdout
    checkout = project.laid_out(script.model_copy(update={"diff": made.decode()}))
    assert tree(checkout.root) == tree(project.root)


@pytest.mark.parametrize(
    ("working_dir", "entry_point"), [("..", "x.py"), (".", "../x.py"), ("/", "tmp/x.py"), ("out", "x.py")]
)
def test_a_script_is_never_written_outside_its_folder(project: Project, working_dir: str, entry_point: str) -> None:
    start(project)
    (project.root / "out").symlink_to("..")
    project.commit()
    project.push()
    script = project.captured().script.model_copy(
        update={"source": "x = 1", "working_dir": working_dir, "entry_point": entry_point}
    )
    with pytest.raises(OutsideError, match=r"x\.py"):
        project.laid_out(script)
    assert not list(project.folder.glob("x.py"))


def test_checkouts_are_worktrees_of_the_mirror_and_leave_nothing_in_it(project: Project) -> None:
    start(project)
    project.push()
    script = project.captured().script
    kept, gone = project.laid_out(script, "kept"), project.laid_out(script, "gone")
    assert kept.mirror == gone.mirror
    assert kept.mirror is not None
    shutil.rmtree(gone.root)
    forget_removed(kept.mirror)
    listed = git(kept.mirror, "worktree", "list", "--porcelain")
    assert str(kept.root) in listed
    assert str(gone.root) not in listed
    assert git(kept.root, "status", "--porcelain") == ""


def test_many_checkouts_of_one_repository_at_once_are_all_whole(project: Project) -> None:
    start(project)
    project.push()
    edit(project)
    script = project.captured().script
    with ThreadPoolExecutor(6) as pool:
        checkouts = list(pool.map(lambda number: project.laid_out(script, f"place {number}/code"), range(6)))
    assert [tree(checkout.root) for checkout in checkouts] == [tree(project.root)] * 6


def test_what_a_task_does_to_its_checkout_s_branches_is_no_other_task_s_business(project: Project) -> None:
    start(project)
    project.push()
    script = project.captured().script
    first = project.laid_out(script, "first")
    git(first.root, "checkout", "--quiet", "-b", "results")
    (first.root / "helper.py").write_text("result = 1\n")
    git(first.root, "commit", "--quiet", "--all", "--message", "results")
    git(first.root, "push", "--quiet", "origin", "HEAD:results")
    assert tree(project.laid_out(script, "second").root) == tree(project.root)
    assert sorted(git(project.remote, "branch", "--format=%(refname:short)").split()) == ["main", "results"]


def test_a_task_without_code_says_so(project: Project) -> None:
    with pytest.raises(NothingToRunError, match="no script"):
        project.laid_out(Script())


@pytest.fixture
def library(project: Project) -> Path:
    """A second repository, published, for use as a submodule."""
    root = project.folder / "library"
    root.mkdir()
    git(root, "init", "--quiet", "--initial-branch=main")
    (root / "lib.py").write_text("version = 1\n")
    (root / "other.py").write_text("".join(f"o{i} = {i}\n" for i in range(30)))
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "first")
    return root


def with_submodule(project: Project, library: Path) -> Path:
    start(project)
    git(project.root, "submodule", "--quiet", "add", library.as_uri(), "third party/lib[1]")
    return project.root / "third party/lib[1]"


def test_a_submodule_is_laid_out_with_its_commit_and_the_changes_inside_it(project: Project, library: Path) -> None:
    submodule = with_submodule(project, library)
    project.commit()
    project.push()
    (library / "lib.py").write_text("version = 2\n")
    git(library, "commit", "--quiet", "--all", "--message", "second")
    git(submodule, "pull", "--quiet", "origin", "main")
    (submodule / "other.py").write_text((submodule / "other.py").read_text().replace("o7 = 7", "o7 = 'changed'"))
    (submodule / "fresh.py").write_text("f = 1\n")
    project.write("train.py", "import sys\nsys.path.append('third party/lib[1]')\nimport lib\n")
    captured = project.captured()
    checkout = project.laid_out(captured.script)
    expected = tree(project.root)
    del expected["third party/lib[1]/fresh.py"]
    assert tree(checkout.root) == expected
    assert captured.notes == []


def test_a_submodule_that_is_not_committed_yet_is_laid_out(project: Project, library: Path) -> None:
    start(project)
    project.push()
    git(project.root, "submodule", "--quiet", "add", library.as_uri(), "lib")
    edit(project)
    checkout = project.laid_out(project.captured().script)
    assert tree(checkout.root) == tree(project.root)


def test_a_submodule_that_has_moved_is_laid_out_from_where_each_commit_has_it(project: Project, library: Path) -> None:
    with_submodule(project, library)
    project.commit()
    project.push()
    before = project.captured().script
    moved = project.folder / "moved library"
    library.rename(moved)
    git(project.root, "config", "-f", ".gitmodules", "submodule.third party/lib[1].url", moved.as_uri())
    project.commit()
    project.push()
    after = project.captured().script
    assert tree(project.laid_out(after, "after").root) == tree(project.root)
    moved.rename(library)
    assert tree(project.laid_out(before, "before").root).keys() == tree(project.root).keys()


def test_a_submodule_that_was_removed_is_not_laid_out(project: Project, library: Path) -> None:
    with_submodule(project, library)
    project.commit()
    project.push()
    git(project.root, "rm", "--quiet", "third party/lib[1]")
    checkout = project.laid_out(project.captured().script)
    assert tree(checkout.root) == tree(project.root)


def test_submodules_of_submodules_are_laid_out_with_their_changes(project: Project, library: Path) -> None:
    inner = project.folder / "inner"
    inner.mkdir()
    git(inner, "init", "--quiet", "--initial-branch=main")
    (inner / "deep.py").write_text("deep = 1\n")
    git(inner, "add", "--all")
    git(inner, "commit", "--quiet", "--message", "first")
    git(library, "submodule", "--quiet", "add", inner.as_uri(), "inner")
    git(library, "commit", "--quiet", "--message", "with inner")
    submodule = with_submodule(project, library)
    git(submodule, "submodule", "--quiet", "update", "--init")
    project.commit()
    project.push()
    (submodule / "inner/deep.py").write_text("deep = 2\n")
    checkout = project.laid_out(project.captured().script)
    assert tree(checkout.root) == tree(project.root)


def test_a_submodule_with_commits_of_its_own_is_noted(project: Project, library: Path) -> None:
    submodule = with_submodule(project, library)
    project.commit()
    project.push()
    (submodule / "lib.py").write_text("version = 3\n")
    git(submodule, "commit", "--quiet", "--all", "--message", "mine")
    (note,) = project.captured().notes
    assert "third party/lib[1]" in note


@pytest.mark.parametrize(
    ("configured", "captured"),
    [
        ("https://me:t0ken@example.org/team/code.git", "https://example.org/team/code.git"),
        ("https://t0ken@example.org/team/code.git", "https://example.org/team/code.git"),
        ("ssh://git:t0ken@example.org:22/code.git", "ssh://git@example.org:22/code.git"),
        ("git@example.org:team/code.git", "git@example.org:team/code.git"),
        ("short:team/code.git", "https://example.org/team/code.git"),
    ],
)
def test_an_address_is_captured_without_credentials(project: Project, configured: str, captured: str) -> None:
    start(project)
    git(project.root, "config", "url.https://me:t0ken@example.org/.insteadOf", "short:")
    git(project.root, "config", "--add", "url.ssh://mine@example.org/.insteadOf", "https://example.org/")
    git(project.root, "remote", "add", "origin", configured)
    found = project.captured()
    assert found.script.repository == captured
    assert "t0ken" not in found.script.model_dump_json()


def test_the_remote_that_the_branch_follows_is_the_one_captured(project: Project) -> None:
    start(project)
    git(project.root, "remote", "add", "origin", "https://example.org/origin.git")
    git(project.root, "remote", "add", "fork", "https://example.org/fork.git")
    git(project.root, "config", "branch.main.remote", "fork")
    assert project.captured().script.repository == "https://example.org/fork.git"


def test_a_remote_at_a_relative_path_is_captured_as_an_absolute_one(project: Project) -> None:
    start(project)
    project.push()
    git(project.root, "remote", "set-url", "origin", "../remote.git")
    script = project.captured().script
    assert script.repository == str(project.remote)
    assert tree(project.laid_out(script).root) == tree(project.root)


def test_variables_of_a_surrounding_git_command_change_nothing(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(project)
    project.push()
    edit(project)
    before = project.captured().script
    monkeypatch.setenv("GIT_DIR", str(project.remote))
    monkeypatch.setenv("GIT_INDEX_FILE", "/nonexistent")
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", "false")
    monkeypatch.setenv("GIT_DIFF_OPTS", "-u0")
    assert project.captured().script == before


def test_capturing_leaves_the_repository_as_it_was(project: Project) -> None:
    start(project)
    project.push()
    stage_and_edit(project)
    git(project.root, "status")
    before = {path: path.read_bytes() for path in (project.root / ".git").rglob("*") if path.is_file()}
    project.captured()
    assert {path: path.read_bytes() for path in (project.root / ".git").rglob("*") if path.is_file()} == before
