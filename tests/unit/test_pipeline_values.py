"""What a step returns comes back equal and of the same types, or is refused by name; nothing is unpickled unasked."""

from __future__ import annotations

import math
import pickle
from collections import namedtuple
from collections.abc import Mapping
from datetime import UTC, datetime, time, timedelta, timezone
from enum import Enum, IntEnum
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import skops.io
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image
from sklearn.base import BaseEstimator
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from tasktape.events.parts import Artifact as ArtifactPart
from tasktape.producers.archives import unpack
from tasktape.producers.artifact_formats import ArtifactError, Format
from tasktape.producers.artifacts import load_file
from tasktape.producers.pipelines import values
from tasktape.producers.pipelines.estimators import CONTENT_TYPE
from tasktape.producers.pipelines.value_tree import UnsupportedValueError, to_json
from tasktape.producers.pipelines.values import value_format


class Colour(Enum):
    RED = "red"
    BLUE = ("blue", 2)


class Level(IntEnum):
    LOW = 1


class Mine(BaseEstimator):  # type: ignore[misc]
    """An estimator of the user's own."""


Pair = namedtuple("Pair", "a b")  # noqa: PYI024  as users write it


def written(found: Format, folder: Path) -> Path:
    path = folder / found.file_name
    if found.source is not None:
        return found.source
    assert found.write is not None
    found.write(path)
    return path


def read(found: Format, folder: Path) -> Any:
    """What `task.artifacts[name].load()` would give: an archive is unpacked first."""
    path = written(found, folder)
    if found.content_type == "application/zip":
        unpack(path, folder / "unpacked")
        path = folder / "unpacked"
    part = ArtifactPart(name="n", type=found.type, uri="", size=0, sha256="", content_type=found.content_type)
    return load_file(path, part)


def same(back: Any, value: Any) -> bool:
    """Whether two values are equal and of the same types, all the way down; NaN is like NaN."""
    if type(back) is not type(value):
        return False
    if isinstance(value, (set, frozenset)):
        back, value = sorted(back, key=repr), sorted(value, key=repr)
    if isinstance(value, Mapping):
        return list(back) == list(value) and all(same(back[key], value[key]) for key in value)
    if isinstance(value, (list, tuple)):
        return len(back) == len(value) and all(map(same, back, value))
    if isinstance(value, np.ndarray):
        return back.dtype == value.dtype and back.shape == value.shape and same(back.tolist(), value.tolist())
    if isinstance(value, (datetime, time)):
        return back == value and back.fold == value.fold and type(back.tzinfo) is type(value.tzinfo)
    return bool(back == value) or repr(back) == repr(value)


zones = st.sampled_from([None, UTC, timezone(timedelta(hours=-3, minutes=-30)), ZoneInfo("Europe/Berlin")])
hashable = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(st.characters(), max_size=5),
    st.binary(max_size=5),
    st.complex_numbers(),
    st.decimals(allow_nan=False),
    st.dates(),
    st.times(timezones=zones),
    st.datetimes(timezones=zones, allow_imaginary=False),
    st.timedeltas(),
    st.sampled_from([Colour.RED, Colour.BLUE, Level.LOW]),
)
scalars = arrays.scalar_dtypes().flatmap(arrays.from_dtype)
ndarrays = arrays.arrays(arrays.scalar_dtypes(), arrays.array_shapes(max_dims=2, max_side=3))
nested = st.recursive(
    hashable | scalars | ndarrays,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.text(max_size=3) | st.just("$tuple"), inner, max_size=3),
        st.dictionaries(st.integers() | st.tuples(st.text(max_size=2)), inner, max_size=2),
    ),
    max_leaves=6,
)


