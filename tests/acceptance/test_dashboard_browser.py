"""The dashboard in a real browser: a running task's curve grows, every page is drawn, nobody outside is asked."""

from __future__ import annotations

import json
import math
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw
from playwright.sync_api import Browser, Page, ViewportSize, expect, sync_playwright

from tasktape.events.base import Stamper, now_us
from tasktape.events.blobs import open_blob_store
from tasktape.events.instance_events import (
    InstanceDraining,
    InstanceFailed,
    InstanceTerminated,
    InstanceTerminating,
)
from tasktape.events.search_events import Objective
from tasktape.producers.search.parameters import LogUniformParameterRange
from tasktape.tests.kafka.ports import free_port
from tasktape.tests.support.histories import History, falling

pytestmark = pytest.mark.browser

UNFINISHED = "[data-testid=stSkeleton], [data-stale=true]"
UNFADED = "[data-stale] { opacity: 1 !important }"
"""A part that is asked for again fades, and a screenshot would show that at its end."""
SCREENS = Path(__file__).parents[2] / "build" / "screens"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    "--no-first-run",
]
POINTS = (
    "Math.max(0, ...[...document.querySelectorAll('.js-plotly-plot')].map(plot => plot.calcdata?.[0]?.length ?? 0))"
)
TABS = {
    "Plots": "confusion",
    "Debug samples": "samples",
    "Parameters": "General",
    "Execution": "Entry point",
    "Artifacts & models": "predictions",
    "Console": "epoch 39",
    "History": "Scalar, console",
}
FLOW = {
    "load images": [],
    "resnet": ["load images"],
    "vit": ["load images"],
    "convnext": ["load images"],
    "compare": ["resnet", "vit", "convnext"],
    "publish the best": ["compare"],
}
ACCURACY = Objective(title="accuracy", series="validation", sign="max")
HEADING, ROW = 36, 35
"""Heights in the table of tasks, in pixels."""
PATIENCE = 60_000
"""Milliseconds the slowest machine may take to draw a page."""
LOOK = 100
"""Milliseconds between looks at what a page has drawn: by default each frame is one, and frames are drawn for it."""

SIZE = ViewportSize(width=1400, height=900)
TALL = ViewportSize(width=1400, height=1500)

Until = Callable[[Callable[[], Any]], Any]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    found = os.environ.get("TASKTAPE_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        reason = "no Chromium: apt-get install chromium, or name one in TASKTAPE_CHROMIUM"
        if os.environ.get("TASKTAPE_REQUIRE_BROWSER") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=FLAGS)
        yield browser
        browser.close()


class Told:
    """A history with a running task, and the ids of its tasks."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.blobs = open_blob_store(str(history.home / "blobs"))
        self.done = [self._trained(f"resnet, lr {rate}", rate, speed) for rate, speed in ((0.1, 0.06), (0.03, 0.03))]
        self.running = history.task("resnet, lr 0.01", "vision/resnet", parameters={"General/lr": "0.01"})
        history.start(self.running, worker="lab/agent-1")
        self.report(0, 20)
        failed = history.task("tokenizer", "nlp")
        history.start(failed)
        history.fail(failed, "ValueError: vocabulary is empty")
        history.queue("default")
        for number in range(3):
            history.enqueue(history.task(f"sweep {number}", "nlp"), "default")
        self.flow = history.pipeline("train and compare", FLOW, project="vision/flow")
        self.loaded = history.begin_step(self.flow, "load images", project="vision/flow")
        self.tuning = Tuning(history)
        self.lab = Lab(history)
        history.worker("lab/agent-1", ["default"], holds=[(self.running, "default")], cpu_percent=87.0)
        history.settle()

    def report(self, first: int, count: int) -> None:
        history, task = self.history, self.running
        values = falling(first + count)[first:]
        history.scalar(task, "loss", "train", values, first)
        history.console(task, *(f"epoch {first + i}: loss {value:.4f}" for i, value in enumerate(values)))
        history.settle()

    def finish_loading(self) -> None:
        """The pipeline's first step completes; two after it start, and one of them fails."""
        history, flow = self.history, self.flow
        history.end_step(flow, "load images", self.loaded)
        children = {name: history.begin_step(flow, name, project="vision/flow") for name in ("resnet", "vit")}
        history.end_step(flow, "vit", children["vit"], "ValueError: no such layer")
        history.settle()

    def _trained(self, name: str, rate: float, speed: float) -> str:
        history = self.history
        task = history.task(name, "vision/resnet", parameters={"General/lr": str(rate)}, tags=["baseline"])
        history.start(task)
        history.scalar(task, "loss", "train", falling(120, speed))
        history.scalar(task, "loss", "validation", [value + 0.07 for value in falling(120, speed)])
        history.scalar(task, "accuracy", "validation", [1 - value for value in falling(120, speed)])
        history.single(task, "best accuracy", 0.97 - rate / 10)
        matrix = [[52, 1, 0], [2, 47, 1], [0, 3, 49]]
        layout = {"xaxis": {"title": {"text": "predicted"}}, "yaxis": {"title": {"text": "true"}}}
        figure = {"data": [{"type": "heatmap", "z": matrix, "colorscale": "Blues"}], "layout": layout}
        history.plot(task, "confusion", json.dumps(figure), 120)
        history.image(task, self.blobs.put_bytes(picture(), "image/png", "sample.png"), 120)
        history.artifact(task, self.blobs.put_bytes(b'{"a": 1}', name="predictions.json"))
        history.model(task, self.blobs.put_bytes(b"weights" * 1000, name="resnet.pt"))
        history.console(task, *(f"epoch {epoch}" for epoch in range(40)))
        history.set_parameter(task, "General/lr", str(rate), old="0.5")
        history.complete(task)
        return task


