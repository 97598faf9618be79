"""The one place where the dashboard asks: queries to the projection, and what lies in the blob store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import streamlit as st

from ..events.blobs import open_blob_store
from ..events.errors import BlobError
from ..events.parts import BlobRef

if TYPE_CHECKING:
    from ..projections.query import Queries

MOST_BYTES: Final = 50_000_000
"""What a page loads of one blob at most; browsers choke on more."""


def blob_bytes(uri: str, size: int, sha256: str) -> bytes | None:
    """Content of a blob, verified; None where it can't be had, or is larger than `MOST_BYTES`."""
    if not uri or size > MOST_BYTES:
        return None
    try:
        return _fetched(uri, size, sha256)
    except BlobError:
        return None


def blob_text(uri: str, size: int, sha256: str) -> str:
    """Content of a blob as text; empty where it can't be had."""
    return (blob_bytes(uri, size, sha256) or b"").decode(errors="replace")


@st.cache_data(max_entries=100, show_spinner=False)
def _fetched(uri: str, size: int, sha256: str) -> bytes:
    with open_blob_store(uri).open(BlobRef(uri=uri, size=size, sha256=sha256)) as blob:
        return blob.read()