@settings(max_examples=150)
@given(nested | st.sets(hashable, max_size=3) | st.frozensets(hashable, max_size=3))
@example(-(10**5000))
@example("\ud800")
@example({"$tuple": [1]})
@example([-0.0, math.inf, math.nan])
@example(datetime(2024, 10, 27, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"), fold=1))
def test_any_nested_value_comes_back_equal_and_of_the_same_types(
    tmp_path_factory: pytest.TempPathFactory, value: Any
) -> None:
    folder = tmp_path_factory.mktemp("value")
    found = value_format(value, "n")
    assert not values.is_pickle(found)
    assert same(read(found, folder), value)


def test_the_same_value_always_makes_the_same_file(tmp_path: Path) -> None:
    value = {"array": np.arange(3), "set": {"a", "b", "c"}, "frame": pd.DataFrame({"x": [1]})}
    one, two = (written(value_format(value, name), tmp_path).read_bytes() for name in ("one", "two"))
    assert one == two


FRAMES = {
    "plain": pd.DataFrame({"x": [1, 2], "y": ["a", None]}, index=["r", "s"]),
    "numbered columns": pd.DataFrame(np.arange(6).reshape(2, 3)),
    "levels": pd.DataFrame(
        {("a", "b"): [1.5], ("a", "c"): [2]}, index=pd.MultiIndex.from_tuples([("k", 1)], names=["i", None])
    ),
    "dates": pd.DataFrame({"x": [1, 2]}, index=pd.date_range("2024", periods=2, tz="UTC")),
    "categories": pd.DataFrame({"c": pd.Categorical(["b", "a"], categories=["b", "a"], ordered=True)}),
    "mixed cells": pd.DataFrame({"x": [1, 2], "o": pd.Series([{"a": (1, 2)}, None], dtype=object)}),
    "only objects": pd.DataFrame({"o": pd.Series(["a", 1.5], dtype=object)}),
    "twice the same name": pd.DataFrame([[1, 2]], columns=["x", "x"]),
    "names of mixed types": pd.DataFrame([[1, 2]], columns=["x", 1]),
    "labels of mixed types": pd.DataFrame({"x": [1, 2], "o": [(1,), None]}, index=pd.Index([0, "avg"], name="class")),
    "levels of mixed types": pd.DataFrame({"x": [1, 2]}, index=pd.MultiIndex.from_tuples([("a", 1), ("b", "y")])),
    "no rows": pd.DataFrame({"x": pd.Series([], dtype="int8")}),
    "nothing": pd.DataFrame(),
}


@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES.keys())
def test_a_data_frame_keeps_its_index_types_and_labels(tmp_path: Path, frame: pd.DataFrame) -> None:
    found = value_format(frame, "n")
    assert found.type == "pandas"
    pd.testing.assert_frame_equal(read(found, tmp_path), frame, check_freq=False)


def test_a_plain_data_frame_is_a_parquet_file_that_others_read(tmp_path: Path) -> None:
    found = value_format(FRAMES["plain"], "n")
    assert (found.file_name, found.content_type) == ("n.parquet", "application/parquet")
    assert pd.read_parquet(written(found, tmp_path))["x"].tolist() == [1, 2]


@pytest.mark.parametrize(
    "series",
    [
        pd.Series([1, 2], name="x"),
        pd.Series(["a", None, (1, "b")], dtype=object),
        pd.Series([1.5], index=["q"], name=("a", 1)),
        pd.Series(pd.date_range("2024", periods=2, tz="UTC")),
    ],
)
def test_a_series_keeps_its_index_name_and_type(tmp_path: Path, series: pd.Series[Any]) -> None:
    found = value_format(series, "n")
    assert found.type == "pandas"
    pd.testing.assert_series_equal(read(found, tmp_path), series)


def test_containers_hold_frames_arrays_images_and_files(tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(b"w")
    image = Image.new("RGB", (2, 1), (1, 2, 3))
    frame = FRAMES["mixed cells"]
    value = {
        "split": (frame, frame["x"]),
        "deep": [{"array": np.eye(2)}],
        "image": image,
        "file": tmp_path / "weights.bin",
    }
    back = read(value_format(value, "n"), tmp_path)
    pd.testing.assert_frame_equal(back["split"][0], frame)
    pd.testing.assert_series_equal(back["split"][1], frame["x"])
    np.testing.assert_array_equal(back["deep"][0]["array"], np.eye(2))
    assert back["image"].getpixel((1, 0)) == (1, 2, 3)
    assert (back["file"].name, back["file"].read_bytes()) == ("weights.bin", b"w")


def test_texts_stay_texts_and_paths_are_files(tmp_path: Path) -> None:
    file = tmp_path / "f.txt"
    file.write_text("content")
    assert read(value_format(str(file), "n"), tmp_path) == str(file)
    assert read(value_format("https://example.com/x", "n"), tmp_path) == "https://example.com/x"
    assert read(value_format(file, "n"), tmp_path).read_text() == "content"
    assert value_format([file], "n").type == "archive"


def test_arrays_of_objects_keep_the_objects(tmp_path: Path) -> None:
    array = np.array([["a", None], [(1, 2), 1.5]], dtype=object)
    assert same(read(value_format(array, "n"), tmp_path), array)


def test_estimators_predict_what_they_did(tmp_path: Path) -> None:
    features, labels = load_iris(return_X_y=True)
    forest = make_pipeline(StandardScaler(), RandomForestClassifier(3, random_state=0)).fit(features, labels)
    found = value_format(forest, "n")
    assert found.type == "sklearn"
    np.testing.assert_array_equal(read(found, tmp_path).predict(features), forest.predict(features))
    back = read(value_format({"m": LinearRegression().fit([[1], [2]], [1, 2])}, "m"), tmp_path)
    assert back["m"].predict([[3]]) == pytest.approx([3])


def test_a_bunch_and_a_sparse_matrix_come_back(tmp_path: Path) -> None:
    bunch = load_iris(as_frame=True)
    back = read(value_format(bunch, "n"), tmp_path)
    pd.testing.assert_frame_equal(back.frame, bunch.frame)
    assert (type(back), back.feature_names) == (type(bunch), bunch.feature_names)
    sparse = scipy.sparse.csr_array(np.eye(3))
    np.testing.assert_array_equal(read(value_format(sparse, "s"), tmp_path).toarray(), np.eye(3))


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (object(), "object"),
        ([{"x": Pair(1, 2)}], "Pair"),
        (Mine(), "Mine"),
        (make_pipeline(Mine()), "Mine"),
        (np.array([(1, {})], dtype=[("a", "i4"), ("b", "O")]), "numpy.ndarray"),
        (np.ma.array([1], mask=[True]), "MaskedArray"),
        (pd.DataFrame({"c": [1j]}), "Parquet"),
        (pd.DataFrame({"o": pd.Series([object()], dtype=object)}), "object"),
        (Enum("Made", "HERE").HERE, "enum"),  # type: ignore[attr-defined]
        ([Path("not there")], "not there"),
        ({"p": Path("not there")}, "Path"),
    ],
)
def test_what_would_not_come_back_is_refused_by_its_type(value: Any, says: str) -> None:
    with pytest.raises(ArtifactError, match=says):
        value_format(value, "n")


