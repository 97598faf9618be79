"""A function becomes a script that stands by itself, the same one each time, or is refused with what to do."""

from __future__ import annotations

import functools
import importlib.util
import linecache
import pickle
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from tasktape.producers.errors import InvalidArgumentError
from tasktape.producers.parameters import value_of
from tasktape.producers.pipelines.function_code import step_code
from tasktape.producers.pipelines.function_source import FunctionSourceError
from tasktape.producers.pipelines.function_task import fits_parameter, function_spec
from tasktape.producers.pipelines.literals import literal

DECORATOR = """
import functools

class PipelineDecorator:
    @classmethod
    def component(cls, **options):
        def wrap(function):
            @functools.wraps(function)
            def call(*args, **kwargs):
                return ("component", function(*args, **kwargs))
            return call
        return wrap
"""
MakeModule = Callable[..., ModuleType]


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeModule]:
    """Import a text as a module that lies in a file."""
    made: list[str] = []
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(text: str, name: str = "users_steps") -> ModuleType:
        file = tmp_path / f"{name}.py"
        file.write_text(textwrap.dedent(text))
        spec = importlib.util.spec_from_file_location(name, file)
        assert spec is not None
        assert spec.loader is not None
        found = importlib.util.module_from_spec(spec)
        sys.modules[name] = found
        made.append(name)
        spec.loader.exec_module(found)
        return found

    make(DECORATOR, "lib_of_components")
    yield make
    for name in made:
        sys.modules.pop(name, None)


def ran(source: str) -> dict[str, Any]:
    """The names a script has once it is read, where nothing of the module it came from is there."""
    script = ModuleType("elsewhere")
    sys.modules["elsewhere"] = script
    exec(compile(source, "script.py", "exec"), vars(script))
    return vars(script)


def code_of(function: Any, **options: Any) -> str:
    return step_code(function, **options).source


@pytest.mark.parametrize(
    ("imports", "decorator"),
    [
        ("from lib_of_components import PipelineDecorator", "PipelineDecorator.component"),
        ("from lib_of_components import PipelineDecorator as PD", "PD.component"),
        ("import lib_of_components as lib", "lib.PipelineDecorator.component"),
        ("from lib_of_components import PipelineDecorator\nstep_of = PipelineDecorator.component", "step_of"),
    ],
)
def test_the_component_decorator_goes_under_whatever_name(module: MakeModule, imports: str, decorator: str) -> None:
    text = (
        f'{imports}\n@{decorator}(\n    cache=True,  # (a comment\n)\ndef one(x):  # kept\n    """ü"""\n    return x\n'
    )
    source = code_of(module(text).one)
    assert "cache" not in source
    assert "def one(x):  # kept" in source
    assert ran(source)["one"](1) == 1


@pytest.mark.parametrize("wraps", ["@functools.wraps(function)", "# no wraps"])
def test_other_decorators_stay_and_bring_their_source(module: MakeModule, wraps: str) -> None:
    users = module(f"""
        import functools
        from lib_of_components import PipelineDecorator

        def twice(times):
            def decorator(function):
                {wraps}
                def call(*args, **kwargs):
                    return [function(*args, **kwargs)] * times
                return call
            return decorator

        @PipelineDecorator.component()
        @twice(2)
        def one(x):
            return x
        """)
    source = code_of(users.one)
    assert ran(source)["one"](1) == [1, 1]
    assert "@PipelineDecorator" not in source


def test_what_a_function_uses_of_its_module_comes_along(module: MakeModule) -> None:
    users = module("""
        import math
        from dataclasses import dataclass

        RATE, SIZES = 0.5, {"a": (1, float)}
        LAYERS = [1, 2] * 2
        UNUSED = 17

        @dataclass
        class Config:
            layers: list = None

        def helper(x):
            return other(x) * RATE

        def other(x):
            return math.floor(x)

        alias = other

        def one(x):
            return helper(x), Config(LAYERS).layers, alias(x)
        """)
    source = code_of(users.one)
    assert ran(source)["one"](4.2) == (2.0, [1, 2, 1, 2], 4)
    assert "17" not in source


