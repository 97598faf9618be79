"""Tab: artifacts and models of a task: what they are, where they lie, how to know them, and a preview."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pandas as pd
import streamlit as st

from ..projections.rows import ArtifactRow, ModelFilter, ModelRow, TaskRow
from .formatting import local_time, markdown, one_line, size
from .source import queries
from .widgets import fact, nothing, zone

_EXAMPLE: Final = 'task.upload_artifact("predictions", data_frame)'
_PREVIEW: Final = 20_000


def draw(task: TaskRow) -> None:
    """Draw a task's artifacts and models."""
    with queries() as asked:
        artifacts, models = asked.artifacts(task.id), asked.models(ModelFilter(task=task.id))
    if not artifacts and not models:
        nothing("No artifacts or models yet. A script keeps what it made with:", _EXAMPLE, "python")
        return
    for direction, label in (("output", "Models made"), ("input", "Models used")):
        _models(label, [model for model in models if model.direction == direction])
    if artifacts:
        st.markdown("**Artifacts**")
    for artifact in artifacts:
        _artifact(artifact)


def _models(label: str, models: Sequence[ModelRow]) -> None:
    if not models:
        return
    st.markdown(f"**{label}**")
    for model in models:
        name = model.attached_as or model.name
        with st.expander(
            f"**{markdown(name)}** :gray[{markdown(model.framework)} {size(model.size)}]",
            icon=":material/model_training:",
        ):
            _where(model.uri, model.size, model.sha256)
            if model.comment:
                fact("Comment", model.comment)
            if model.labels:
                fact("Labels", ", ".join(f"{name}: {place}" for name, place in model.labels.items()))
            if model.design:
                st.code(model.design[:_PREVIEW], language=None, wrap_lines=True)
            _metadata(model.metadata, f"model-{model.id}")


def _artifact(artifact: ArtifactRow) -> None:
    label = f"**{markdown(artifact.name)}** :gray[{markdown(artifact.type)} · {size(artifact.size)}]"
    with st.expander(label, icon=":material/deployed_code:"):
        _where(artifact.uri, artifact.size, artifact.sha256)
        fact("Uploaded", local_time(artifact.uploaded_at, zone()))
        if artifact.preview:
            st.code(artifact.preview[:_PREVIEW], language=None, wrap_lines=True, height=320)
        _metadata(artifact.metadata, f"artifact-{artifact.name}")


def _where(uri: str, length: int, sha256: str) -> None:
    fact("Where", one_line(uri, 300))
    fact("Size and SHA-256", f"{length:,} bytes · {sha256 or 'no hash'}")


def _metadata(metadata: dict[str, str], key: str) -> None:
    if metadata:
        rows = [(one_line(name, 200), one_line(value, 500)) for name, value in metadata.items()]
        st.dataframe(
            pd.DataFrame(rows, columns=["Name", "Value"]), hide_index=True, placeholder="", key=f"metadata-{key}"
        )
