"""What frameworks plot and save is reported, and the frameworks do exactly what they do alone."""

from __future__ import annotations

import importlib
import inspect
import io
import pickle
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import joblib
import matplotlib as mpl
import numpy as np
import pytest
import tensorboardX  # type: ignore[import-untyped]
from sklearn.linear_model import LinearRegression

from tasktape.producers import models, mpl_figure
from tasktape.producers.capture import binding_matplotlib, binding_models, binding_tensorboard, binding_training
from tasktape.producers.capture.import_hook import ImportHook
from tasktape.producers.capture.model_files import ModelFiles
from tasktape.producers.capture.patches import Patches

mpl.use("Agg")
plt = importlib.import_module("matplotlib.pyplot")


class Recorder:
    """Stands in for a task, its logger and its session: keeps what is reported, by method."""

    id, run, name, output_uri = "1", 1, "my task", None

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        self._session = SimpleNamespace(settings=SimpleNamespace(output_uri=""), emit=self._emitted)
        self.grouped = self.single = self.pictures = False
        self.step = 0

    def get_logger(self) -> Recorder:
        return self

    def get_tensorboard_auto_group_scalars(self) -> bool:
        return self.grouped

    def get_tensorboard_single_series_per_graph(self) -> bool:
        return self.single

    def draws_pictures(self) -> bool:
        return self.pictures

    def last_iteration(self) -> int:
        return self.step

    def connect(self, values: dict[str, Any]) -> None:
        self.calls.append(("connect", (values,), {}))

    def _place(self, title: str, series: str, iteration: int) -> dict[str, Any]:
        meta = {"event_id": "e", "occurred_at": 0, "actor": "a", "session": "s", "seq": 0}
        return {"meta": meta, "task": "1", "run": 1, "title": title, "series": series, "iteration": iteration}

    def _emitted(self, event: Any) -> None:
        self.calls.append(("text", (event.title, event.series, event.text, event.iteration), {}))

    def __getattr__(self, method: str) -> Callable[..., None]:
        if method.startswith(("report_", "update_")):
            return lambda *args, **kwargs: self.calls.append((method, args, kwargs))
        raise AttributeError(method)

    def of(self, method: str) -> list[tuple[Any, ...]]:
        return [args for name, args, _ in self.calls if name == method]


class Bound:
    """An installation of bindings for a recorder."""

    def __init__(self) -> None:
        self.task = cast("Any", Recorder())
        self.hook, self.patches = ImportHook(), Patches()
        self.files = ModelFiles(self.task)

    def undo(self) -> None:
        self.hook.remove()
        self.patches.undo()
        self.files.settle()

    def models(self, **choices: Any) -> None:
        binding_models.install(self.hook, self.patches, self.files, lambda key: choices.get(key, True))


@pytest.fixture
def bound() -> Iterator[Bound]:
    bound = Bound()
    yield bound
    bound.undo()
    plt.close("all")


@pytest.fixture
def shown(bound: Bound) -> Recorder:
    binding_matplotlib.install(bound.hook, bound.patches, bound.task)
    plt.close("all")
    task: Recorder = bound.task
    return task


def titles(task: Recorder) -> list[tuple[str, str, int]]:
    """Title, series and place of each plot."""
    found = [(name, args) for name, args, kwargs in task.calls if not kwargs.get("report_image")]
    return [(args[0], args[1], args[3]) for _, args in found]


def samples(task: Recorder) -> list[tuple[str, str, int]]:
    """The same of each debug sample."""
    return [(args[0], args[1], args[3]) for _, args, kwargs in task.calls if kwargs.get("report_image")]


def test_each_open_figure_is_reported_when_it_is_shown(shown: Recorder) -> None:
    plt.figure().suptitle("above")
    plt.plot([1, 2])
    _, axes = plt.subplots(1, 2)
    axes[0].set_title("left")
    axes[1].set_title("right")
    plt.figure("labelled")
    plt.plot([1, 2])
    plt.figure()
    plt.fill_between([1, 2], [3, 4])
    plt.show()
    assert titles(shown) == [
        ("above", "plot", 0), ("right", "plot image", 0), ("untitled 00", "plot", 0), ("untitled 01", "plot image", 0),
    ]  # fmt: skip