def test_what_does_not_travel_is_named_and_a_computed_constant_is_never_frozen(module: MakeModule) -> None:
    users = module("""
        import os

        CORES = os.cpu_count()
        CLIENT = object()

        def one():
            return CORES, CLIENT, not_there, __name__
        """)
    code = step_code(users.one)
    assert [name for name in ("CORES", "CLIENT", "not_there", "__name__") if name in " ".join(code.notes)] == [
        "CORES",
        "CLIENT",
        "not_there",
    ]
    assert f"CORES = {users.CORES}" not in code.source


def test_helper_functions_come_along_with_what_they_import(module: MakeModule) -> None:
    helpers = module("import json as j\n\ndef clean(x):\n    return j.dumps(x)\n", "users_helpers")
    users = module("from users_helpers import clean\n\ndef one(x):\n    return clean(x)\n")
    source = code_of(users.one, helper_functions=[helpers.clean])
    del sys.modules["users_helpers"]
    assert "def clean" in source
    assert ran(source)["one"]({"a": 1}) == '{"a": 1}'


def test_two_things_of_one_name_are_refused(module: MakeModule) -> None:
    helpers = module("def clean(x):\n    return 1\n", "users_helpers")
    users = module("def clean(x):\n    return 2\n\ndef one(x):\n    return clean(x)\n")
    with pytest.raises(FunctionSourceError, match=r"'clean'.*rename"):
        step_code(users.one, helper_functions=[helpers.clean])


def test_a_component_that_a_component_calls_stays_one(module: MakeModule) -> None:
    users = module("""
        from lib_of_components import PipelineDecorator as PD

        def helper(x):
            return x + 1

        @PD.component(return_values=["y"], helper_functions=[helper])
        def inner(x):
            return helper(x)

        @PD.component(return_values=["z"])
        def outer(x):
            return inner(x)
        """)
    source = code_of(users.outer)
    assert ran(source)["outer"](1) == ("component", 2)
    skipping = code_of(users.outer, skip_global_imports=True)
    assert ran(skipping)["outer"](1) == ("component", 2)


def test_a_script_makes_the_script_of_a_step_inside_it(module: MakeModule) -> None:
    users = module("""
        import math
        from lib_of_components import PipelineDecorator

        FACTOR = 2

        @PipelineDecorator.component()
        def inner(x):
            return math.floor(x) * FACTOR

        @PipelineDecorator.component()
        def outer(x):
            return inner(x)
        """)
    inside = module(code_of(users.outer), "outer_script")
    again = code_of(inside.inner)
    assert again == code_of(users.inner)
    assert ran(again)["inner"](1.5) == 2


def test_imports_come_along_and_do_no_harm_where_they_fail(module: MakeModule, monkeypatch: pytest.MonkeyPatch) -> None:
    module("VALUE = 1\n", "only_here")
    users = module("""
        from __future__ import annotations
        import os.path, json as j
        from only_here import VALUE
        try:
            import not_installed_anywhere as fast
        except ImportError:
            fast = None

        def one(x: NotEvenThere = j.loads("[1]")):
            return os.path.basename("a/b"), fast, x
        """)
    source = code_of(users.one)
    del sys.modules["only_here"]
    monkeypatch.setattr(sys, "path", [])
    assert ran(source)["one"]() == ("b", None, [1])
    assert "only_here" not in code_of(users.one, skip_global_imports=True)


def test_relative_imports_become_absolute(module: MakeModule) -> None:
    users = module("def one():\n    return 1\n", "users_package.steps")
    users.__package__ = "users_package"
    file = users.__file__
    assert file is not None
    Path(file).write_text("def one():\n    return 1\nfrom . import tools\nfrom ..too import far\n")
    assert "from users_package import tools" in code_of(users.one)
    assert "far" not in code_of(users.one)


def test_defaults_that_are_computed_are_written_out(module: MakeModule) -> None:
    users = module("""
        SETTINGS = {"rate": 0.1, "names": {"b", "a"}}

        def one(a, rate=SETTINGS["rate"], *, names=frozenset(SETTINGS["names"]), ü=(1 + 1), plain="x"):
            return rate, names, ü
        """)
    source = code_of(users.one)
    assert "SETTINGS" not in source
    assert ran(source)["one"](1) == (0.1, frozenset({"a", "b"}), 2)