class Tuning:
    """A search of 40 trials: 22 are over, four run. `best` is the best so far."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.chance = random.Random(7)
        space = json.dumps([LogUniformParameterRange("Args/lr", -4, -1).to_dict()])
        self.task = history.search("tune the net", [ACCURACY], trials=40, space=space, project="vision/tuning")
        self.trials: list[str] = []
        self.rates: list[float] = []
        self.best, self.most = 0, 0.0
        self.over = 0
        self.go_on(22, running=4)

    def go_on(self, over: int, running: int = 0) -> None:
        """So many trials are over now, and so many run beside them."""
        while len(self.trials) < over + running:
            self._begin()
        while self.over < over:
            self._end()
        self.history.settle()

    def _begin(self) -> None:
        chance, number = self.chance, len(self.trials)
        self.rates.append(10 ** chance.uniform(-4, -1))
        kind, hidden = chance.choice(["adam", "adamw", "sgd"]), 8 * chance.randint(1, 16)
        held = {"Args/lr": self.rates[-1], "Args/hidden": hidden, "Args/optimizer": kind}
        self.trials.append(self.history.begin_trial(self.task, number, held, project="vision/tuning"))

    def _end(self) -> None:
        """One more is over: one of ten fails, one of six is pruned."""
        number = self.over
        self.over += 1
        if number % 10 == 3:
            self.history.end_trial(self.task, number, status="failed", message="CUDA out of memory")
            return
        near = abs(math.log10(self.rates[number]) + 2.2)
        value = 0.96 - 0.11 * near**1.5 + self.chance.uniform(-0.02, 0.01)
        if value > self.most:
            self.best, self.most = number, value
        status = "pruned" if number % 6 == 5 else "completed"
        self.history.end_trial(self.task, number, value, status=status)


class Lab:
    """A scaler that has led for three hours: machines came for what waited, some launches failed, most have gone."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.us = now_us() - 3 * 3600 * 1_000_000
        self.live: list[str] = []
        self.asked = 0
        self.stamp = Stamper("scaler/lab/ada@lab", clock=lambda: self.us)
        history.queue("train")
        with self._speaking():
            history.scaler(budget={"instances": 12, "hourly_cost": 12.0, "instance_hours": 100.0})
            for minute in range(180):
                self.us += 45_000_000
                self._minute(minute, round(5 - 5 * math.cos(minute / 40)))
        for instance in self.live:
            self._work(instance)
        history.settle()

    @contextmanager
    def _speaking(self) -> Iterator[None]:
        """Let the scaler speak: only the session that leads decides."""
        former, self.history.stamp = self.history.stamp, self.stamp
        yield
        self.history.stamp = former
        self.history.settle()

    def _minute(self, minute: int, wanted: int) -> None:
        history, waiting = self.history, max(0, wanted - len(self.live), round(12 * math.sin(minute / 40)))
        coming = [self._ask(waiting, minute) for _ in range(max(0, wanted - len(self.live)))]
        over = [self.live.pop(0) for _ in range(max(0, len(self.live) - wanted))]
        for instance in over:
            history.machine(InstanceDraining, instance, reason="nothing to do for 10 min")
        held = {"missing": 3, "held_back_by": "the budget of $12 an hour"} if wanted == 10 else {}
        need = {"queue": "train", "waiting": waiting, "booting": len(coming), "launched": len(coming), **held}
        statuses = {"requested": len(coming), "ready": len(self.live), "draining": len(over)}
        history.decide(need, {status: count for status, count in statuses.items() if count})
        self.us += 15_000_000
        for instance in coming:
            self._come(instance)
        for instance in over:
            history.machine(InstanceTerminating, instance, reason="its agent has left")
            history.machine(InstanceTerminated, instance)

    def _ask(self, waiting: int, minute: int) -> str:
        self.asked += 1
        instance = f"{self.asked:04x}{minute:04x}b1c2d3e4"
        about = {"instance_type": "g5.xlarge", "zone": f"eu-west-1{'abc'[self.asked % 3]}"}
        spot = self.asked % 3 != 0
        self.history.request(
            instance, f"{waiting} waiting in train", **about, spot=spot, hourly_cost=0.42 if spot else 1.2
        )
        return instance

    def _come(self, instance: str) -> None:
        if self.asked % 5 == 4:
            words = "InsufficientInstanceCapacity: no g5.xlarge capacity in the Availability Zone you requested"
            self.history.machine(InstanceFailed, instance, kind="capacity", message=words)
        else:
            self.history.serve(instance, f"ip-10-0-0-{self.asked}")
            self.live.append(instance)

    def _work(self, instance: str) -> None:
        """Its agent runs a task; that of the first one has just ended."""
        history, worker = self.history, f"ip-10-0-0-{int(instance[:4], 16)}"
        busy, task = instance != self.live[0], history.task("train a model", "nlp")
        history.start(task, worker=worker)
        if not busy:
            history.complete(task)
        history.worker(worker, ["train"], holds=[(task, "train")] * busy, cpu_percent=80.0 * busy)

    def come(self) -> str:
        """One more machine comes; returns its worker."""
        with self._speaking():
            instance = self._ask(1, 0)
            self.history.serve(instance, "new/1")
        self.live.append(instance)
        self.history.worker("new/1", ["train"])
        self.history.settle()
        return "new/1"

    def go(self) -> None:
        """The machine that is there for longest goes."""
        with self._speaking():
            self.history.machine(InstanceTerminated, self.live.pop(0))


