"""Tab: hyper-parameters by section, configuration objects, user properties."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Final

import pandas as pd
import streamlit as st

from ..events.parts import Configuration, Parameter
from ..projections.rows import TaskRow
from .columns import shown_parameter
from .formatting import markdown, one_line
from .source import queries
from .widgets import nothing

_LONGEST: Final = 500
_LANGUAGES: Final = {".json": "json", ".yaml": "yaml", ".yml": "yaml", ".toml": "toml", ".ini": "ini"}


def draw(task: TaskRow) -> None:
    """Draw a task's parameters and configurations."""
    with queries() as asked:
        parameters, configurations = asked.parameters(task.id), asked.configurations(task.id)
    if not parameters and not configurations:
        nothing("No parameters. A script connects them with:", 'options = task.connect({"lr": 0.1})', "python")
    wanted = _search(parameters)
    for section, found in groupby(sorted(wanted, key=_section), key=_section):
        st.markdown(f"**{markdown(section)}**")
        st.dataframe(_frame(list(found)), hide_index=True, placeholder="", key=f"parameters-{section}")
    for configuration in configurations:
        _configuration(configuration)


def _search(parameters: Sequence[Parameter]) -> list[Parameter]:
    text = ""
    if len(parameters) > 10:  # noqa: PLR2004  fewer are seen at a glance
        text = st.text_input(
            "Search parameters",
            key="parameters-search",
            placeholder="Search parameters",
            icon=":material/search:",
            label_visibility="collapsed",
        ).casefold()
    return [p for p in parameters if text in p.name.casefold() or text in p.value.casefold()]


def _section(parameter: Parameter) -> str:
    return parameter.name.partition("/")[0]


def _frame(parameters: Sequence[Parameter]) -> pd.DataFrame:
    rows = [
        {
            "Name": one_line(p.name.partition("/")[2], 200),
            "Value": one_line(shown_parameter(p.value), _LONGEST),
            "Type": one_line(p.type, 60),
            "Description": one_line(p.description, _LONGEST),
        }
        for p in parameters
    ]
    frame = pd.DataFrame(rows)
    return frame if frame["Description"].any() else frame.drop(columns="Description")


def _configuration(configuration: Configuration) -> None:
    lines = configuration.text.count("\n") + 1
    with st.expander(f"**{markdown(configuration.name)}** :gray[{lines:,} lines]", icon=":material/description:"):
        if configuration.description:
            st.caption(markdown(configuration.description, 1000))
        language = "json" if configuration.type == "dict" else _LANGUAGES.get(configuration.suffix)
        st.code(configuration.text, language=language, wrap_lines=True)