def test_a_figure_is_at_the_last_iteration_and_its_title_is_numbered_there(shown: Recorder) -> None:
    for step in (0, 0, 5, 5, 7):
        shown.step = step
        plt.figure()
        plt.plot([1, step])
        plt.title("loss")
        plt.show()
    assert titles(shown) == [
        ("loss", "plot", 0), ("loss/1", "plot", 0), ("loss", "plot", 5), ("loss/1", "plot", 5), ("loss", "plot", 7),
    ]  # fmt: skip


def test_what_imshow_draws_is_a_debug_sample(shown: Recorder) -> None:
    plt.imshow([[1, 2], [3, 4]])
    plt.show()
    plt.imshow([[1, 2], [3, 5]])
    plt.title("digits")
    plt.show()
    plt.plot([1, 2])
    plt.show()
    assert samples(shown) == [("untitled 00", "plot image", 0), ("digits", "plot image", 0)]
    assert titles(shown) == [("untitled 00", "plot", 0)]


def test_where_no_window_is_closed_the_next_thing_drawn_is_another_figure(shown: Recorder, tmp_path: Path) -> None:
    first = plt.plot([1, 2])[0].figure
    plt.show()
    plt.savefig(tmp_path / "still the first.png")
    second = plt.plot([3, 4])[0].figure
    assert second is not first
    plt.show()
    first.axes[0].plot([5, 6])
    plt.show()
    assert [name for name, *_ in titles(shown)] == ["untitled 00", "untitled 01", "untitled 02"]


def test_a_figure_that_is_saved_to_a_file_is_reported(shown: Recorder, tmp_path: Path) -> None:
    figure, axes = plt.subplots()
    axes.plot([1, 2])
    axes.set_title("kept")
    figure.savefig(tmp_path / "kept.png")
    figure.savefig(io.BytesIO())
    plt.savefig(fname=str(tmp_path / "again.png"))
    plt.show()
    assert titles(shown) == [("kept", "plot", 0)]


def test_a_figure_that_the_script_reports_itself_is_not_reported_again(shown: Recorder) -> None:
    figure = plt.figure()
    plt.plot([1, 2])
    mpl_figure.REPORTED.add(figure)
    plt.show()
    assert shown.calls == []


def test_figures_are_pictures_where_that_was_asked_for(shown: Recorder) -> None:
    shown.pictures = True
    plt.plot([1, 2])
    plt.show()
    assert titles(shown) == [("untitled 00", "plot image", 0)]


def test_a_figure_is_reported_again_only_when_it_has_changed(shown: Recorder) -> None:
    figure, axes = plt.subplots()
    (line,) = axes.plot([1, 2], [3, 4])
    axes.set_title("curve")
    plt.show()
    plt.show()
    assert len(shown.calls) == 1
    line.set_ydata([3, 5])
    plt.show()
    axes.plot([1, 2], [1, 1])
    plt.show()
    assert len(shown.calls) == 3
    assert plt.fignum_exists(figure.number)


def test_the_current_figure_stays_the_current_one(shown: Recorder) -> None:
    plt.figure(1)
    plt.figure(2)
    plt.figure(1)
    plt.show()
    assert plt.gcf().number == 1
    assert len(titles(shown)) == 2


def test_trouble_in_reporting_leaves_show_as_it_is(shown: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Recorder, "get_logger", lambda _self: 1 / 0)
    plt.figure()
    plt.show()
    assert shown.calls == []


@pytest.fixture
def written(bound: Bound, tmp_path: Path) -> Iterator[tuple[Recorder, Any]]:
    binding_tensorboard.install(bound.hook, bound.patches, bound.task)
    with tensorboardX.SummaryWriter(str(tmp_path / "runs/train")) as writer:
        yield bound.task, writer


Written = tuple[Recorder, Any]