def picture() -> bytes:
    image = Image.new("RGB", (128, 128), "#1c2230")
    ImageDraw.Draw(image).ellipse((24, 24, 104, 104), fill="#7da2f2")
    file = BytesIO()
    image.save(file, "png")
    return file.getvalue()


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    history = History(tmp_path_factory.mktemp("home"))
    yield Told(history)
    history.close()


@pytest.fixture(scope="module")
def address(told: Told) -> Iterator[str]:
    """Address of a dashboard that runs as its users run it."""
    port = free_port()
    command = [sys.executable, "-m", "tasktape.cli.main", "dashboard", "--no-browser", "--port", str(port)]
    environment = {**os.environ, "TASKTAPE_HOME": str(told.history.home)}
    output = told.history.home / "dashboard.log"
    with output.open("wb") as file:
        server = subprocess.Popen(command, env=environment, stdout=file, stderr=subprocess.STDOUT)
    yield f"http://127.0.0.1:{port}"
    server.send_signal(signal.SIGTERM)
    server.wait(30)
    assert "Traceback" not in output.read_text()


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/_stcore/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@pytest.fixture
def page(chromium: Browser, address: str, until: Until) -> Iterator[Page]:
    """A page that fails if it asked for anything elsewhere, or if its own program broke."""
    until(lambda: answers(address))
    asked: list[str] = []
    broken: list[str] = []
    context = chromium.new_context(viewport=SIZE, base_url=address, reduced_motion="reduce")
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    local = (address, address.replace("http", "ws"), "data:", "blob:")
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: broken.append(error.message))
    yield page
    context.close()
    assert broken == []
    assert [url for url in asked if not url.startswith(local)] == []


def test_a_running_tasks_curve_and_console_grow_without_a_reload(told: Told, page: Page, until: Until) -> None:
    page.goto(f"/?task={told.running}")
    drawn(page, 20)
    page.evaluate("window.loadedOnce = true")
    told.report(20, 15)
    drawn(page, 35)
    page.get_by_role("tab", name="Console").click()
    page.get_by_text("epoch 34: loss").wait_for()
    told.report(35, 1)
    page.get_by_text("epoch 35: loss").wait_for()
    assert page.evaluate("window.loadedOnce") is True
    assert until(lambda: "/task?" in page.url)


