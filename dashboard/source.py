"""The one place where pages ask: queries to the projection, and what lies in the blob store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import streamlit as st

from ..events.blobs import open_blob_store
from ..events.errors import BlobError, TasktapeError
from ..events.parts import BlobRef
from ..events.settings import load_settings
from ..projections.query import Queries
from .holder import Holder

MOST_BYTES: Final = 50_000_000
"""What a page loads of one blob at most; browsers choke on more."""


@st.cache_resource(show_spinner="Opening the log", on_release=lambda held: held.close())
def holder() -> Holder:
    """The projection of this process, shared by all its sessions."""
    return Holder(load_settings())


@contextmanager
def queries() -> Iterator[Queries]:
    """Queries for one page; what can't be answered is said on the page, whose drawing ends there."""
    try:
        with holder().queries() as asked:
            yield asked
    except TasktapeError as error:
        st.error(str(error), icon=":material/cloud_off:")
        st.stop()


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
