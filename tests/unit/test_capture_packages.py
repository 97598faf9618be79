"""Imports become requirement lines with which the same packages can be installed elsewhere."""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path

import pytest

from tasktape.producers.capture.imports import imports_in, walk
from tasktape.producers.capture.packages import imported, installed


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = Site(tmp_path / "site-packages")
    site.install("tasktape", "9.9", ["tasktape/__init__.py"])
    return site


class Site:
    """A folder of installed packages, made up."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def install(self, name: str, version: str, files: list[str], **record: object) -> None:
        info = self.folder / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (info / "RECORD").write_text("".join(f"{file},sha256=x,1\n" for file in [*files, f"{info.name}/METADATA"]))
        if record:
            (info / "direct_url.json").write_text(json.dumps(record))

    def lines(self, *names: str, boundary: str = "/nowhere") -> list[str]:
        found = imported(names, Path(boundary), [str(self.folder)])
        assert "tasktape==9.9" in found
        return [line for line in found if line != "tasktape==9.9"]


def test_a_module_names_the_distribution_that_provides_it(site: Site) -> None:
    site.install("scikit-learn", "1.2", ["sklearn/__init__.py", "sklearn/linear_model/__init__.py"])
    site.install("PyYAML", "6.0", ["yaml/__init__.py", "_yaml/__init__.py"])
    site.install("six", "1.16", ["six.py"])
    site.install("fast", "3", ["fast.cpython-311-x86_64-linux-gnu.so"])
    site.install("unused", "1", ["unused/__init__.py"])
    found = site.lines("sklearn.linear_model.Ridge", "yaml", "six", "fast", "not_installed", "os.path", "json")
    assert found == ["fast==3", "PyYAML==6.0", "scikit-learn==1.2", "six==1.16"]


def test_packages_that_share_a_namespace_are_told_apart(site: Site) -> None:
    site.install("google-storage", "2", ["google/cloud/storage/__init__.py", "google/cloud/storage/blob.py"])
    site.install("google-tables", "3", ["google/cloud/tables/__init__.py"])
    site.install("protobuf", "4", ["google/protobuf/__init__.py"])
    assert site.lines("google.cloud.storage") == ["google-storage==2"]
    assert site.lines("google.protobuf.message") == ["protobuf==4"]


def test_what_came_from_no_index_is_named_with_its_address(site: Site, tmp_path: Path) -> None:
    local = tmp_path / "local project"
    local.mkdir()
    git = {"vcs": "git", "commit_id": "abc", "requested_revision": "main"}
    site.install("vcs", "1", ["vcs.py"], url="https://me:t0ken@example.org/v.git", vcs_info=git, subdirectory="py")
    site.install("wheel", "1", ["wheel_.py"], url="https://example.org/wheel-1.whl", archive_info={})
    site.install("local", "1", ["local_.py"], url=local.as_uri(), dir_info={"editable": True})
    assert site.lines("vcs", "wheel_", "local_") == [
        f"local @ {local.as_uri()}",
        "vcs @ git+https://example.org/v.git@abc#subdirectory=py",
        "wheel @ https://example.org/wheel-1.whl",
    ]


def test_a_path_that_only_the_packager_had_is_not_named(site: Site) -> None:
    site.install("conda-built", "1.5", ["conda_built.py"], url="file:///build/conda-built/work", dir_info={})
    assert site.lines("conda_built") == ["conda-built==1.5"]


def test_an_editable_project_is_found_by_its_folder(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "elsewhere/src"
    source.mkdir(parents=True)
    (source / "mine.py").write_text("")
    monkeypatch.syspath_prepend(str(source))
    site.install("my-project", "0.1", ["__editable__.pth"], url=source.parent.as_uri(), dir_info={"editable": True})
    assert site.lines("mine") == [f"my-project @ {source.parent.as_uri()}"]
    assert site.lines("mine", boundary=str(tmp_path / "elsewhere")) == []


def test_a_script_that_imports_nothing_installed_has_no_file_list_read(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.install("one", "1", ["one.py"])
    read: list[str] = []
    of_file = importlib.metadata.PathDistribution.read_text

    def noting(distribution: importlib.metadata.PathDistribution, name: str) -> str | None:
        read.append(f"{distribution._path.name} {name}")  # type: ignore[attr-defined]
        return of_file(distribution, name)

    monkeypatch.setattr(importlib.metadata.PathDistribution, "read_text", noting)
    assert site.lines("json", "os.path", "tasktape") == []
    assert [name for name in read if "one" in name] == []
    assert site.lines("one") == ["one==1"]
    assert "one-1.dist-info RECORD" in read


def test_tasktape_is_always_named_as_it_is_installed() -> None:
    (line,) = [line for line in imported([], Path("/nowhere")) if line.startswith("tasktape")]
    version = importlib.metadata.version("tasktape")
    assert line == f"tasktape=={version}" or line.startswith("tasktape @ ")


def test_a_freeze_names_everything_installed(site: Site) -> None:
    site.install("one", "1", ["one.py"])
    site.install("two", "2", ["two.py"])
    assert installed(Path("/nowhere"), [str(site.folder)]) == ["one==1", "tasktape==9.9", "two==2"]


def test_a_damaged_installation_breaks_nothing(site: Site) -> None:
    site.install("odd", "1", ["odd.py"])
    (site.folder / "odd-1.dist-info/direct_url.json").write_text("{")
    (site.folder / "broken-2.dist-info").mkdir()
    assert site.lines("odd", "broken") == ["odd==1"]
    assert "odd==1" in installed(Path("/nowhere"), [str(site.folder)])


def test_imports_are_found_wherever_they_stand() -> None:
    source = """
import a, b.c as d
from e.f import g, h
from . import sibling
def later():
    import i
try:
    import j
except ImportError:
    j = None
if TYPE_CHECKING:
    import only_for_checkers
else:
    import k
if typing.TYPE_CHECKING:
    from only_for_checkers import x
importlib.import_module("l.m")
importlib.import_module(name)
importlib.import_module(".relative", "p")
__import__("n")
"""
    found = {("." * item.level + item.module, item.names) for item in imports_in(source)}
    plain = {("a", ()), ("b.c", ()), ("i", ()), ("j", ()), ("k", ()), ("l.m", ()), ("n", ())}
    assert found == plain | {("e.f", ("g", "h")), (".", ("sibling",))}


@pytest.mark.parametrize("source", ["x = (", "\0", "import a; \ud800", "(" * 5000])
def test_what_is_no_python_has_no_imports(source: str) -> None:
    assert imports_in(source) == []


def test_an_extension_module_of_ones_own_travels(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text("import fast\nimport numpy.linalg\n")
    extension = tmp_path / "fast.abi3.so"
    extension.write_bytes(b"\x7fELF")
    graph = walk([script], [tmp_path], tmp_path)
    assert graph.files == {script, extension}
    assert graph.external == {"numpy.linalg"}


def test_a_folder_of_scripts_does_not_hide_an_installed_package(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text("from datasets import load\n")
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets/make.py").write_text("")
    assert walk([script], [tmp_path], tmp_path).external == {"datasets.load"}


def test_an_environment_inside_the_project_is_not_the_users_own_code(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text("import six\n")
    site = tmp_path / ".venv/lib/python3.11/site-packages"
    site.mkdir(parents=True)
    (site / "six.py").write_text("import secret_inside\n")
    graph = walk([script], [tmp_path, site], tmp_path)
    assert (graph.files, graph.external) == ({script}, {"six"})