def test_tensorboard_scalars_are_curves_named_by_their_tags(written: Written) -> None:
    task, writer = written
    writer.add_scalar("loss", 0.5, 3)
    writer.add_scalar("accuracy/train/top1", np.float32(0.25), 4)
    writer.add_scalar("stepless", 1.0)
    writer.add_scalar("stepless", 2.0)
    assert task.of("report_scalar") == [
        ("loss", "loss", 0.5, 3),
        ("accuracy_train", "top1", 0.25, 4),
        ("stepless", "stepless", 1.0, 0),
        ("stepless", "stepless", 2.0, 1),
    ]


def test_tensorboard_curves_are_grouped_as_the_user_asked(written: Written) -> None:
    task, writer = written
    task.grouped = True
    writer.add_scalar("loss", 1.0, 0)
    task.grouped, task.single = False, True
    writer.add_scalar("loss/train", 1.0, 0)
    assert [args[:2] for args in task.of("report_scalar")] == [("Scalars", "loss"), ("loss - train", "train")]


def test_writers_of_several_folders_are_told_apart(written: Written, tmp_path: Path) -> None:
    task, writer = written
    writer.add_scalar("loss", 1.0, 0)
    with tensorboardX.SummaryWriter(str(tmp_path / "runs/val")) as other:
        other.add_scalar("loss", 2.0, 0)
        other.add_scalar("only_here", 3.0, 0)
        other.add_scalars("loss", {"a": 4.0}, 0)
        other.add_histogram("weights", np.arange(3.0), 0)
    writer.add_histogram("weights", np.arange(3.0), 0)
    assert [args[:3] for args in task.of("report_scalar")] == [
        ("loss", "loss", 1.0), ("loss", "val: loss", 2.0), ("only_here", "only_here", 3.0), ("loss", "a", 4.0),
    ]  # fmt: skip
    assert [args[:2] for args in task.of("report_histogram")] == [
        ("Histograms", "weights"), ("Histograms", "weights :train"),
    ]  # fmt: skip


def test_many_scalars_at_once_are_curves_of_one_plot(written: Written) -> None:
    task, writer = written
    writer.add_scalars("loss", {"train": 1.0, "val": 2.0}, 7)
    assert task.of("report_scalar") == [("loss", "train", 1.0, 7), ("loss", "val", 2.0, 7)]


def test_images_are_media_as_tensorboard_encodes_them(written: Written) -> None:
    task, writer = written
    writer.add_image("sample/first", np.zeros((3, 4, 5), dtype=np.uint8), 2)
    writer.add_image("alone", np.zeros((3, 4, 5), dtype=np.uint8), 2)
    writer.add_image("a/b/c", np.zeros((3, 4, 5), dtype=np.uint8), 2)
    assert [args[:2] for args in task.of("report_media")[1:]] == [("Images", "alone"), ("a", "b_c")]
    name, args, kwargs = task.calls[0]
    assert (name, args) == ("report_media", ("sample", "first", 2))
    assert kwargs["stream"].read(4) == b"\x89PNG"
    assert kwargs["file_extension"] == ".png"


def test_sound_is_media(written: Written) -> None:
    task, writer = written
    proto = importlib.import_module("tensorboardX.proto.summary_pb2")
    sound = proto.Summary.Audio(encoded_audio_string=b"RIFF")
    writer.file_writer.add_summary(proto.Summary(value=[proto.Summary.Value(tag="sound", audio=sound)]), 1)
    ((name, args, kwargs),) = task.calls
    assert (name, args) == ("report_media", ("Audio", "sound", 1))
    assert (kwargs["stream"].read(), kwargs["file_extension"]) == (b"RIFF", ".wav")


def test_histograms_are_bars_over_the_ends_of_their_buckets(written: Written) -> None:
    task, writer = written
    writer.add_histogram("weights/layer", np.array([1.0, 1.0, 2.0]), 5, bins=[0, 1.5, 3])
    ((name, args, kwargs),) = task.calls
    assert (name, args[:2], args[3]) == ("report_histogram", ("weights", "layer"), 5)
    assert sum(args[2]) == 3
    assert len(kwargs["xlabels"]) == len(args[2])


