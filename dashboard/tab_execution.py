"""Tab: what ran and where: repository, commit, uncommitted changes, packages, container, each run and its machine."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from ..events.parts import Container, Script, TaskSpec
from ..projections.rows import RunRow, TaskRow
from . import navigation as to
from .formatting import duration, local_time, markdown, one_line, status_look
from .source import blob_text, queries
from .widgets import STATUS_COLORS, STATUS_LABELS, fact, nothing, zone


def draw(task: TaskRow) -> None:
    """Draw how a task was and is executed."""
    with queries() as asked:
        spec, runs = asked.spec(task.id), asked.runs(task.id)
    if task.comment:
        st.markdown(markdown(task.comment, 2000))
    if spec is None:
        nothing("Nothing is known of its code.")
    else:
        _script(spec.script)
        _container(spec.container)
        _more(task, spec)
    _runs(runs)


def _script(script: Script) -> None:
    left, right = st.columns(2)
    with left:
        fact("Repository", _repository(script))
        fact("Commit", script.commit)
    with right:
        fact("Entry point", " ".join((script.entry_point, *script.arguments)).strip())
        fact("Branch", script.branch)
    diff = script.diff or (
        blob_text(script.diff_blob.uri, script.diff_blob.size, script.diff_blob.sha256) if script.diff_blob else ""
    )
    if diff:
        _code(f"Uncommitted changes :gray[{_lines(diff)}]", diff, "diff", ":material/difference:")
    if script.source:
        _code(f"Script :gray[{_lines(script.source)}]", script.source, "python", ":material/code:")
    if script.requirements:
        text = "\n".join(script.requirements)
        _code(
            f"Packages :gray[{len(script.requirements)}, Python {markdown(script.python_version or '?')}]",
            text,
            None,
            ":material/deployed_code:",
        )


def _repository(script: Script) -> str:
    """Where the code is, or how it travels where no remote has it."""
    if script.repository:
        return script.repository + (", with commits of its own in a bundle" if script.bundle else "")
    if script.bundle:
        return "without a remote: its commit travels in a bundle"
    return "none: the script travels whole" if script.source else ""


def _lines(text: str) -> str:
    return f"{len(text.splitlines()):,} lines"


def _code(label: str, text: str, language: str | None, icon: str) -> None:
    with st.expander(label, icon=icon):
        st.code(text, language=language, wrap_lines=False)


def _container(container: Container) -> None:
    if container.image:
        fact("Container", f"{container.image} {container.arguments}".strip())


def _more(task: TaskRow, spec: TaskSpec) -> None:
    if spec.environment:
        text = "\n".join(f"{name}={value}" for name, value in spec.environment.items())
        _code("Environment variables", text, None, ":material/tune:")
    if spec.hardware:
        fact("Needs", str(spec.hardware))
    if task.output_uri:
        fact("Output", task.output_uri)
    if task.parent:
        to.link(to.TASK, "Parent task", {"task": task.parent}, icon=":material/arrow_upward:")


def _runs(runs: Sequence[RunRow]) -> None:
    if not runs:
        return
    st.markdown("**Runs**")
    config = st.column_config
    st.dataframe(
        pd.DataFrame([_run(run) for run in reversed(runs)]),
        hide_index=True,
        placeholder="",
        key="runs",
        column_config={
            "Status": config.MultiselectColumn(options=STATUS_LABELS, color=STATUS_COLORS, width=110),
        },
    )
    last = runs[-1]
    if last.traceback:
        st.markdown("**Traceback**")
        st.code(last.traceback, language="python", wrap_lines=True)
    if last.machine:
        with st.expander("Machine", icon=":material/memory:"):
            st.dataframe(
                pd.DataFrame(last.machine.items(), columns=["Name", "Value"]),
                hide_index=True,
                placeholder="",
                key="machine",
            )


def _run(run: RunRow) -> dict[str, object]:
    seconds = (run.ended_at - run.started_at).total_seconds() if run.ended_at and run.started_at else None
    return {
        "Run": run.run,
        "Status": [status_look(run.status).label],
        "Started": local_time(run.started_at, zone()),
        "Runtime": duration(seconds),
        "Worker": one_line(run.worker, 80) or "here",
        "Exit code": "" if run.exit_code is None else str(run.exit_code),
        "Why": one_line(" · ".join(part for part in (run.reason, run.message) if part), 300),
    }
