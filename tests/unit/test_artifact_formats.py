"""Objects become files and objects again, and what can't is named."""

from __future__ import annotations

import threading
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tasktape.events.parts import Artifact as ArtifactPart
from tasktape.producers.artifact_formats import PREVIEW_LENGTH, ArtifactError, Format, Request, format_of
from tasktape.producers.artifacts import Artifact, BlockedArtifactTypeError

FRAME = pd.DataFrame({"number": [1, 2], "text": ["a", "ü"]}, index=["x", "y"])


def written(found: Format, folder: Path) -> Path:
    """The artifact's file, as the upload spool would have it."""
    path = folder / found.file_name.replace("/", "_")
    if found.write is not None:
        found.write(path)
        return path
    assert found.source is not None
    return found.source


def there_and_back(value: Any, folder: Path, **wanted: Any) -> tuple[Format, Any]:
    found = format_of(value, Request(name="n", **wanted))
    path = written(found, folder)
    part = ArtifactPart(
        name="n", type=found.type, uri=str(path), size=0, sha256="", content_type=found.content_type, preview=""
    )
    return found, Artifact(part, datetime.now(UTC)).get()


@pytest.mark.parametrize(
    ("array", "extension", "file_name"),
    [
        (np.arange(6).reshape(2, 3), "", "n.npz"),
        (np.array(3.5), "", "n.npz"),
        (np.array([], dtype=np.float32), ".npz", "n.npz"),
        (np.array([[1.5, 2], [3, 4]]), ".csv.gz", "n.csv.gz"),
    ],
)
def test_arrays(tmp_path: Path, array: Any, extension: str, file_name: str) -> None:
    found, back = there_and_back(array, tmp_path, extension=extension)
    assert (found.type, found.file_name) == ("numpy", file_name)
    np.testing.assert_array_equal(back, array)


def test_arrays_of_objects_and_of_other_classes_are_pickled_whole(tmp_path: Path) -> None:
    masked = np.ma.array([1, 2], mask=[True, False])
    found, back = there_and_back(masked, tmp_path)
    assert found.type == "pickle"
    assert back.mask.tolist() == [True, False]
    assert there_and_back(np.array([{}, None], dtype=object), tmp_path)[0].type == "pickle"


def test_an_array_may_be_called_file(tmp_path: Path) -> None:
    found = format_of(np.arange(3), Request(name="file"))
    assert found.write is not None
    found.write(tmp_path / "file.npz")


@pytest.mark.parametrize("extension", ["", ".csv.gz", ".parquet", ".feather", ".pickle"])
def test_data_frames(tmp_path: Path, extension: str) -> None:
    frame = FRAME if extension != ".feather" else FRAME.reset_index(drop=True)
    found, back = there_and_back(frame, tmp_path, extension=extension)
    assert (found.type, found.file_name) == ("pandas", f"n{extension or '.csv.gz'}")
    pd.testing.assert_frame_equal(back, frame)
    assert "number" in found.preview


def test_equal_frames_become_equal_files(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    first = written(format_of(FRAME, Request(name="n")), tmp_path / "a")
    assert first.read_bytes() == written(format_of(FRAME, Request(name="n")), tmp_path).read_bytes()


def test_frames_with_many_levels_and_series_keep_all_they_have(tmp_path: Path) -> None:
    levels = FRAME.set_index("text", append=True)
    found, back = there_and_back(levels, tmp_path)
    assert found.type == "pickle"
    pd.testing.assert_frame_equal(back, levels)
    found, back = there_and_back(FRAME["number"], tmp_path)
    assert (found.type, found.file_name) == ("pandas", "n.pickle")
    pd.testing.assert_series_equal(back, FRAME["number"])


def test_images(tmp_path: Path) -> None:
    image = Image.new("RGB", (4, 3), (255, 0, 0))
    found, back = there_and_back(image, tmp_path)
    assert (found.type, found.file_name, found.content_type) == ("image", "n.png", "image/png")
    assert (back.size, back.getpixel((0, 0))) == ((4, 3), (255, 0, 0))
    assert there_and_back(image, tmp_path, extension=".bmp")[0].file_name == "n.bmp"


@settings(max_examples=40)
@given(
    st.dictionaries(
        st.text(), st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists), max_size=5
    )
)
def test_dicts_of_plain_values_come_back_equal(tmp_path_factory: pytest.TempPathFactory, value: Any) -> None:
    found, back = there_and_back(value, tmp_path_factory.getbasetemp())
    assert (found.type, found.file_name, found.content_type) == ("dict", "n.json", "application/json")
    assert back == value


