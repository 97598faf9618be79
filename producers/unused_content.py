"""Removing the file behind one artifact or model, unless something else names the same content."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..events.blobs import open_blob_store
from ..events.named_sql import load_sql

if TYPE_CHECKING:
    from ..events.parts import BlobRef
    from .session import Session

_SQL: Final = Path(__file__).with_suffix(".sql")


def delete_unused(session: Session, ref: BlobRef) -> None:
    """Delete a blob that nothing names any more; that it is gone from where it was named was said before.

    Content that was only noted where it lies, and never stored, is the user's and left alone.
    Raises `TasktapeError` where the log or the store does not answer.
    """
    if ref.sha256 and not _uses(session, ref.uri):
        open_blob_store(ref.uri).delete(ref)


def _uses(session: Session, uri: str) -> int:
    quoted = "'" + uri.replace("'", "''") + "'"
    with session.queries() as queries:
        return int(queries.sql(load_sql(_SQL)["uses"].format(uri=quoted)).column("uses")[0].as_py())
