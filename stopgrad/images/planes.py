"""Arithmetic on decoded images: planar arrays (…, C, H, W) of uint8 or uint16. Nothing here reads a file."""

import numpy as np
from numpy.typing import NDArray

from stopgrad.images.bad import BadImage

Planes = NDArray[np.uint8 | np.uint16]
"""(C, H, W), or (N, C, H, W) where said."""


def refusal(have: int, want: int) -> str | None:
    """Return why images of ``have`` channels cannot become ``want``; None when they can: the same, grey repeated, or colour made grey."""
    if have == want or (have, want) in ((1, 3), (3, 1)):
        return None
    return f"has {have} channels, data.channels is {want}: only 1 and 3 are turned into each other"


def to_channels(planes: Planes, channels: int) -> Planes:
    """Return ``planes`` (…, C, H, W) with ``channels``: grey is repeated, RGB becomes the luma of ITU-R BT.601.

    The luma is Pillow's, in 16-bit fixed point: (19595 R + 38470 G + 7471 B + 2¹⁵) / 2¹⁶. Raises BadImage for any other pair.
    """
    have = planes.shape[-3]
    if reason := refusal(have, channels):
        raise BadImage(reason)
    if have == channels:
        return planes
    if have == 1:
        return np.repeat(planes, channels, axis=-3)
    r, g, b = (planes[..., i : i + 1, :, :].astype(np.uint32) for i in range(3))
    return ((19595 * r + 38470 * g + 7471 * b + 0x8000) >> 16).astype(planes.dtype)  # at most 65535 · 65536 + 2¹⁵ < 2³²


def reduced_size(height: int, width: int, short_side: int | None) -> tuple[int, int]:
    """Return (height, width) with the shorter side brought down to ``short_side``, the longer in proportion (cut, as torchvision does)."""
    shorter = min(height, width)
    if short_side is None or shorter <= short_side:
        return height, width
    return (short_side, short_side * width // height) if height <= width else (short_side * height // width, short_side)


def reduce_planes(planes: Planes, short_side: int | None) -> Planes:
    """Return ``planes`` (C, H, W) at ``reduced_size``, by Pillow's antialiased bilinear filter on each plane; 16 bits go through float32."""
    height, width = planes.shape[1:]
    size = reduced_size(height, width, short_side)
    if size == (height, width):
        return planes
    from PIL import Image  # here: no answer before the first image should cost its import

    flipped = size[::-1]  # Pillow's sizes are (width, height)
    if planes.dtype == np.uint8:
        return np.stack([np.asarray(Image.fromarray(p).resize(flipped, Image.Resampling.BILINEAR)) for p in planes])
    floats = np.stack([np.asarray(Image.fromarray(p.astype(np.float32)).resize(flipped, Image.Resampling.BILINEAR)) for p in planes])
    words: Planes = np.clip(np.rint(floats), 0, 65535).astype(np.uint16)  # only float32 error can leave the range: the filter's weights are positive
    return words


def over_white(planes: Planes, premultiplied: bool = False) -> Planes:
    """Return ``planes`` (C + 1, H, W), the last being alpha, laid over white: (C, H, W) of the same dtype."""
    top = np.iinfo(planes.dtype).max
    alpha = planes[-1:].astype(np.float64) / top
    colours = planes[:-1].astype(np.float64)
    laid = (colours if premultiplied else colours * alpha) + top * (1 - alpha)
    return np.clip(np.rint(laid), 0, top).astype(planes.dtype)


def deepen(planes: Planes) -> NDArray[np.uint16]:
    """Return 8-bit planes as 16-bit ones of the same brightness (255 · 257 = 65535); 16-bit planes as they are."""
    return planes.astype(np.uint16) * np.uint16(257) if planes.dtype == np.uint8 else planes.astype(np.uint16, copy=False)