def test_dicts_can_be_yaml_and_keep_their_order_on_request(tmp_path: Path) -> None:
    value = {"b": 1, "a": [True, None, "ü"]}
    found, back = there_and_back(value, tmp_path, extension=".yaml", sort_keys=False)
    assert (found.file_name, found.content_type, back) == ("n.yaml", "application/yaml", value)
    assert list(back) == ["b", "a"]
    assert list(there_and_back(value, tmp_path)[1]) == ["a", "b"]


def test_dicts_json_has_no_room_for_are_pickled_unless_that_is_not_wanted(tmp_path: Path) -> None:
    value = {"set": {1, 2}, (1, 2): "tuple"}
    found, back = there_and_back(value, tmp_path)
    assert (found.type, back) == ("pickle", value)
    with pytest.raises(ArtifactError, match="no json"):
        format_of(value, Request(name="n", auto_pickle=False))


@pytest.mark.parametrize("text", ["some text\nof two lines ü 😀", "x" * 200_000, "nul\0byte", "lone \udcff surrogate"])
def test_texts(tmp_path: Path, text: str) -> None:
    found, back = there_and_back(text, tmp_path)
    assert (found.type, found.file_name, back) == ("string", "n.txt", text)
    assert len(found.preview) < PREVIEW_LENGTH + 100


@pytest.mark.parametrize("value", [None, "", 0, 3.5, True, b"bytes", [1, "a"], (1, 2), {1, 2}, ValueError("x")])
def test_everything_else_is_pickled(tmp_path: Path, value: Any) -> None:
    found, back = there_and_back(value, tmp_path)
    assert (found.type, found.file_name) == ("pickle", "n.pkl")
    assert repr(back) == repr(value)


def test_pickle_can_be_asked_for_and_can_be_refused(tmp_path: Path) -> None:
    assert there_and_back(FRAME, tmp_path, extension=".pkl")[0].type == "pickle"
    with pytest.raises(ArtifactError, match="'n': a list has no format but pickle"):
        format_of([1], Request(name="n", auto_pickle=False))


def test_what_can_not_be_pickled_raises_when_it_is_written(tmp_path: Path) -> None:
    found = format_of(threading.Lock(), Request(name="n"))
    with pytest.raises(TypeError):
        written(found, tmp_path)


def test_a_repr_that_fails_leaves_the_preview_empty() -> None:
    class Shy:
        def __repr__(self) -> str:
            raise RuntimeError("no")

    assert format_of(Shy(), Request(name="n")).preview == ""


def test_a_function_of_the_users_makes_and_reads_the_bytes(tmp_path: Path) -> None:
    request = Request(name="n", extension=".bin", serialize=bytes)
    found = format_of([1, 2, 3], request)
    path = written(found, tmp_path)
    assert (found.type, found.file_name, path.read_bytes()) == ("custom", "n.bin", b"\1\2\3")
    part = ArtifactPart(name="n", type="custom", uri=str(path), size=0, sha256="")
    assert Artifact(part, datetime.now(UTC)).get(deserialization_function=list) == [1, 2, 3]