def test_a_value_that_contains_itself_is_refused() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(UnsupportedValueError, match="contains itself"):
        value_format(loop, "n")


@pytest.mark.parametrize(("value", "named"), [(Mine(), "Mine"), (FunctionTransformer(np.save), "numpy.*save")])
def test_a_forged_estimator_is_not_made(tmp_path: Path, value: Any, named: str) -> None:
    file = tmp_path / "n.skops"
    skops.io.dump(value, file)
    part = ArtifactPart(name="n", type="sklearn", uri="", size=0, sha256="", content_type=CONTENT_TYPE)
    with pytest.raises(ArtifactError, match=named):
        load_file(file, part)


@pytest.mark.parametrize("library", ["pickle", "cloudpickle"])
def test_pickle_is_for_those_who_ask_and_only_where_nothing_else_does(tmp_path: Path, library: str) -> None:
    found = value_format(Pair(1, 2), "n", library)
    assert values.is_pickle(found)
    assert read(found, tmp_path) == Pair(1, 2)
    assert not values.is_pickle(value_format([1], "n", library))


def test_functions_of_the_user_make_the_bytes(tmp_path: Path) -> None:
    found = value_format(1.5, "n", lambda value: str(value).encode())
    assert (found.type, written(found, tmp_path).read_bytes()) == ("custom", b"1.5")


def boom() -> None:
    raise AssertionError("unpickled")


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return boom, ()


@pytest.mark.parametrize("kind", [["data.pkl", "pickle", ""], ["data.pkl", "pandas", "application/pickle"]])
def test_a_forged_value_neither_unpickles_nor_reads_outside(tmp_path: Path, kind: list[str]) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "data.pkl").write_bytes(pickle.dumps(Bomb()))
    part = ArtifactPart(name="n", type="value", uri="", size=0, sha256="", content_type="application/zip")
    for content in (kind, ["../secret", "string", ""]):
        (folder / "tree.json").write_bytes(to_json({"$member": content}))
        with pytest.raises(ArtifactError, match="no value does"):
            load_file(folder, part)


def test_what_a_later_version_stores_is_named(tmp_path: Path) -> None:
    file = tmp_path / "n.json"
    file.write_text('{"$future": 1}')
    part = ArtifactPart(name="n", type="value", uri="", size=0, sha256="", content_type="application/json")
    with pytest.raises(ArtifactError, match=r"\$future"):
        load_file(file, part)


def test_an_enum_that_is_not_here_is_named(tmp_path: Path) -> None:
    file = tmp_path / "n.json"
    file.write_text('{"$enum": ["nowhere:Colour", "RED"]}')
    part = ArtifactPart(name="n", type="value", uri="", size=0, sha256="", content_type="application/json")
    with pytest.raises(ArtifactError, match="nowhere:Colour"):
        load_file(file, part)