def test_functions_inside_functions_bring_what_is_around_them() -> None:
    import json as j  # noqa: PLC0415  as users write it

    factor, text = 3, "two\n    lines"

    def helper(x: int) -> int:
        return x * factor

    def one(x: int) -> tuple[Any, ...]:
        """Say
        it."""
        return helper(x), text, j.dumps([])

    assert ran(code_of(one))["one"](2) == (6, "two\n    lines", "[]")


def test_functions_that_have_no_source_of_their_own_are_refused_with_what_to_do() -> None:
    thing = object()
    count = 0

    def closed() -> object:
        return thing

    def counting() -> None:
        nonlocal count
        count += 1

    made: dict[str, Any] = {}
    exec("def unwritten(): pass", made)
    for function, says in {
        len: "'len'.*Wrap it",
        functools.partial(print): "'partial'.*Wrap it",
        made["unwritten"]: "'unwritten'.*Define it in a file",
        (lambda x: x): "lambda.*def",
        closed: "'closed'.*'thing'.*argument",
        counting: "'counting'.*variable of a function",
    }.items():
        with pytest.raises(FunctionSourceError, match=says):
            step_code(function)
    with pytest.raises(FunctionSourceError, match="step 'a name': 'len'"):
        spec_of(len)


CELLS = ["import json as j\n%matplotlib inline\nFACTOR = 3", "def one(x):\n    return j.dumps(x * FACTOR)\n"]


def test_functions_of_a_notebook_bring_what_its_cells_say(monkeypatch: pytest.MonkeyPatch) -> None:
    notebook: Any = ModuleType("notebook_of_cells")
    monkeypatch.setitem(sys.modules, notebook.__name__, notebook)
    exec("import json as j\nFACTOR = 3", vars(notebook))
    monkeypatch.setitem(
        linecache.cache, "/gone/cell.py", (len(CELLS[1]), None, CELLS[1].splitlines(keepends=True), "/gone/cell.py")
    )
    exec(compile(CELLS[1], "/gone/cell.py", "exec"), vars(notebook))
    history = SimpleNamespace(input_hist_raw=["", *CELLS])
    notebook.get_ipython = lambda: SimpleNamespace(history_manager=history)
    assert ran(code_of(notebook.one))["one"](2) == "6"


def test_users_own_serialisers_travel_and_pickles_are_named(module: MakeModule) -> None:
    users = module("import json\n\ndef pack(value):\n    return json.dumps(value).encode()\n\ndef one(): pass\n")
    assert "serialize=pack" in code_of(users.one, serialization=users.pack)
    named = code_of(users.one, serialization=pickle.dumps, deserialization=pickle.loads)
    assert "serialize='pickle'" in named
    assert "deserialize='pickle'" in named
    with pytest.raises(FunctionSourceError, match="dill"):
        step_code(users.one, serialization="dill")


SAME = """
import sys
sys.path.insert(0, sys.argv[1])
import users_steps
from tasktape.producers.pipelines.function_task import function_spec
spec = function_spec(users_steps.one, name="n", project="p", kwargs={"names": {"x", "y", "z"}}, packages=False)
sys.stdout.write(spec.model_dump_json())
"""


def test_another_process_makes_the_same_bytes(module: MakeModule, tmp_path: Path) -> None:
    module("""
        NAMES = {"a", "b", "c"}

        def one(names, other=frozenset(NAMES)):
            return NAMES
        """)
    said = [
        subprocess.check_output([sys.executable, "-c", SAME, tmp_path], env={"PYTHONHASHSEED": seed})
        for seed in ("1", "2")
    ]
    assert said[0] == said[1]
    assert str(tmp_path).encode() not in said[0]


def spec_of(function: Any, **options: Any) -> Any:
    return function_spec(function, name="a name", project="p", **{"packages": False, **options})


def test_a_spec_has_typed_arguments_defaults_and_references(module: MakeModule) -> None:
    users = module("def one(a, b=(1, 2), c=0.5, d=object(), **more): pass\n")
    spec = spec_of(users.one, kwargs={"a": None, "z": [1]}, artifacts={"c": "${step.out}"}, returns=["r"])
    assert [(held.name, held.type, value_of(held)) for held in spec.parameters] == [
        ("kwargs/a", "NoneType", None),
        ("kwargs/b", "tuple", (1, 2)),
        ("kwargs/z", "list", [1]),
        ("kwargs_artifacts/c", "str", "${step.out}"),
    ]
    assert (spec.script.entry_point, spec.task_type) == ("one.py", "training")