def test_files_keep_their_name_and_are_not_copied_here(tmp_path: Path) -> None:
    path = tmp_path / "weights.bin"
    path.write_bytes(b"data")
    for value in (path, str(path)):
        found = format_of(value, Request(name="n"))
        assert (found.type, found.file_name, found.source) == ("custom", "weights.bin", path)
    assert found.preview == "weights.bin - 4 bytes\n"
    assert there_and_back(path, tmp_path)[1] == path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data" / "sub").mkdir(parents=True)
    (tmp_path / "data" / "a.txt").write_text("a")
    (tmp_path / "data" / "sub" / "b.bin").write_text("b")
    return tmp_path / "data"


@pytest.mark.parametrize(
    ("pattern", "names"),
    [("", ["a.txt", "sub/b.bin"]), ("*.txt", ["a.txt"]), ("*", ["a.txt", "sub/b.bin"]), ("?.bin", ["sub/b.bin"])],
)
def test_folders_and_wildcards_become_archives(folder: Path, tmp_path: Path, pattern: str, names: list[str]) -> None:
    found = format_of(str(folder / pattern), Request(name="n"))
    assert (found.type, found.file_name, found.content_type) == ("archive", "data.zip", "application/zip")
    with zipfile.ZipFile(written(found, tmp_path)) as archive:
        assert archive.namelist() == names
    assert all(name in found.preview for name in names)


def test_lists_of_paths_become_archives_below_their_common_folder(folder: Path, tmp_path: Path) -> None:
    found = format_of([folder / "sub" / "b.bin", folder / "a.txt", folder / "missing"], Request(name="n"))
    assert (found.type, found.file_name) == ("archive", "n.zip")
    with zipfile.ZipFile(written(found, tmp_path)) as archive:
        assert archive.namelist() == ["a.txt", "sub/b.bin"]


def test_a_path_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"missing\.bin"):
        format_of(tmp_path / "missing.bin", Request(name="n"))


@pytest.mark.parametrize("url", ["https://host/dir/data.csv", "s3://bucket/data.csv", "gs://bucket/data.csv"])
def test_urls_are_noted_and_not_fetched(url: str) -> None:
    found = format_of(url, Request(name="n"))
    assert (found.type, found.link, found.file_name) == ("custom", url, "data.csv")


def test_an_extension_that_does_not_fit_is_replaced_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    assert format_of(FRAME, Request(name="n", extension=".png")).file_name == "n.csv.gz"
    assert ".parquet" in caplog.text


def test_a_preview_of_the_users_wins() -> None:
    for value in (FRAME, np.arange(3), {"a": 1}, "text", [1]):
        assert format_of(value, Request(name="n", preview="mine")).preview == "mine"


def test_what_is_pickled_is_not_loaded_where_that_is_blocked(tmp_path: Path) -> None:
    for value in ([1], FRAME["number"]):
        found = format_of(value, Request(name="n"))
        part = ArtifactPart(
            name="n", type=found.type, uri=str(tmp_path), size=0, sha256="", content_type=found.content_type
        )
        with pytest.raises(BlockedArtifactTypeError, match="'n' is pickled"):
            Artifact(part, datetime.now(UTC)).get(block_unsafe_artifacts=True)


def test_a_file_that_can_not_be_loaded_comes_as_a_path_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "n.npz"
    path.write_bytes(b"no array")
    part = ArtifactPart(name="n", type="numpy", uri=str(path), size=0, sha256="", content_type="application/numpy")
    assert Artifact(part, datetime.now(UTC)).get() == path
    assert "can't be loaded" in caplog.text


def test_a_file_that_is_gone_is_an_artifact_error(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    part = ArtifactPart(name="n", type="numpy", uri=str(tmp_path / "gone"), size=0, sha256="")
    artifact = Artifact(part, datetime.now(UTC))
    with pytest.raises(ArtifactError, match="'n' can't be fetched"):
        artifact.get()
    with pytest.raises(ValueError, match="gone"):
        artifact.get_local_copy(raise_on_error=True)
    assert artifact.get_local_copy() is None
    assert "gone" in caplog.text
