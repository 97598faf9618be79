"""Headers as one byte string, as the embedded log keeps them: each name and content after its length (32 bit)."""

from __future__ import annotations

import struct

from .port import Headers

_LENGTH = struct.Struct("<I")


def pack(headers: Headers) -> bytes | None:
    """Bytes of the headers; None for none."""
    parts = [part for name, content in headers for part in (name.encode(), bytes(content))]
    return b"".join(_LENGTH.pack(len(part)) + part for part in parts) or None


def unpack(packed: bytes | None) -> Headers:
    """Inverse of `pack`."""
    parts, start, packed = [], 0, packed or b""
    while start < len(packed):
        (length,) = _LENGTH.unpack_from(packed, start)
        start += _LENGTH.size
        parts.append(packed[start : start + length])
        start += length
    return tuple((name.decode(), content) for name, content in zip(parts[::2], parts[1::2], strict=True))