def test_a_click_on_a_name_opens_it_and_selected_rows_are_compared(told: Told, page: Page) -> None:
    page.goto("/tasks?project=vision%2Fresnet")
    click(page, "resnet, lr 0.1", column=0)
    page.get_by_text("Select another row to compare").wait_for()
    click(page, "resnet, lr 0.03", column=0)
    page.get_by_role("button", name="Compare 2 tasks").click()
    page.wait_for_url("**/compare?**")
    page.get_by_text("resnet, lr 0.03").first.wait_for()
    page.get_by_role("link", name="Tasks").click()
    click(page, "resnet, lr 0.1", column=1)
    page.wait_for_url(f"**/task?task={told.done[0]}")


def test_a_running_pipelines_graph_changes_by_itself_and_leads_to_its_steps(told: Told, page: Page) -> None:
    page.goto("/pipelines")
    click(page, "train and compare", column=1, boxes=False)
    page.wait_for_url(f"**/task?task={told.flow}")
    graph = page.locator("[data-stale=false] > * .js-plotly-plot")  # Streamlit keeps the former one for a moment
    graph.get_by_text("running 1").wait_for()
    page.evaluate("window.loadedOnce = true")
    told.finish_loading()
    graph.get_by_text("completed 1").wait_for()
    graph.get_by_text("failed 1").wait_for()
    shoot(page, "task-pipeline", "1 failed or aborted")
    expect(graph.get_by_text("running 1")).to_have_count(1, timeout=PATIENCE)
    graph.locator(".textpoint text", has_text="load images").click(force=True)
    page.wait_for_url(f"**/task?task={told.loaded}")
    page.get_by_role("button", name="train and compare").click()
    page.wait_for_url(f"**/task?task={told.flow}")
    click(page, "load images", column=1, boxes=False)
    page.wait_for_url(f"**/task?task={told.loaded}")
    assert page.evaluate("window.loadedOnce") is True


def test_a_running_search_is_shown_as_it_goes_on_and_leads_to_its_trials(told: Told, page: Page) -> None:
    tuning = told.tuning
    page.set_viewport_size(TALL)
    page.goto("/searches")
    click(page, "tune the net", column=1, boxes=False)
    page.wait_for_url(f"**/task?task={tuning.task}")
    page.get_by_text("22 of 40 trials over").wait_for()
    page.evaluate("window.loadedOnce = true")
    drawn(page, 17)
    shoot(page, "task-search-live", f"trial {tuning.best}")
    tuning.go_on(40)
    page.get_by_text("40 of 40 trials over").wait_for()
    drawn(page, 31)
    page.locator(".points path.point").first.click(force=True)
    page.wait_for_url(f"**/task?task={tuning.trials[0]}")
    page.get_by_role("button", name="tune the net").click()
    page.wait_for_url(f"**/task?task={tuning.task}")
    page.get_by_role("button", name=f"trial {tuning.best}").click()
    page.wait_for_url(f"**/task?task={tuning.trials[tuning.best]}")
    page.get_by_role("button", name="tune the net").click()
    page.wait_for_url(f"**/task?task={tuning.task}")
    page.get_by_text("40 of 40 trials over").wait_for()  # the page of the trial has a table too
    click(page, str(tuning.best), column=1, boxes=False)
    page.wait_for_url(f"**/task?task={tuning.trials[tuning.best]}")
    assert page.evaluate("window.loadedOnce") is True


def test_machines_are_shown_as_they_come_and_go_and_lead_to_their_workers(told: Told, page: Page) -> None:
    lab = told.lab
    there = len(lab.live)
    page.goto("/scalers")
    page.get_by_text(f"{there} of 12").wait_for()
    page.get_by_text("Failed launches").wait_for()
    page.evaluate("window.loadedOnce = true")
    worker = lab.come()
    page.get_by_text(f"{there + 1} of 12").wait_for()
    lab.go()
    page.get_by_text(f"{there} of 12").wait_for()
    assert page.evaluate("window.loadedOnce") is True
    table = page.get_by_test_id("stDataFrame").nth(1)
    cell = table.locator("td", has_text=re.compile(f"^{worker}$"))
    cell.wait_for(state="attached")


