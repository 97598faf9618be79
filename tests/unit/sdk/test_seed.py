"""The process's seed reaches libraries also where a thread still imports them."""

from __future__ import annotations

import sys
import threading
from importlib import import_module
from pathlib import Path

import pytest

from tasktape.producers.task_init import seed

SLOW_TORCH = """
import torch_gate
torch_gate.begun.set()
torch_gate.may_go_on.wait()
seeds = []
manual_seed = seeds.append
"""


def test_a_library_that_a_thread_still_imports_is_seeded_once_it_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "torch.py").write_text(SLOW_TORCH)
    (tmp_path / "torch_gate.py").write_text("import threading\nbegun, may_go_on = threading.Event(), threading.Event()")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("torch", "torch_gate"):
        monkeypatch.setitem(sys.modules, name, sys)
        del sys.modules[name]
    gate = import_module("torch_gate")
    importing = threading.Thread(target=import_module, args=("torch",))
    importing.start()
    gate.begun.wait()
    threading.Timer(0.05, gate.may_go_on.set).start()
    seed(7)
    importing.join()
    assert sys.modules["torch"].seeds == [7]
