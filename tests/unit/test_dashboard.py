"""Every page of the dashboard, drawn without a browser over a made-up history."""

from __future__ import annotations

import gc
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import streamlit as st
from PIL import Image
from streamlit import config
from streamlit.components.v2 import manifest_scanner
from streamlit.testing.v1 import AppTest
from streamlit.util import calc_hash

from tasktape.dashboard import page_compare, page_scalers, page_task, source, tab_pipeline, tab_search
from tasktape.dashboard.formatting import one_line
from tasktape.dashboard.page_task import TABS
from tasktape.dashboard.theme import APP, OPTIONS
from tasktape.dashboard.widgets import CALM, LIVE
from tasktape.events.blobs import BlobStore, open_blob_store
from tasktape.events.instance_events import InstanceDraining, InstanceFailed, InstanceLaunched, ScalingDecided
from tasktape.events.limit_events import LimitSet
from tasktape.events.search_events import Objective, SearchStopping
from tasktape.tests.support.histories import History, falling

ODD = '<script>alert(1)</script> **b** :red[x] $a$ ![i](http://evil/x.png) "q" \n é🙂'
LONG = "x" * 10_000
ACCURACY = Objective(title="accuracy", series="test", sign="max")
LOSS = Objective(title="loss", series="test", sign="min_global")
FIGURE = json.dumps({"data": [{"type": "bar", "y": [1, 2]}], "layout": {"title": {"text": "<b>t</b>"}}})


