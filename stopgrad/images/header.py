"""What the first bytes of an image tell."""

from typing import NamedTuple


class Header(NamedTuple):
    """An image's shape, after EXIF rotation and with palette and alpha resolved."""

    width: int
    height: int
    channels: int
    bits: int
    """8 or 16 a sample, as they will be held."""


def too_large(header: Header, max_pixels: int) -> str | None:
    """Return why an image is refused for its size; None when it is not."""
    if header.width * header.height <= max_pixels:
        return None
    return f"{header.width}x{header.height} pixels are more than data.max_pixels ({max_pixels})"
