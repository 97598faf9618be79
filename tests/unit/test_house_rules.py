"""The rules of CONTRIBUTING.md that a machine can check: sizes of functions and modules, docstrings, no leftovers."""

from __future__ import annotations

import ast
import re
import statistics
import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
LAYERS = ("cli", "dashboard", "scaler", "agent", "producers", "projections", "events")
SOURCES = sorted([*ROOT.glob("*.py"), *(path for layer in LAYERS for path in ROOT.glob(f"{layer}/**/*.py"))])
EXEMPT = {"CONTRIBUTING.md", "tests/unit/test_house_rules.py"}
LEFT = re.compile(r"\b(TODO|FIXME|XXX)\b")
FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def functions(path: Path) -> list[FunctionNode]:
    return [node for node in ast.walk(tree(path)) if isinstance(node, FunctionNode)]


def length(function: FunctionNode) -> int:
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def test_every_module_says_why_it_exists() -> None:
    assert [str(path) for path in SOURCES if not ast.get_docstring(tree(path))] == []


def test_every_module_is_flat() -> None:
    assert [str(path) for path in SOURCES if len(path.read_text().splitlines()) > 400] == []


def test_functions_are_small() -> None:
    found = [(path, function) for path in SOURCES for function in functions(path)]
    assert [f"{path}:{f.lineno} {f.name}" for path, f in found if length(f) > 60] == []
    lengths = [size for _, function in found if (size := length(function))]
    assert statistics.median(lengths) <= 4
    assert statistics.quantiles(lengths, n=10)[-1] < 20


LOG_LINE = re.compile(r"(?i:_?logger|logging)\.(debug|info|warning|error|exception|critical|log)")


def log_lines(tree: ast.Module) -> list[ast.Call]:
    """Calls of a module's logger, whatever the case of its name; functions of `logging` itself count too."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [call for call in calls if LOG_LINE.fullmatch(ast.unparse(call.func))]


def names_its_action(call: ast.Call) -> bool:
    extras = [keyword.value for keyword in call.keywords if keyword.arg == "extra"]
    keys = [key for extra in extras if isinstance(extra, ast.Dict) for key in extra.keys]
    return any(isinstance(key, ast.Constant) and key.value == "action" for key in keys)


def test_every_log_line_says_in_action_what_it_is_about() -> None:
    found = [(path, call) for path in SOURCES for call in log_lines(tree(path))]
    assert [f"{path}:{call.lineno}" for path, call in found if not names_its_action(call)] == []


def test_a_log_line_without_an_action_is_found() -> None:
    told = ast.parse(
        'LOGGER.info("a")\n_logger.info("b", extra={"entry": 1})\nlogging.info("c", extra={"action": "c"})'
    )
    assert [names_its_action(call) for call in log_lines(told)] == [False, False, True]


def test_nothing_is_left_for_later() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    names = [name for name in listed if name.endswith((".py", ".sql", ".md")) and name not in EXEMPT]
    assert [name for name in names if LEFT.search((ROOT / name).read_text(errors="replace"))] == []