def test_what_a_spec_can_not_hold_is_refused(module: MakeModule, tmp_path: Path) -> None:
    users = module("def one(a): pass\n")
    refused: list[tuple[dict[str, Any], str]] = [
        ({"kwargs": {"b": 1}}, r"no argument 'b' \(arguments: a\)"),
        ({"kwargs": {"a": object()}}, "'a' of one is a object.*artifact"),
        ({"artifacts": {"b": "x.y"}}, "no argument 'b'"),
        ({"task_type": "nonsense"}, "nonsense"),
        ({"repo": str(tmp_path)}, "no repository"),
    ]
    for options, says in refused:
        with pytest.raises(InvalidArgumentError, match=says):
            spec_of(users.one, **options)


def test_a_script_never_hides_a_module_that_is_imported(module: MakeModule) -> None:
    users = module("def statistics(): pass\n\ndef pandas():\n    import pandas\n")
    assert spec_of(users.statistics).script.entry_point == "statistics_step.py"
    assert spec_of(users.pandas).script.entry_point == "pandas_step.py"


def test_requirements_are_those_of_the_imports_that_are_used(module: MakeModule) -> None:
    users = module("""
        import matplotlib.pyplot as plt
        import pandas as pd
        from sklearn.linear_model import LinearRegression

        def one(frame: pd.DataFrame):
            import PIL
            return LinearRegression()
        """)
    lines = spec_of(users.one, packages=None).script.requirements
    names = {line.partition("==")[0].partition(" @")[0].lower() for line in lines}
    assert names == {"pandas", "pillow", "scikit-learn", "skops", "tasktape"}
    taking = module("import matplotlib\nimport pandas\n\ndef taking(frame): return len(frame)\n", "users_taking").taking
    assert not [line for line in spec_of(taking, packages=None).script.requirements if "pandas" in line]
    lines = spec_of(taking, packages=None, artifacts={"frame": "T.frame"}).script.requirements
    assert [line.partition("==")[0] for line in lines if not line.startswith("tasktape")] == ["pandas"]
    assert spec_of(users.one, packages=["a==1", "b"]).script.requirements == ["a==1", "b"]
    assert spec_of(users.one, packages=False).script.requirements == []


def test_a_repository_is_named_or_read_where_it_lies(module: MakeModule, tmp_path: Path) -> None:
    users = module("def one(): pass\n")
    named = spec_of(users.one, repo="https://host/x.git", repo_branch="b", repo_commit="c", working_dir="sub").script
    assert (named.repository, named.branch, named.commit, named.working_dir) == ("https://host/x.git", "b", "c", "sub")
    folder = tmp_path / "clone"
    for command in (
        ["git", "init", "-q", "-b", "main", str(folder)],
        ["git", "-C", str(folder), "remote", "add", "origin", "https://host/y.git"],
        [
            "git",
            "-C",
            str(folder),
            "-c",
            "user.name=n",
            "-c",
            "user.email=e",
            "commit",
            "-q",
            "--allow-empty",
            "-m",
            "m",
        ],
    ):
        subprocess.run(command, check=True)
    read = spec_of(users.one, repo=str(folder)).script
    assert (read.repository, read.branch, len(read.commit)) == ("https://host/y.git", "main", 40)


@pytest.mark.parametrize(
    "value",
    [None, True, 1, -1.5, float("inf"), "é'\"\n", b"\x00", (), (1,), [(1, 2)], {"k": {1, 2}}, set(), frozenset({1})],
)
def test_literals_are_the_values_they_stand_for(value: Any) -> None:
    text = literal(value)
    assert text is not None
    back = eval(text)
    assert (back, type(back)) == (value, type(value))


def test_what_is_no_plain_value_is_no_literal_and_no_parameter() -> None:
    loop: list[Any] = []
    loop.append(loop)
    assert [literal(object()), literal([object()]), literal("x" * 100_000), literal(loop)] == [None] * 4
    assert not fits_parameter(b"")
    assert not fits_parameter([{"a": object()}])
    assert fits_parameter({"a": [(1, None)]})
