"""Setting images upright, as EXIF says how they were taken."""

import numpy as np
from PIL import Image

from stopgrad.images.planes import Planes

TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation → what sets the image upright; from 5 on height and width are exchanged."""


def turned(planes: Planes, orientation: int) -> Planes:
    """Return ``planes`` (C, H, W) set upright; orientation 1, and one that EXIF does not know, change nothing."""
    if orientation not in TURNS:
        return planes
    return np.stack([np.asarray(Image.fromarray(np.ascontiguousarray(p)).transpose(TURNS[orientation])) for p in planes])