class Told:
    """A history with a task of every kind, and their ids by name."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.tasks: dict[str, str] = {}
        self._finished("first", "0.1", 0.05)
        self._finished("second", "0.2", 0.02)
        for name in (ODD, LONG):
            self.tasks[name] = task = history.task(name, name, parameters={f"General/{name}": f'"{name[:50]}"'})
            history.start(task)
            history.scalar(task, name, name, [1.0, float("nan"), float("inf")])
            history.plot(task, name, "no figure")
            history.console(task, name)
            history.fail(task, name)
        self.tasks["waiting"] = history.task("waiting")
        history.queue("gpu")
        history.enqueue(self.tasks["waiting"], "gpu")
        for scope in ("queue:gpu", "tag:licence"):
            history.say(LimitSet(meta=history.stamp(), scope=scope, running=2))
        self._pipeline({"load": [], ODD: ["load"], "test": [ODD]})
        self._searches()
        self._scaler()
        history.worker("lab/1", ["gpu"], holds=[(self.tasks["first"], "gpu")], cpu_percent=50.0)
        history.settle()

    def _finished(self, name: str, rate: str, speed: float) -> None:
        history = self.history
        self.tasks[name] = task = history.task(name, parameters={"General/lr": rate, "General/same": "1"}, tags=["a"])
        store = open_blob_store(str(history.home / "blobs"))
        picture = BytesIO()
        Image.new("RGB", (8, 8), "red").save(picture, "png")
        history.start(task)
        history.scalar(task, "loss", "train", falling(30, speed))
        history.single(task, "score", 0.5)
        history.plot(task, "bars", FIGURE)
        history.image(task, store.put_bytes(picture.getvalue(), "image/png"))
        history.artifact(task, store.put_bytes(b"{}"))
        history.model(task, store.put_bytes(b"weights"))
        self._heavy_plot(task, store)
        history.console(task, "epoch 1", "\x1b[31mred\x1b[0m")
        history.set_parameter(task, "General/lr", rate, old="0.5")
        history.complete(task)

    def _pipeline(self, steps: dict[str, list[str]]) -> None:
        history = self.history
        self.tasks["nightly"] = nightly = history.pipeline("nightly", steps, project="flows")
        self.tasks["load"] = history.begin_step(nightly, "load", project="flows")
        history.end_step(nightly, "load", self.tasks["load"])
        self.tasks["odd step"] = history.begin_step(nightly, ODD, project="flows")
        self.tasks["empty"] = history.task("empty", "elsewhere", task_type="controller")

    def _searches(self) -> None:
        """A search with trials of every fate, one with a single trial that runs, and one that has none yet."""
        history = self.history
        tuned = self.tasks["tuned"] = history.search("tuned", [ACCURACY, LOSS], trials=8, project="tuning")
        fates = {"completed": (0.5, 3.0), "pruned": (0.75, 2.0), "aborted": (), "failed": (0.9, 0.1), "running": ()}
        told = [*fates.items(), ("completed", (0.6, 1.5))]
        for number, (status, values) in enumerate(told):
            held = {
                "General/lr": 0.1 * (number + 1),
                ODD: ODD,
                **({"General/rare": 3, "General/a": "b"} if number else {}),
            }
            self.tasks[f"trial {number}"] = history.begin_trial(tuned, number, held, project="tuning")
            if status != "running":
                history.end_trial(tuned, number, *values, status=status, message=ODD)
        self.tasks["begun"] = begun = history.search("begun", [LOSS], project="tuning")
        self.tasks["only trial"] = history.begin_trial(begun, 0, {"General/on": True}, project="tuning")
        self.tasks["stopping"] = stopping = history.search("stopping", [LOSS], project="tuning")
        self.tasks["ended trial"] = history.begin_trial(stopping, 0, {"General/on": True}, project="tuning")
        history.end_trial(stopping, 0, 0.25)
        history.of_search(SearchStopping, stopping, reason="its time of 5 min is over")
        self.tasks["idle"] = history.search(ODD, [LOSS], project="tuning")
        self.tasks["undefined"] = history.task("undefined", "tuning", task_type="optimizer")

    def _scaler(self) -> None:
        """A scaler with a machine of every fate, and another one that has but begun."""
        history = self.history
        history.scaler(name="odd " + ODD)
        history.scaler(budget={"instances": 5, "instance_hours": 40.0})
        for number, place in enumerate(("a", "b", "a")):
            about: dict[str, Any] = {"zone": place, "hourly_cost": 1.5, "spot": place == "b"}
            history.request(f"i{number}", f"{3 - number} waiting in train", **about)
        need = {"queue": "train", "waiting": 5, "missing": 2, "held_back_by": "gpu: its maximum of 3"}
        history.decide(need, {"requested": 3})
        history.serve("i0", "lab/1")
        history.machine(InstanceFailed, "i1", kind="capacity", message=ODD)
        history.machine(InstanceLaunched, "i2", machine="m2")
        history.machine(InstanceDraining, "i2", reason=ODD)
        history.decide({"queue": "gpu", "waiting": 1, "free": 1}, {"ready": 1, "draining": 1})

    def _heavy_plot(self, task: str, store: BlobStore) -> None:
        heavy = json.dumps({"data": [{"type": "bar", "y": [1] * 2_000_000}]}).encode()
        self.history.plot(task, "heavy", "", blob=store.put_bytes(heavy, "application/json"))


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    history = History(tmp_path_factory.mktemp("told"))
    yield Told(history)
    source.holder.clear()
    history.close()


@pytest.fixture(autouse=True, scope="module")
def _as_served() -> Iterator[None]:
    """Streamlit set up as for users; it looks for other people's components once, not for each page that is opened."""
    with pytest.MonkeyPatch.context() as patched:
        found = cache(manifest_scanner.scan_component_manifests)
        patched.setattr(manifest_scanner, "scan_component_manifests", found)
        former = {name: config.get_option(name) for name in OPTIONS}
        for name, value in OPTIONS.items():
            config.set_option(name, {"true": True, "false": False}.get(value, value))
        yield
        for name, value in former.items():
            config.set_option(name, value)


@pytest.fixture(autouse=True)
def home(told: Told, monkeypatch: pytest.MonkeyPatch) -> Path:
    """All tests of this module read one history, through one projection."""
    monkeypatch.setenv("TASKTAPE_HOME", str(told.history.home))
    return told.history.home


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Settings of a test's own."""
    source.holder.clear()
    yield monkeypatch
    source.holder.clear()


def opened(page: str, **query: str) -> AppTest:
    app = AppTest.from_file(APP, default_timeout=60)
    app._page_hash = calc_hash(page)
    app.query_params.update(query)
    app.run()
    assert [error.message for error in app.exception] == []
    return app


