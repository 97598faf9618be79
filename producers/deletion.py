"""What goes with a task when it is deleted: the blobs that it alone names."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..events.blobs import address, open_blob_store
from ..events.named_sql import load_sql
from ..events.parts import BlobRef
from ..projections.rows import ArtifactRow, ModelFilter, ModelRow, ReportRow

if TYPE_CHECKING:
    from ..projections.query import Queries

_SQL: Final = Path(__file__).with_suffix(".sql")


def own_blobs(queries: Queries, task: str, *, models: bool = True) -> list[BlobRef]:
    """References to the blobs that this task names and no other, of artifacts, plots, media and its output models.

    What lies elsewhere than in a blob store, such as weights that were only registered, is the user's and left out.
    """
    rows: list[ArtifactRow | ModelRow | ReportRow] = [
        *queries.artifacts(task),
        *queries.plots(task),
        *queries.media(task),
        *(row for row in queries.models(ModelFilter(task=task)) if models and row.direction == "output"),
    ]
    refs = {row.uri: BlobRef(uri=row.uri, size=row.size, sha256=row.sha256) for row in rows if _is_blob(row)}
    for uri in _named_elsewhere(queries, task, refs):
        refs.pop(uri, None)
    return list(refs.values())


def remove(ref: BlobRef) -> None:
    """Delete a blob. Raises `BlobError` where its store can't be reached."""
    open_blob_store(ref.uri).delete(ref)


def _is_blob(row: ArtifactRow | ModelRow | ReportRow) -> bool:
    name = row.uri.rpartition("/")[2]
    return bool(row.sha256) and row.uri.endswith("/" + address(row.sha256, name))


def _named_elsewhere(queries: Queries, task: str, uris: Iterable[str]) -> list[str]:
    listed = ", ".join(map(_quoted, uris))
    if not listed:
        return []
    found = queries.sql(load_sql(_SQL)["named_elsewhere"].format(task=_quoted(task), uris=listed))
    return [str(uri) for uri in found.column("uri").to_pylist()]


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
