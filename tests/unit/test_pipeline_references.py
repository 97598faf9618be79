"""References between steps: what may be written, what each finds, and that a lone one keeps its type."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from tasktape.events.parts import Artifact, Container, Model, Parameter, Script, TaskSpec
from tasktape.producers.pipelines.errors import BadReferenceError
from tasktape.producers.pipelines.node import Node
from tasktape.producers.pipelines.outcomes import Outcome
from tasktape.producers.pipelines.references import Reference, check, references, resolved

STEPS = {"load": ["data"], "fit": []}
ARGUMENTS = {"rate": 0.5, "my.name": 1}


def outcome() -> Outcome:
    def artifact(name: str) -> Artifact:
        about = {"type": "dict", "size": 7, "sha256": "ab", "metadata": {"rows": "3", "a.b": "4"}}
        return Artifact(name=name, uri=f"mem://{name}", **about)

    def model(name: str) -> Model:
        return Model(id=f"id-{name}", name=name, framework="torch", uri=f"mem://{name}", size=1, sha256="cd")

    spec = TaskSpec(
        project="vision",
        name="fit",
        comment="said",
        tags=["good"],
        script=Script(branch="main", commit="c0ffee"),
        container=Container(image="python:3.12"),
        output_uri="s3://here",
        parameters=[Parameter(name="Args/rate", value="0.5", type="float"), Parameter(name="Args/a.b", value="x")],
    )
    names = ["plain", "with.dot", "a.b.c"]
    return Outcome("t1", spec, {name: artifact(name) for name in names}, {"input": [], "output": [*map(model, "ab")]})


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${fit.id}", "t1"),
        ("${ fit.id }", "t1"),
        ("${fit.artifacts.plain.url}", "mem://plain"),
        ("${fit.artifacts.plain}", "mem://plain"),
        ("${fit.artifacts.plain.hash}", "ab"),
        ("${fit.artifacts.plain.size}", 7),
        ("${fit.artifacts.plain.metadata.rows}", "3"),
        (r"${fit.artifacts.plain.metadata.a\.b}", "4"),
        (r"${fit.artifacts.with\.dot.url}", "mem://with.dot"),
        ("${fit.artifacts.with.dot.url}", "mem://with.dot"),
        ("${fit.artifacts.a.b.c.url}", "mem://a.b.c"),
        ("${fit.parameters.Args/rate}", 0.5),
        ("${fit.parameters.Args/a.b}", "x"),
        ("${fit.models.output.-1.url}", "mem://b"),
        ("${fit.models.Output.0.id}", "id-a"),
        ("${fit.models.output.0.name}", "a"),
        ("${fit.script.branch}", "main"),
        ("${fit.script.version_num}", "c0ffee"),
        ("${fit.container.image}", "python:3.12"),
        ("${fit.output.destination}", "s3://here"),
        ("${fit.comment}", "said"),
        ("${fit.tags}", ["good"]),
        ("${fit.project}", "vision"),
        ("${fit.name}", "fit"),
    ],
)
def test_each_kind_of_reference_finds_what_it_names_with_its_type(text: str, value: object) -> None:
    found = resolved(text, "reader", lambda reference: outcome().value(reference, "reader"))
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "text",
    ["${fit.artifacts.none.url}", "${fit.parameters.Args/none}", "${fit.models.input.0.url}", "${fit.script.none}"],
)
def test_what_is_not_there_is_named_with_the_step_that_asks(text: str) -> None:
    with pytest.raises(BadReferenceError, match="t1") as caught:
        outcome().value(Reference.of(text, "reader"), "reader")
    assert (caught.value.step, caught.value.reference) == ("reader", text)


def valued(values: dict[str, Any]) -> Callable[[Reference], Any]:
    return lambda reference: values[reference.path[0]]


def test_a_reference_within_a_text_is_replaced_by_its_text_each_for_itself() -> None:
    lookup = valued({"a": 1, "b": [2]})
    assert resolved("${pipeline.a}-${pipeline.b}", "r", lookup) == "1-[2]"
    assert resolved(" ${pipeline.a}", "r", lookup) == " 1"
    assert resolved("${pipeline.b}", "r", lookup) == [2]


def test_containers_are_looked_into_where_asked_and_keep_their_kind() -> None:
    value = {"k": ["${pipeline.a}", ("x ${pipeline.a}", 3)], "${pipeline.a}": None}
    assert resolved(value, "r", valued({"a": 1}), deep=True) == {"k": [1, ("x 1", 3)], "${pipeline.a}": None}
    assert resolved(value, "r", valued({"a": 1})) == value


@pytest.mark.parametrize(
    "text",
    [
        "${pipeline.rate}",
        "${pipeline.my.name}",
        "${load.id}",
        "${load.artifacts.x}",
        "${fit.models.INPUT.0.url}",
        "${fit.script.branch}",
    ],
)
def test_what_may_have_a_value_passes_the_check(text: str) -> None:
    check(Reference.of(text, "reader"), "reader", ARGUMENTS, STEPS)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("${pipeline.none}", "no parameter 'none'"),
        ("${none.id}", "no step 'none'"),
        ("${load.data}", "load.artifacts.data.url"),
        ("${load.none}", "neither a return value"),
        ("${fit.data}", "neither a return value"),
        ("${fit.artifacts}", "needs a name"),
        ("${fit.models.output.url}", "models.output.-1.url"),
        ("${fit.models.other.0.url}", "models.output.-1.url"),
    ],
)
def test_what_can_have_no_value_is_told_before_anything_runs(text: str, reason: str) -> None:
    with pytest.raises(BadReferenceError, match=re.escape(reason)):
        check(Reference.of(text, "reader"), "reader", ARGUMENTS, STEPS)


@pytest.mark.parametrize("text", ["${x}", "${}", "${.id}", "${x.}", "${x..y}"])
def test_what_has_no_path_is_no_reference(text: str) -> None:
    with pytest.raises(BadReferenceError, match="step 'reader'"):
        list(references(text, "reader"))


def test_a_step_waits_for_what_it_names_and_what_it_refers_to_in_that_order_and_once() -> None:
    node = Node(
        "n",
        parents=["c"],
        parameters={"General/x": "${a.id} ${c.id}", "General/y": "${pipeline.rate}", "General/z": 3},
        configurations={"c": "${d.id}"},
        task_overrides={"script.branch": "${b.name}"},
        queue="${e.parameters.Args/queue}",
    )
    assert node.needs() == ["c", "a", "e", "d", "b"]


def test_what_stands_inside_containers_refers_to_a_step_only_where_it_is_to_be_parsed() -> None:
    given = {"General/x": ["${a.id}", "${HOME}"]}
    assert Node("n", parameters=given).needs() == []
    parsed = Node("n", parameters={"General/x": {"k": ["${a.id}"]}}, recursively_parse_parameters=True)
    assert parsed.needs() == ["a"]