def frames(app: AppTest) -> list[pd.DataFrame]:
    return [frame.value for frame in app.dataframe]


def said(app: AppTest) -> str:
    """All text on the page, without the backslashes that keep Markdown from obeying names."""
    kinds = ("title", "markdown", "caption", "code", "error", "warning", "info", "metric", "text")
    found = [getattr(one, "value", "") for kind in kinds for one in getattr(app, kind)]
    found += [one.label for one in app.expander]
    return "\n".join(str(text) for text in found).replace("\\", "")


def test_no_page_shares_a_fragment_with_another(told: Told) -> None:
    """One asked for anew while its page is left would be drawn over the next page, and break it in the browser."""
    task, others = told.tasks["first"], ",".join((told.tasks["first"], told.tasks["second"]))
    addresses = {"projects": {}, "tasks": {}, "task": {"task": task}, "compare": {"compare": others}, "queues": {}}
    addresses |= {"pipelines": {}, "searches": {}, "scalers": {}}
    fragments = [set(opened(page, **query)._fragment_storage._fragments) for page, query in addresses.items()]
    assert all(fragments)
    assert sum(map(len, fragments)) == len(set.union(*fragments))


def test_a_refresh_has_nobody_walk_all_objects_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Streamlit by itself collects garbage after each: most of what a page that stays open costs its server."""
    collected: list[int] = []
    monkeypatch.setattr(gc, "collect", collected.append)
    opened("tasks")
    assert collected == []


def test_only_a_task_that_runs_is_asked_for_each_second(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, float] = {}
    fragment = st.fragment

    def noted(part: Any, *, run_every: float) -> Any:
        asked[part.__name__] = run_every
        return fragment(part, run_every=run_every)

    monkeypatch.setattr(st, "fragment", noted)
    opened("task", task=told.tasks["first"])
    assert asked == {"progress": CALM, "_header": CALM, "_tab": CALM}
    opened("task", task=told.tasks["odd step"])
    assert asked == {"progress": CALM, "_header": LIVE, "_tab": LIVE}


@pytest.mark.parametrize(("name", "was_active"), [("odd step", False), ("first", True)])
def test_a_task_that_begins_or_ends_has_its_page_drawn_anew(
    told: Told, monkeypatch: pytest.MonkeyPatch, name: str, *, was_active: bool
) -> None:
    """That sets how often it is asked for."""

    class DrawnAnew(Exception):  # noqa: N818
        pass

    def anew() -> None:
        raise DrawnAnew

    monkeypatch.setattr(st, "rerun", anew)
    with pytest.raises(DrawnAnew):
        page_task._header(told.tasks[name], was_active=was_active)


def test_projects_have_their_tasks_by_status() -> None:
    app = opened("projects")
    assert "3 tasks" in said(app)
    assert "2 completed" in said(app)
    assert "1 queued" in said(app)


def test_the_table_shows_every_task_that_changed_last_first(told: Told) -> None:
    (table,) = frames(opened("tasks"))
    assert set(table["name"]) >= {"first", "second", "waiting"}
    assert len(table) == len(told.tasks) + table["name"].eq("train").sum()
    assert all(len(name) <= 80 and "\n" not in name for name in table["name"])


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({"q": "fir"}, {"first"}),
        ({"status": "Queued"}, {"waiting"}),
        ({"status": "Completed", "q": "sec"}, {"second"}),
        ({"project": "vision"}, {"first", "second", "waiting"}),
    ],
)
def test_the_address_filters_the_table(query: dict[str, str], names: set[str]) -> None:
    (table,) = frames(opened("tasks", **query))
    assert set(table["name"]) == names


def test_chosen_columns_show_parameters_and_metrics() -> None:
    app = opened("tasks", project="vision")
    app.multiselect(key="columns").select("General/lr").select("loss/train:min").run()
    app.selectbox(key="sort").select("loss/train:min ↑").run()
    (table,) = frames(app)
    assert list(table["name"])[:2] == ["first", "second"]
    assert list(table["c0"])[:2] == [0.1, 0.2]
    assert table["c1"][0] == pytest.approx(min(falling(30, 0.05)))


def test_a_filter_that_nothing_matches_says_so() -> None:
    assert "No task matches" in said(opened("tasks", q="bogus"))


@pytest.mark.parametrize("tab", TABS)
@pytest.mark.parametrize("name", [ODD, LONG, "waiting"], ids=["odd", "long", "waiting"])
def test_every_tab_is_drawn_whatever_the_names_and_however_little_there_is(told: Told, name: str, tab: str) -> None:
    app = opened("task", task=told.tasks[name], tab=tab)
    assert app.title[0].value.replace("\\", "").startswith(name[:20])


def test_a_task_is_found_by_an_address_without_a_page(told: Told) -> None:
    assert opened("", task=told.tasks["first"]).title[0].value == "first"


def test_markup_in_a_name_is_shown_not_obeyed(told: Told) -> None:
    title = opened("task", task=told.tasks[ODD]).title[0].value
    assert r"\!\[i\]\(http\:\/\/evil\/x\.png\)" in title
    assert r"\:red\[x\] \$a\$" in title
    assert "\n" not in title


def test_a_task_shows_its_scalars_values_and_state(told: Told) -> None:
    app = opened("task", task=told.tasks["first"])
    assert len(app.get("plotly_chart")) == 1
    assert [metric.value for metric in app.metric] == ["0.5"]
    assert "Completed" in said(app)
    (values,) = frames(app)
    assert (values["Points"][0], values["Max"][0]) == (30, pytest.approx(1.05))


def test_smoothing_keeps_the_reported_values_behind(told: Told) -> None:
    app = opened("task", task=told.tasks["first"])
    app.slider(key="task-smoothing").set_value(0.9).run()
    (chart,) = app.get("plotly_chart")
    assert len(json.loads(chart.proto.spec)["data"]) == 2


@pytest.mark.parametrize(
    ("tab", "words"),
    [
        ("Parameters", "General"),
        ("Execution", "train.py"),
        ("Artifacts & models", "predictions"),
        ("Console", "epoch 1\nred"),
        ("Debug samples", "samples"),
        ("Plots", "bars"),
    ],
)
def test_a_tab_tells_what_there_is(told: Told, tab: str, words: str) -> None:
    assert words in said(opened("task", task=told.tasks["first"], tab=tab))


def test_history_tells_changes_newest_first(told: Told) -> None:
    (table,) = frames(opened("task", task=told.tasks["first"], tab="History"))
    assert list(table["Event"])[-1] == "TaskCreated"
    assert "General/lr: 0.5 → 0.1" in list(table["What"])
    assert "ScalarsReported" not in set(table["Event"])


def test_a_plot_that_is_none_is_a_warning(told: Told) -> None:
    assert "no plotly figure" in said(opened("task", task=told.tasks[ODD], tab="Plots"))


def test_a_heavy_plot_is_drawn_only_when_asked_for(told: Told) -> None:
    app = opened("task", task=told.tasks["first"], tab="Plots")
    assert len(app.get("plotly_chart")) == 1
    (wish,) = app.toggle
    assert wish.label == "Draw it (6 MB)"
    wish.set_value(True).run()
    assert len(app.get("plotly_chart")) == 2


def test_a_failed_task_says_why(told: Told) -> None:
    assert "alert(1)" in said(opened("task", task=told.tasks[ODD]))


def test_an_unknown_task_is_no_error() -> None:
    assert "There is no task bogus" in said(opened("task", task="bogus"))


def test_a_comparison_overlays_scalars(told: Told) -> None:
    app = opened("compare", compare=",".join((told.tasks["first"], told.tasks["second"], "bogus")))
    (chart,) = app.get("plotly_chart")
    assert [line["name"] for line in json.loads(chart.proto.spec)["data"]] == ["first · train", "second · train"]


def test_a_comparison_of_values_and_parameters(told: Told) -> None:
    both = ",".join((told.tasks["first"], told.tasks["second"]))
    (values,) = frames(opened("compare", compare=both, tab="Values"))
    assert list(values.columns) == ["first", "second"]
    assert values.loc["score", "first"] == 0.5
    app = opened("compare", compare=both, tab="Parameters")
    assert list(frames(app)[0].index) == ["General/lr", "General/same"]
    app.toggle(key="compare-differences").set_value(True).run()
    assert list(frames(app)[0].index) == ["General/lr"]


def test_a_comparison_of_nothing_says_how_to_choose() -> None:
    assert "Select two or more tasks" in said(opened("compare"))


def test_tasks_of_one_name_are_told_apart() -> None:
    class Row:
        def __init__(self, name: str, task_id: str) -> None:
            self.name, self.id = name, task_id

    rows: list[Any] = [Row("a", "1" * 32), Row("a", "2" * 32), Row("", "3" * 32)]
    assert page_compare.labels(rows) == ["a 111111", "a 222222", "(no name)"]


def test_queues_and_workers_are_shown(told: Told) -> None:
    app = opened("queues")
    queues, workers = frames(app)
    assert dict(zip(queues["Queue"], queues["Waiting"], strict=True)) == {"gpu": 1}
    assert list(queues["Limit"]) == ["0 of 2 running"]
    assert "tag:licence 0 of 2 running" in said(app).replace("\\", "")
    assert (workers["Worker"][0], workers["Runs"][0]) == ("lab/1", "first (run 1)")
    assert app.metric[0].value == "1"
    assert told.tasks["waiting"] not in said(app)


def graph(app: AppTest) -> dict[str, Any]:
    (chart,) = app.get("plotly_chart")
    found: dict[str, Any] = json.loads(chart.proto.spec)
    return found


def test_a_controller_shows_its_pipeline_first(told: Told) -> None:
    app = opened("task", task=told.tasks["nightly"])
    (steps,) = frames(app)
    assert list(steps["status"]) == [["completed"], ["running"], ["pending"]]
    assert app.get("progress")[0].proto.text == "1 of 3 steps done · 1 under way"
    *_, pending, running, completed, _, targets = graph(app)["data"]
    assert targets["customdata"][::3] == [told.tasks["load"], told.tasks["odd step"], ""]
    assert "<script>" not in json.dumps(graph(app))
    assert [trace["name"] for trace in (pending, running, completed)] == ["pending 1", "running 1", "completed 1"]


def test_the_graph_stays_the_same_figure_while_nothing_happens(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    """Streamlit takes a figure that differs for another one, and forgets what was clicked in the one before."""

    def seen(seconds: float) -> dict[str, Any]:
        moment = datetime.now(UTC) + timedelta(seconds=seconds)
        monkeypatch.setattr(tab_pipeline, "now", lambda: moment)
        return graph(opened("task", task=told.tasks["nightly"]))

    assert seen(0) == seen(10) == seen(100_000)


def charts(app: AppTest) -> list[Any]:
    return [json.loads(chart.proto.spec)["data"] for chart in app.get("plotly_chart")]


def test_a_search_shows_first_its_objectives_and_every_trial_the_best_first(told: Told) -> None:
    app = opened("task", task=told.tasks["tuned"])
    assert app.get("progress")[0].proto.text == "5 of 8 trials over · 1 running · 1 pruned · 2 failed or aborted"
    (table,) = frames(app)
    assert list(table["trial"]) == [1, 5, 0, 2, 3, 4]
    assert [*map(list, table["status"])] == [["pruned"], *[["completed"]] * 2, ["aborted"], ["failed"], ["running"]]
    assert list(table["o0"])[:3] == [0.75, 0.6, 0.5]
    assert list(table["c0"])[:2] == [pytest.approx(0.2), pytest.approx(0.6)]
    assert (table["c2"].isna().sum(), list(table["c3"])) == (1, ["b", "b", "", "b", "b", "b"])
    assert table["task"][0] == told.tasks["trial 1"][:8]
    accuracy, loss, parallel = charts(app)
    assert [trace["name"] for trace in accuracy] == ["completed", "pruned", "failed", "best so far"]
    assert loss[1]["customdata"] == [told.tasks["trial 1"]]
    assert (loss[-1]["x"], loss[-1]["y"]) == ([0, 1, 5], [3.0, 2.0, 1.5])
    assert [axis["label"] for axis in parallel[0]["dimensions"]][-2:] == ["accuracy/test", "loss/test"]
    assert "<script>" not in json.dumps(charts(app))
    assert "It takes 10 completed trials" in said(app)


def test_the_best_trial_by_each_objective_is_a_click_away(told: Told) -> None:
    app = opened("task", task=told.tasks["tuned"])
    assert "Best accuracy/test]  \n0.75" in said(app)
    assert "Best loss/test]  \n1.5" in said(app)
    assert [app.button(key=f"best-{place}").label for place in (0, 1)] == ["trial 1", "trial 5"]


def test_trials_are_shown_the_newest_first_where_one_wants_that(told: Told) -> None:
    app = opened("task", task=told.tasks["tuned"])
    app.session_state["trial-order"] = tab_search.NEWEST_FIRST
    assert list(frames(app.run())[0]["trial"]) == [5, 4, 3, 2, 1, 0]


@pytest.mark.parametrize(
    ("name", "words"), [("undefined", "No search yet"), ("idle", "No trials yet"), ("begun", "RandomSearch")]
)
def test_a_search_is_shown_however_little_there_is_of_it(told: Told, name: str, words: str) -> None:
    app = opened("task", task=told.tasks[name])
    assert words in said(app)
    assert charts(app) == []
    assert [list(table["status"]) for table in frames(app)] == [[["running"]]] * (name == "begun")


def test_a_trial_that_ends_is_shown_and_so_is_why_its_search_does(told: Told) -> None:
    app = opened("task", task=told.tasks["stopping"])
    assert [trace["name"] for trace in charts(app)[0]] == ["completed", "best so far"]
    assert "its time of 5 min is over" in "".join(one.value for one in app.info)


def test_all_searches_are_listed_with_their_best_values() -> None:
    (table,) = frames(opened("searches"))
    assert set(table["name"]) == {"tuned", "begun", "stopping", one_line(ODD, 80)}
    tuned = table[table["name"] == "tuned"].iloc[0]
    assert (tuned["trials"], tuned["completed"], tuned["failed"], tuned["over"]) == (6, 2, 2, 62.5)
    assert (tuned["best"], tuned["objective"]) == ("0.75, 2", "max accuracy/test, min_global loss/test")


def test_a_step_leads_back_to_its_pipeline(told: Told) -> None:
    app = opened("task", task=told.tasks["load"])
    assert app.button(key="parent").label == ":gray[nightly]"
    assert "parent" not in [button.key for button in opened("task", task=told.tasks["nightly"]).button]


def test_a_controller_without_steps_says_so(told: Told) -> None:
    assert "No steps yet" in said(opened("task", task=told.tasks["empty"]))


def test_pipelines_show_how_far_they_have_come() -> None:
    (found,) = frames(opened("pipelines"))
    row = found.iloc[0]
    assert (row["name"], row["version"], row["status"], row["steps"]) == ("nightly", "1.0", ["Running"], "1 of 3")
    assert row["over"] == pytest.approx(100 / 3)


def test_a_scaler_shows_its_machines_what_waits_and_what_they_cost() -> None:
    app = opened("scalers", scaler="lab")
    assert [(metric.label, metric.value) for metric in app.metric][:3] == [
        ("Waiting", "1"),
        ("Machines", "2 of 5"),
        ("Cost per hour", "$3.00"),
    ]
    assert app.metric[4].value == "0.0 of 40"
    assert "Led by ada@lab" in said(app)
    assert "1 ready, 1 draining" in said(app)
    needs, machines, *_ = frames(app)
    assert list(needs["Queue"]) == ["gpu"]
    assert dict(zip(machines["machine"], machines["status"], strict=True)) == {"m2": ["draining"], "i-i0": ["ready"]}
    serving = machines[machines["machine"] == "i-i0"].iloc[0]
    assert (serving["worker"], serving["running"], serving["zone"]) == ("lab/1", "1 of 2", "a")
    stacked, waiting = charts(app)
    assert [(trace["name"], trace["y"][-1]) for trace in stacked] == [
        ("requested", 0),
        ("booting", 0),
        ("ready", 1),
        ("draining", 1),
    ]
    assert [trace["y"] for trace in waiting] == [[5, 1, 1]]


def test_decisions_and_failures_are_told_with_their_reasons() -> None:
    _, _, failed, steps = frames(opened("scalers", scaler="lab"))
    assert list(failed.iloc[0])[1:4] == [1, "gpu, spot, b", "capacity"]
    assert failed["What its provider said"][0] == one_line(ODD, 400)
    told = [(row["Decision"], row["Machines"], row["Of"], row["Why"]) for _, row in steps.iterrows()]
    assert [decision for (decision,), *_ in told] == ["drain", "hold back", "launch", "lead"]
    assert told[0][3] == one_line(ODD, 200)
    assert told[1][2:] == ("train", "2 more could run; gpu: its maximum of 3")
    assert told[2][1:] == (3, "gpu · a, b", "3 waiting in train")


def test_machines_that_are_gone_are_shown_to_who_asks() -> None:
    app = opened("scalers", scaler="lab")
    app.toggle(key="gone").set_value(True).run()
    assert ["failed"] in list(frames(app)[1]["status"])


def test_a_machines_worker_is_a_click_away() -> None:
    app = opened("scalers", scaler="lab")
    (row,) = frames(app)[1].query("worker == 'lab/1'").index
    app.session_state["worker-click"] = {"row": row}
    app.run()
    assert app.title[0].value == "Queues and workers"
    assert [list(table["Worker"]) for table in frames(app)] == [["lab/1"]]


def test_a_scaler_that_has_but_begun_is_shown() -> None:
    app = opened("scalers", scaler="odd " + ODD)
    assert "No decision yet" in said(app)
    assert "No machines now" in said(app)


def test_a_scaler_that_is_silent_or_can_not_do_what_it_should_is_shown_with_a_warning(
    tmp_path: Path, elsewhere: pytest.MonkeyPatch
) -> None:
    history = History(tmp_path)
    history.scaler()
    history.scaler(ScalingDecided, needs=[], lacking={"gpu": "the budget of 2 machines"})
    history.close()
    elsewhere.setenv("TASKTAPE_HOME", str(tmp_path))
    (warning,) = opened("scalers").warning
    assert "the budget of 2 machines" in warning.value
    later = datetime.now(UTC) + timedelta(minutes=31)
    elsewhere.setattr(page_scalers, "now", lambda: later)
    silent, _ = opened("scalers").warning
    assert "says nothing any more" in silent.value


def test_a_worker_is_shown_alone_where_its_address_is_followed() -> None:
    app = opened("queues", worker="lab/1")
    (workers,) = frames(app)
    assert list(workers["Worker"]) == ["lab/1"]
    app.button(key="all-workers").click().run()
    assert (app.metric[0].label, "worker" in app.query_params) == ("Waiting", False)
    assert "There is no worker bogus" in said(opened("queues", worker="bogus"))


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("tasks", "Two lines make a script a task"),
        ("projects", "tasktape demo"),
        ("queues", "tasktape agent"),
        ("pipelines", "No pipelines yet"),
        ("searches", "No searches yet"),
        ("scalers", "tasktape scaler init"),
    ],
)
def test_an_empty_log_tells_what_to_do(tmp_path: Path, elsewhere: pytest.MonkeyPatch, page: str, words: str) -> None:
    elsewhere.setenv("TASKTAPE_HOME", str(tmp_path / "empty"))
    assert words in said(opened(page))


def test_a_log_that_does_not_answer_is_a_sentence(elsewhere: pytest.MonkeyPatch) -> None:
    elsewhere.setenv("TASKTAPE_LOG", "sqlite:////dev/null/log.db")
    app = opened("tasks")
    assert "does not answer" in app.error[0].value


def test_no_page_trusts_html() -> None:
    for path in APP.parent.glob("*.py"):
        assert not re.search(r"unsafe_allow_html|st\.html|components\.v1", path.read_text()), path
