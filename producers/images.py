"""Images as users hold them (files, PIL images, arrays of any layout) as bytes in a format that browsers show."""

from __future__ import annotations

import io
import mimetypes
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from .plots import array

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

PNG: Final = "image/png"
_CHANNELS: Final = (1, 3, 4)
_BYTE: Final = 255


class Payload(NamedTuple):
    """Content with its type and the name it is kept under."""

    data: bytes
    content_type: str
    name: str


def content_type_of(name: str) -> str:
    """Content type that a file's name promises."""
    return mimetypes.guess_type(name)[0] or "application/octet-stream"


def image_payload(image: Any, name: str) -> Payload:
    """PNG of a PIL image or of an array: rows, columns and, first or last, one, three or four channels.

    Floats from 0 to 1 (or from -1 to 1) are stretched to bytes, other floats and integers are clipped to them; True is
    white. NaN is black. Raises `ValueError` for other shapes.
    """
    picture = image if hasattr(image, "save") else _from_array(array(image, what="an image"))
    if picture.mode not in {"1", "L", "LA", "P", "RGB", "RGBA", "I", "I;16"}:
        picture = picture.convert("RGB")
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return Payload(buffer.getvalue(), PNG, f"{name}.png")


def _from_array(pixels: npt.NDArray[np.generic]) -> Any:
    from PIL import Image  # noqa: PLC0415  heavy: only who reports images pays for it

    return Image.fromarray(_as_bytes(_channels_last(pixels)))


def _channels_last(pixels: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    """Rows, columns and three or four channels, or no third dimension for a single channel."""
    if pixels.ndim == 4 and len(pixels) == 1:  # noqa: PLR2004  a batch of one image
        pixels = pixels[0]
    if pixels.ndim == 3 and pixels.shape[2] not in _CHANNELS and pixels.shape[0] in _CHANNELS:  # noqa: PLR2004
        pixels = pixels.transpose(1, 2, 0)
    if pixels.ndim == 3 and pixels.shape[2] == 1:  # noqa: PLR2004  rows, columns, channels
        pixels = pixels[:, :, 0]
    is_image = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in _CHANNELS)  # noqa: PLR2004  the same
    if not is_image or not pixels.size:
        raise ValueError(f"an array of shape {pixels.shape} is no image: (rows, columns) or (rows, columns, channels)")
    return pixels


def _as_bytes(pixels: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    import numpy as np  # noqa: PLC0415  as above

    if pixels.dtype == np.bool_:
        return pixels.astype(np.uint8) * np.uint8(_BYTE)
    if np.issubdtype(pixels.dtype, np.floating):
        pixels = np.nan_to_num(pixels.astype(np.float64), nan=0.0, posinf=_BYTE, neginf=0.0)
        low, high = float(pixels.min()), float(pixels.max())
        if high <= 1.0 and low >= -1.0:
            pixels = (pixels if low >= 0.0 else (pixels + 1.0) / 2.0) * _BYTE
        pixels = pixels.round()
    if pixels.dtype == np.uint16:
        pixels = pixels >> 8
    return np.asarray(np.clip(pixels, 0, _BYTE), np.uint8)