def test_texts_are_texts(written: Written) -> None:
    task, writer = written
    writer.add_text("notes/today", "caf\u00e9", 3)
    assert task.of("text") == [("notes", "today_text_summary", "caf\u00e9", 3)]


def test_a_precision_recall_curve_is_a_plot(written: Written) -> None:
    task, writer = written
    writer.add_pr_curve("found", np.array([0, 1, 1]), np.array([0.1, 0.9, 0.4]), 2, num_thresholds=4)
    ((title, (line,), xaxis, yaxis),) = task.of("report_line_plot")
    assert (title, line["name"], xaxis, yaxis) == ("found", "found", "recall", "precision")
    assert [len(line["data"]), len(line["labels"])] == [4, 4]
    assert line["data"][0] == (1.0, pytest.approx(2 / 3))


def test_figures_are_pictures_among_the_debug_samples(written: Written) -> None:
    task, writer = written
    figure = plt.figure()
    writer.add_figure("curves/one", figure, 4)
    assert [args[:3] for args in task.of("report_media")] == [("curves", "one", 4)]
    assert not plt.fignum_exists(figure.number)


def test_hyperparameters_are_parameters_and_their_metrics_curves(written: Written) -> None:
    task, writer = written
    writer.add_hparams({"lr": 0.1, "name": "n"}, {"hparam/loss": 3.0})
    assert task.of("update_parameters") == [({"TB_hparams/lr": 0.1, "TB_hparams/name": "n"},)]
    assert task.of("report_scalar") == [("hparam", "loss", 3.0, 0)]


def test_hyperparameters_can_be_switched_off(bound: Bound, tmp_path: Path) -> None:
    binding_tensorboard.install(bound.hook, bound.patches, bound.task, {"report_hparams": False})
    with tensorboardX.SummaryWriter(str(tmp_path)) as writer:
        writer.add_hparams({"lr": 0.1}, {"loss": 3.0})
    assert bound.task.of("update_parameters") == []


TORCH_WRITER = """
from tensorboardX.summary import scalar
class FileWriter:
    def __init__(self, log_dir): self.log_dir, self.steps = log_dir, []
    def get_logdir(self): return self.log_dir
    def add_summary(self, summary, global_step=None, walltime=None): self.steps.append(global_step)
class SummaryWriter:
    def __init__(self, log_dir): self.log_dir, self.file_writer = log_dir, FileWriter(log_dir)
    def add_scalar(self, tag, scalar_value, global_step=None):
        self.file_writer.add_summary(scalar(tag, scalar_value), global_step)
    def add_scalars(self, main_tag, tag_scalar_dict, global_step=None):
        for tag, value in tag_scalar_dict.items():
            FileWriter(self.log_dir + "/" + main_tag + "_" + tag).add_summary(scalar(main_tag, value), global_step)
"""


