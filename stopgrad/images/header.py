"""What the first bytes of an image tell."""

from typing import NamedTuple


class Header(NamedTuple):
    """An image's shape, after EXIF rotation and with palette and alpha resolved."""

    width: int
    height: int
    channels: int
    bits: int
    """8 or 16 a sample, as they will be held."""
