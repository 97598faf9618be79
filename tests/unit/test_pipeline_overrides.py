"""What a step changes in the task it copies, and what its outcome depends on."""

from __future__ import annotations

from typing import Any

import pytest

from tasktape.events.parts import Configuration, Container, Parameter, Script, TaskSpec
from tasktape.producers.parameters import value_of
from tasktape.producers.pipelines.cache_key import cache_key
from tasktape.producers.pipelines.errors import PipelineError
from tasktape.producers.pipelines.overrides import with_configurations, with_fields, with_parameters

BASE = TaskSpec(
    project="bases",
    name="base",
    script=Script(repository="https://x/y.git", branch="main", commit="c0ffee", requirements=["numpy"]),
    container=Container(image="python:3.12"),
    parameters=[Parameter(name="Args/rate", value="0.1", type="float", description="how fast")],
    configurations=[Configuration(name="net", text="depth: 3", type="yaml", description="its shape")],
)


def test_parameters_keep_types_and_descriptions_and_those_without_a_section_are_general() -> None:
    spec = with_parameters(BASE, {"Args/rate": 0.5, "flag": True, "Args/sizes": [1, 2], "General/none": None})
    held = {parameter.name: parameter for parameter in spec.parameters}
    assert {name: value_of(parameter) for name, parameter in held.items()} == {
        "Args/rate": 0.5,
        "General/flag": True,
        "Args/sizes": [1, 2],
        "General/none": None,
    }
    assert held["Args/rate"].description == "how fast"
    assert [parameter.name for parameter in BASE.parameters] == ["Args/rate"]


def test_configurations_are_texts_of_the_kind_they_were_or_dicts() -> None:
    spec = with_configurations(BASE, {"net": "depth: 5", "other": {"a": [1]}})
    net, other = spec.configurations
    assert (net.text, net.type, net.description) == ("depth: 5", "yaml", "its shape")
    assert (other.type, other.text.split()) == ("dict", ["{", '"a":', "[", "1", "]", "}"])


@pytest.mark.parametrize(
    ("path", "value", "read"),
    [
        ("script.branch", "dev", lambda spec: spec.script.branch),
        ("script.version_num", "beef", lambda spec: spec.script.commit),
        ("script.tag", "v1", lambda spec: spec.script.commit),
        ("container.image", "cuda", lambda spec: spec.container.image),
        ("execution.docker_cmd", "cuda", lambda spec: spec.container.image),
        ("output.destination", "s3://x", lambda spec: spec.output_uri),
        ("type", "testing", lambda spec: spec.task_type),
        ("retries", 2, lambda spec: spec.retries),
        ("hardware.gpus", 2, lambda spec: spec.hardware.gpus),
        ("tags", ["a"], lambda spec: spec.tags),
    ],
)
def test_fields_are_set_by_clearmls_names_and_ours(path: str, value: Any, read: Any) -> None:
    assert read(with_fields(BASE, {path: value}, "step")) == value


def test_requirements_may_be_one_text() -> None:
    spec = with_fields(BASE, {"script.requirements.pip": "numpy==2\n\n torch\n"}, "step")
    assert [line.strip() for line in spec.script.requirements] == ["numpy==2", "torch"]


@pytest.mark.parametrize("override", [{"script.none": 1}, {"none": 1}, {"retries": "many"}, {"script.branch": [1]}])
def test_an_override_that_does_not_fit_names_step_and_path(override: dict[str, Any]) -> None:
    with pytest.raises(PipelineError, match=rf"step 'fit'.*{next(iter(override))}"):
        with_fields(BASE, override, "fit")


def changed(**changes: Any) -> TaskSpec:
    return BASE.model_copy(update=changes)


def key(spec: TaskSpec) -> str:
    return cache_key(spec, lambda text: text)


def test_the_key_depends_on_what_the_outcome_does_and_on_nothing_else() -> None:
    same = [
        changed(name="other", project="p", tags=["t"], comment="said", user="ada", retries=3, time_limit=9.0),
        changed(script=BASE.script.model_copy(update={"requirements": ["torch"], "branch": "dev"})),
        changed(parameters=[*BASE.parameters, Parameter(name="properties/version", value="2")]),
    ]
    other = [
        changed(script=BASE.script.model_copy(update={"commit": "beef"})),
        changed(script=BASE.script.model_copy(update={"diff": "+x"})),
        changed(script=BASE.script.model_copy(update={"entry_point": "b.py"})),
        changed(container=Container(image="cuda")),
        changed(parameters=[Parameter(name="Args/rate", value="0.2", type="float")]),
        changed(configurations=[]),
    ]
    assert {key(spec) for spec in same} == {key(BASE)}
    assert len({key(BASE), *map(key, other)}) == len(other) + 1


def test_code_that_is_not_pinned_down_has_no_key_and_a_lone_script_has() -> None:
    assert key(changed(script=BASE.script.model_copy(update={"commit": ""}))) == ""
    assert key(changed(script=Script(source="print()", entry_point="a.py"))) != ""


def test_an_artifact_passed_on_counts_by_its_content() -> None:
    def of(task: str, contents: dict[str, str]) -> str:
        parameters = [Parameter(name="kwargs_artifacts/data", value=task)]
        return cache_key(changed(parameters=parameters), lambda text: contents[text])

    contents = {"t1.data": "ab", "t2.data": "ab", "t3.data": "cd"}
    assert of("t1.data", contents) == of("t2.data", contents) != of("t3.data", contents)