def click(page: Page, name: str, column: int, *, boxes: bool = True) -> None:
    """Click into the row of a task in the table: into its box (0) or its name (1); some tables have no `boxes`.

    The table is drawn on a canvas; a hidden table beside it, for screen readers, tells what is in which row.
    """
    cell = page.locator(f"td[data-testid^='glide-cell-{int(boxes)}-']", has_text=re.compile(f"^{name}$")).first
    cell.wait_for(state="attached")
    row = int(str(cell.get_attribute("data-testid")).rpartition("-")[2])
    settle(page)
    table = page.get_by_test_id("stDataFrame")
    table.evaluate("table => table.scrollIntoView({block: 'nearest'})")  # at once: the next refresh may replace it
    box = table.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + (18, 80)[column], box["y"] + HEADING + ROW * (row + 0.5))


def drawn(page: Page, points: int) -> None:
    """Wait until so many points of a curve are drawn."""
    page.wait_for_function(f"{POINTS} === {points}", polling=LOOK)


def settle(page: Page) -> None:
    """Wait until nothing on a page is about to be replaced."""
    page.wait_for_function(f"document.querySelectorAll('{UNFINISHED}').length === 0", polling=LOOK)


def test_every_page_has_its_screenshot(told: Told, page: Page) -> None:
    """Pages are reached by links where these lead to them: one loaded anew costs the browser all its scripts again."""
    SCREENS.mkdir(parents=True, exist_ok=True)
    page.goto("/tasks?columns=General%2Flr&columns=accuracy%2Fvalidation%3Amax")
    page.get_by_test_id("stDataFrame").wait_for()
    shoot(page, "tasks", "Tasks")
    for link, words in (("Projects", "vision/resnet"), ("Queues and workers", "Longest wait")):
        follow(page, link)
        shoot(page, link.split()[0].lower(), words)
    for link in ("Pipelines", "Searches"):
        follow(page, link)
        page.get_by_test_id("stDataFrame").wait_for()
        shoot(page, link.lower(), link)
    page.set_viewport_size(TALL)
    follow(page, "Scalers")
    shoot(page, "scalers", "Failed launches")
    page.emulate_media(color_scheme="dark")
    follow(page, "Projects")  # who stays sees the page fade while it is drawn in other colours
    follow(page, "Scalers")
    shoot(page, "scalers-dark", "Failed launches")
    page.emulate_media(color_scheme="light")
    page.set_viewport_size(SIZE)
    page.goto(f"/task?task={told.done[0]}")
    shoot(page, "task", "accuracy")
    for tab, words in TABS.items():
        page.get_by_role("tab", name=tab).click()
        shoot(page, f"task-{tab.split()[0].lower()}", words)
    page.goto(f"/compare?compare={','.join(told.done)}")
    shoot(page, "compare", "accuracy")
    for tab, words in (("Values", "The largest value"), ("Parameters", "Only differences")):
        page.get_by_role("tab", name=tab).click()
        shoot(page, f"compare-{tab.lower()}", words)
    shoot_what_runs(told, page)


def shoot_what_runs(told: Told, page: Page) -> None:
    """The pages of a task, a pipeline and a search that are under way, in the dark."""
    page.emulate_media(color_scheme="dark")
    page.goto(f"/task?task={told.running}")
    shoot(page, "task-running-dark", "loss")
    follow(page, "Pipelines")
    click(page, "train and compare", column=1, boxes=False)
    page.wait_for_url(f"**/task?task={told.flow}")
    shoot(page, "task-pipeline-dark", "load images")
    page.set_viewport_size(TALL)
    for name in ("task-search-dark", "task-search"):
        page.emulate_media(color_scheme="dark" if name.endswith("dark") else "light")
        follow(page, "Searches")
        click(page, "tune the net", column=1, boxes=False)
        page.wait_for_url(f"**/task?task={told.tuning.task}")
        shoot(page, name, "Importance")


def follow(page: Page, link: str) -> None:
    """Go to the page of a link at the top, and wait for its title."""
    page.get_by_role("link", name=link, exact=True).first.click()
    page.get_by_role("heading", name=link, exact=True).wait_for()


def shoot(page: Page, name: str, words: str) -> None:
    """Take a screenshot once a page shows what it is to show."""
    page.get_by_text(words).first.wait_for()
    settle(page)
    assert page.get_by_test_id("stException").count() == 0
    page.mouse.move(1, 1)  # off what it hovers over
    page.screenshot(path=SCREENS / f"{name}.png", animations="disabled", style=UNFADED)