def test_torchs_writers_are_watched_like_tensorboardxs(
    bound: Bound, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a stand-in that has the names and signatures of torch's own writers."""
    stand_in(tmp_path, "torch.utils.tensorboard.writer", TORCH_WRITER, monkeypatch)
    binding_tensorboard.install(bound.hook, bound.patches, bound.task)
    module = importlib.import_module("torch.utils.tensorboard.writer")
    writer = module.SummaryWriter("runs")
    writer.add_scalar("loss/train", 0.5, 3)
    writer.add_scalars("many", {"a": 1.0}, 4)
    assert writer.file_writer.steps == [3]
    assert bound.task.of("report_scalar") == [("loss", "train", 0.5, 3), ("many", "a", 1.0, 4)]


def stand_in(folder: Path, name: str, source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a module of this name importable, and forget it and its packages after the test."""
    place = folder / "libraries"
    parts = name.split(".")
    for depth in range(1, len(parts)):
        package = place.joinpath(*parts[:depth])
        package.mkdir(parents=True, exist_ok=True)
        (package / "__init__.py").touch()
    place.joinpath(*parts).with_suffix(".py").write_text(source)
    for loaded in [loaded for loaded in sys.modules if loaded.partition(".")[0] == parts[0]]:
        monkeypatch.delitem(sys.modules, loaded)
    for depth in range(1, len(parts) + 1):
        monkeypatch.setitem(sys.modules, ".".join(parts[:depth]), types.ModuleType(name))
        del sys.modules[".".join(parts[:depth])]
    monkeypatch.syspath_prepend(str(place))


def test_the_event_file_is_the_same_with_and_without_us(bound: Bound, tmp_path: Path) -> None:
    def write(folder: Path) -> bytes:
        with tensorboardX.SummaryWriter(str(folder)) as writer:
            for step in range(5):
                writer.add_scalar("loss", step, step, walltime=1)
            writer.add_histogram("h", np.arange(9.0), 0, walltime=1)
        (file,) = folder.glob("events*")
        return file.read_bytes()[60:]

    alone = write(tmp_path / "alone")
    binding_tensorboard.install(bound.hook, bound.patches, bound.task)
    watched = write(tmp_path / "watched")
    assert len(watched) == len(alone)
    assert len(bound.task.of("report_scalar")) == 5


class SavedModel:
    """Stands in for `OutputModel` and `InputModel`: notes what is done with models."""

    done: list[tuple[Any, ...]]

    def __init__(self, task: Any, name: str, framework: str) -> None:
        assert isinstance(task, Recorder)
        self.name, self.framework = name, str(framework)
        self.done.append(("new", name, str(framework)))

    def update_weights(self, *args: Any, **kwargs: Any) -> None:
        self.done.append(("saved", self.name, *args, kwargs))

    @classmethod
    def import_model(cls, weights_url: str, framework: str) -> SimpleNamespace:
        def connect(task: Any, name: str, ignore_remote_overrides: bool) -> None:
            assert isinstance(task, Recorder)
            assert ignore_remote_overrides
            cls.done.append(("loaded", weights_url, str(framework), name))

        return SimpleNamespace(connect=connect)


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    monkeypatch.delenv("TASKTAPE_TASK_ID", raising=False)
    monkeypatch.setattr(models, "OutputModel", SavedModel)
    monkeypatch.setattr(models, "InputModel", SavedModel)
    SavedModel.done = []
    return SavedModel.done


Done = list[tuple[Any, ...]]


def test_a_model_that_joblib_saves_is_registered_where_it_lies(bound: Bound, done: Done, tmp_path: Path) -> None:
    bound.models()
    path = tmp_path / "model one.pkl"
    assert joblib.dump(LinearRegression(), path) == [str(path)]
    joblib.dump(LinearRegression(), str(path))
    uri = {"register_uri": path.as_uri()}
    name = "my task - model one"
    assert done == [("new", name, "ScikitLearn"), ("saved", name, uri), ("saved", name, uri)]


@pytest.mark.parametrize("place", ["task", "settings", "agent"])
def test_a_model_is_uploaded_where_there_is_a_place_for_it(
    bound: Bound, done: Done, tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bound.models()
    if place == "task":
        bound.task.output_uri = "s3://bucket"
    elif place == "settings":
        bound.task._session.settings.output_uri = "/place"
    else:
        monkeypatch.setenv("TASKTAPE_TASK_ID", "1")
    joblib.dump({"a": 1}, tmp_path / "m.pkl")
    assert done[1] == ("saved", "my task - m", str(tmp_path / "m.pkl"), {"auto_delete_file": False})


def test_a_model_that_is_read_is_what_the_task_starts_from_unless_it_made_it(
    bound: Bound, done: Done, tmp_path: Path
) -> None:
    joblib.dump(LinearRegression(), tmp_path / "before.pkl")
    bound.models()
    joblib.dump(LinearRegression(), tmp_path / "own.pkl")
    done.clear()
    for name in ("before.pkl", "own.pkl", "before.pkl"):
        assert isinstance(joblib.load(tmp_path / name), LinearRegression)
    bound.files.settle()
    assert done == [("loaded", str(tmp_path / "before.pkl"), "ScikitLearn", "before")]


@pytest.mark.parametrize(
    ("choices", "recorded"),
    [
        ({"joblib": False}, []),
        ({"scikit": False}, []),
        ({"joblib": "*.pkl"}, ["my task - a"]),
        ({"scikit": ["*.pkl", "*other*"]}, ["my task - a", "my task - other"]),
    ],
)
def test_models_are_chosen_by_switches_and_patterns(
    bound: Bound, done: Done, tmp_path: Path, choices: dict[str, Any], recorded: list[str]
) -> None:
    bound.models(**choices)
    for name in ("a.pkl", "b.bin", "other.bin"):
        joblib.dump(LinearRegression() if "scikit" in choices else {}, tmp_path / name)
    if choices == {"scikit": False}:
        assert done == []
    assert [made[1] for made in done if made[0] == "new"] == recorded


def test_what_joblib_keeps_in_its_own_cache_is_no_model(bound: Bound, done: Done, tmp_path: Path) -> None:
    bound.models()
    memory = joblib.Memory(tmp_path, verbose=0)

    def slow(x: int) -> int:
        return x + 1

    cached = memory.cache(slow)
    assert (cached(1), cached(1)) == (2, 2)
    assert joblib.Parallel(n_jobs=1)(joblib.delayed(abs)(x) for x in (-1,)) == [1]
    assert done == []


def test_what_is_no_file_is_no_model(bound: Bound, done: Done) -> None:
    bound.models()
    joblib.dump({}, io.BytesIO())
    assert done == []


def test_a_name_bound_before_the_task_is_watched_and_given_back(bound: Bound, done: Done, tmp_path: Path) -> None:
    module = types.ModuleType("user_script")
    module.__file__ = "/home/user/user_script.py"
    exec("from joblib import dump", vars(module))
    original = joblib.dump
    sys.modules["user_script"] = module
    try:
        bound.models()
        module.dump({}, tmp_path / "m.pkl")
        bound.undo()
        assert module.dump is joblib.dump is joblib.numpy_pickle.dump is original
    finally:
        del sys.modules["user_script"]
    assert [made[0] for made in done] == ["new", "saved"]


def test_a_watched_function_looks_and_pickles_like_itself(bound: Bound) -> None:
    signature = inspect.signature(joblib.dump)
    bound.models()
    assert inspect.signature(joblib.dump) == signature
    assert pickle.loads(pickle.dumps(joblib.dump)) is joblib.dump


def test_an_error_of_the_framework_is_the_frameworks_own(bound: Bound, done: Done, tmp_path: Path) -> None:
    bound.models()
    with pytest.raises(FileNotFoundError):
        joblib.dump({}, tmp_path / "no folder/m.pkl")
    assert done == []


@pytest.mark.usefixtures("done")
def test_trouble_in_registering_leaves_the_file_saved(
    bound: Bound, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ModelFiles, "saved", lambda *_: 1 / 0)
    bound.models()
    assert joblib.dump({"a": 1}, tmp_path / "m.pkl") == [str(tmp_path / "m.pkl")]
    assert joblib.load(tmp_path / "m.pkl") == {"a": 1}


XGBOOST = """
class Booster:
    def save_model(self, fname): open(fname, "w").close()
    def load_model(self, fname): pass
def use(save, load):
    Booster().save_model(save); Booster().load_model(load)
"""
LIGHTGBM = """
class Booster:
    def __init__(self, params=None, train_set=None, model_file=None): pass
    def save_model(self, filename): open(filename, "w").close(); return self
def use(save, load):
    Booster().save_model(save); Booster(model_file=load)
"""
CATBOOST = """
class CatBoost:
    def save_model(self, fname, format="cbm"): open(fname, "w").close()
    def load_model(self, fname, format="cbm"): return self
class CatBoostClassifier(CatBoost): pass
def use(save, load):
    CatBoostClassifier().save_model(save); CatBoostClassifier().load_model(load)
"""
TORCH = """
def save(obj, f): open(f, "w").close() if isinstance(f, str) else f.write(b"x")
def load(f): pass
def use(save_to, load_from):
    with open(save_to, "wb") as file:
        save({}, file)
    load(load_from)
"""


@pytest.mark.parametrize(
    ("name", "source", "framework", "key"),
    [
        ("xgboost.core", XGBOOST, "XGBoost", "xgboost"),
        ("lightgbm.basic", LIGHTGBM, "LightGBM", "lightgbm"),
        ("catboost.core", CATBOOST, "CatBoost", "catboost"),
        ("torch.serialization", TORCH, "PyTorch", "pytorch"),
        ("torch.jit._serialization", TORCH, "TorchScript", "pytorch"),
    ],
)
@pytest.mark.parametrize("is_on", [True, False], ids=["on", "off"])
def test_a_framework_imported_later_is_watched_too(
    bound: Bound, done: Done, tmp_path: Path, name: str, source: str, framework: str, key: str, is_on: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """With stand-ins that have the frameworks' own names and signatures; the real ones are tried where installed."""
    stand_in(tmp_path, name, source, monkeypatch)
    bound.models(**{key: is_on})
    module = importlib.import_module(name)
    (tmp_path / "given").touch()
    module.use(str(tmp_path / "model"), str(tmp_path / "given"))
    bound.files.settle()
    kinds = [(entry[0], entry[2]) for entry in done if entry[0] != "saved"]
    assert kinds == ([("new", framework), ("loaded", framework)] if is_on else [])
    assert type(module.__loader__).__name__ == "SourceFileLoader"
    assert module.__spec__ is not None
    assert module.__spec__.loader is module.__loader__


DATA = np.random.default_rng(0).random((40, 3))


def use_xgboost(path: str) -> None:
    xgboost = pytest.importorskip("xgboost")
    model = xgboost.XGBRegressor(n_estimators=2).fit(DATA, DATA[:, 0])
    model.save_model(path + ".json")
    xgboost.Booster().load_model(path + ".json")


def use_lightgbm(path: str) -> None:
    lightgbm = pytest.importorskip("lightgbm")
    model = lightgbm.LGBMRegressor(n_estimators=2, verbose=-1).fit(DATA, DATA[:, 0])
    model.booster_.save_model(path + ".txt")
    lightgbm.Booster(model_file=path + ".txt")


def use_catboost(path: str) -> None:
    catboost = pytest.importorskip("catboost")
    model = catboost.CatBoostRegressor(iterations=2, verbose=False, allow_writing_files=False).fit(DATA, DATA[:, 0])
    model.save_model(path + ".cbm")
    catboost.CatBoostRegressor().load_model(path + ".cbm")


def use_torch(path: str) -> None:
    torch = pytest.importorskip("torch")
    torch.save(torch.nn.Linear(2, 1).state_dict(), path + ".pt")
    torch.load(path + ".pt")


@pytest.mark.parametrize(
    ("use", "framework"),
    [(use_xgboost, "XGBoost"), (use_lightgbm, "LightGBM"), (use_catboost, "CatBoost"), (use_torch, "PyTorch")],
)
def test_the_real_framework_is_watched_where_it_is_installed(
    bound: Bound, done: Done, tmp_path: Path, use: Callable[[str], None], framework: str
) -> None:
    bound.models()
    use(str(tmp_path / "model"))
    assert [entry[:3] for entry in done if entry[0] == "new"] == [("new", "my task - model", framework)]


XGBOOST_TRAINING = """
import xgboost.callback
def train(params, dtrain, num_boost_round=10, *, evals=None, callbacks=None):
    log = {"test": {"rmse": []}}
    for epoch in range(num_boost_round):
        log["test"]["rmse"].append(1 / (epoch + 1))
        for callback in callbacks or []:
            assert isinstance(callback, xgboost.callback.TrainingCallback)
            assert not callback.after_iteration(None, epoch, log)
    return "booster"
"""
LIGHTGBM_ENGINE = """
from types import SimpleNamespace
def train(params, train_set, num_boost_round=100, callbacks=None):
    for iteration in range(num_boost_round):
        results = [("test", "rmse", 1 / (iteration + 1), False)]
        for callback in callbacks or []:
            callback(SimpleNamespace(iteration=iteration, evaluation_result_list=results))
    return "booster"
"""
CATBOOST_CORE = """
from types import SimpleNamespace
class CatBoost:
    def __init__(self, **params): self.params = params
    def get_params(self): return self.params
    def _fit(self, X, y, callbacks, log_cout=None):
        for iteration in range(2):
            metrics = {"test": {"rmse": [1 / (iteration + 1)]}}
            for callback in callbacks or []:
                assert callback.after_iteration(SimpleNamespace(iteration=iteration, metrics=metrics))
        return self
"""


@pytest.fixture
def trained(bound: Bound, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Any]:
    """Make a stand-in importable, with the names and signatures of a framework's, and import it for a task."""

    def load(name: str, source: str) -> Any:
        if name.startswith("xgboost"):
            stand_in(tmp_path, "xgboost.callback", "class TrainingCallback:\n    pass\n", monkeypatch)
        stand_in(tmp_path, name, source, monkeypatch)
        binding_training.install(bound.hook, bound.patches, bound.task, lambda key: key != "off")
        return importlib.import_module(name)

    return load


CURVES = [("test", "rmse", 1.0, 0), ("test", "rmse", 0.5, 1)]


def test_what_xgboost_measures_are_curves_numbered_by_training(bound: Bound, trained: Callable[..., Any]) -> None:
    module = trained("xgboost.training", XGBOOST_TRAINING)
    assert module.train({}, None, 2) == "booster"
    assert bound.task.of("report_scalar") == CURVES
    module.train({}, None, num_boost_round=1, callbacks=[])
    assert bound.task.of("report_scalar")[2:] == [("test - 1", "rmse", 1.0, 0)]


def test_what_lightgbm_measures_are_curves_and_its_parameters_parameters(
    bound: Bound, trained: Callable[..., Any]
) -> None:
    seen: list[int] = []
    module = trained("lightgbm.engine", LIGHTGBM_ENGINE)
    callbacks = [lambda env: seen.append(env.iteration)]
    parameters = {"metric": {"l2"}, "leaves": 3, "objective": len}
    assert module.train(parameters, None, 2, callbacks) == "booster"
    assert bound.task.of("report_scalar") == CURVES
    assert bound.task.of("connect") == [({"metric": {"l2"}, "leaves": 3},)]
    assert (seen, len(callbacks)) == ([0, 1], 1)


def test_what_catboost_measures_are_curves_unless_it_is_on_a_gpu(bound: Bound, trained: Callable[..., Any]) -> None:
    module = trained("catboost.core", CATBOOST_CORE)
    module.CatBoost(task_type="GPU")._fit(None, None, None)
    assert bound.task.calls == []
    module.CatBoost()._fit(None, None, None)
    assert bound.task.of("report_scalar") == CURVES


def test_a_training_that_is_called_wrongly_has_its_own_error(trained: Callable[..., Any]) -> None:
    module = trained("xgboost.training", XGBOOST_TRAINING)
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        module.train({})


@pytest.mark.parametrize("library", ["xgboost", "lightgbm", "catboost"])
def test_the_real_frameworks_trainings_are_watched_where_installed(bound: Bound, library: str) -> None:
    module = pytest.importorskip(library)
    binding_training.install(bound.hook, bound.patches, bound.task, lambda _key: True)
    data, goal = DATA[:30], DATA[:30, 0]
    if library == "catboost":
        model = module.CatBoostRegressor(iterations=2, verbose=False, allow_writing_files=False)
        model.fit(data, goal, eval_set=(DATA[30:], DATA[30:, 0]))
    elif library == "lightgbm":
        module.train({"verbose": -1}, module.Dataset(data, goal), 2, [module.Dataset(DATA[30:], DATA[30:, 0])])
    else:
        module.XGBRegressor(n_estimators=2).fit(data, goal, eval_set=[(DATA[30:], DATA[30:, 0])], verbose=False)
    assert len({step for *_, step in bound.task.of("report_scalar")}) == 2
