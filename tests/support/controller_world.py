"""What scripts of a controller and of its children share with their test: notes they write, files they wait for."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from tasktape.events.task_events import RunFailed, RunStarted

from .agent_site import AgentSite

NOTES = """
import os, pathlib, time
FOLDER = {folder!r}
folder = pathlib.Path(FOLDER)
def note(*words):
    with pathlib.Path(FOLDER, "notes").open("a") as file:
        file.write(" ".join(map(str, words)) + "\\n")
def wait_for(name):
    while not pathlib.Path(FOLDER, name).exists():
        time.sleep(0.02)
def is_first(name):
    first = not pathlib.Path(FOLDER, name).exists()
    pathlib.Path(FOLDER, name).touch()
    return first
"""


class ControllerWorld:
    """A site with what the scripts of one test share; `head` is what they begin with."""

    def __init__(self, site: AgentSite, folder: Path) -> None:
        self.site = site
        self.folder = folder
        self.head = NOTES.format(folder=str(folder))
        folder.mkdir()

    @property
    def notes(self) -> list[str]:
        """What children and callbacks have written, in the order in which they did."""
        file = self.folder / "notes"
        return file.read_text().splitlines() if file.exists() else []

    def wait_for(self, *notes: str) -> None:
        """Wait until all of these were written."""
        self.site.wait(lambda: set(notes) <= set(self.notes))

    def let(self, name: str) -> None:
        """Let those go on who wait for this."""
        (self.folder / name).touch()

    def kill_controller(self, controller: str) -> None:
        """Kill its process, and wait until the next run of its task has begun."""
        runs = len(self.site.of(controller, RunStarted))
        os.kill(int((self.folder / "pid").read_text()), signal.SIGKILL)
        self.site.wait(lambda: len(self.site.of(controller, RunStarted)) > runs)

    def end(self, controller: str, run: int = 1) -> str:
        """Wait for the end of a run of the controller; return how it ended."""
        self.site.wait(lambda: run in dict(self.site.ends(controller)))
        return dict(self.site.ends(controller))[run]

    def reason(self, controller: str) -> str:
        """Why a controller failed."""
        return self.site.of(controller, RunFailed)[-1].message
