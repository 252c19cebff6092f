"""Outlines of COCO to masks and back. Imports no torch; polygons are drawn, and masks packed, by faster-coco-eval."""

from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stopgrad.errors import UserError

Mask = NDArray[np.uint8]
"""(height, width), 1 where the object is."""

INSTALL = "pip install 'stopgrad[detect]'"


def refuse_without_coco() -> None:
    """Raise UserError when COCO's metrics are not installed. Nothing is imported."""
    if find_spec("faster_coco_eval") is None:
        raise UserError(f"detection on COCO needs faster-coco-eval: {INSTALL}")


def mask_of(outline: Any, height: int, width: int) -> Mask:
    """Return the mask of polygons (a list of x, y, x, y, … in pixels), of run lengths, or of run lengths packed into a string.

    Runs go down the columns, the first one is empty. Raises ValueError for runs that do not fill the image, and corners far outside.
    """
    if isinstance(outline, list):
        return _drawn(outline, height, width)
    counts = outline["counts"]
    runs = np.array(_unpacked(counts) if isinstance(counts, str) else counts, np.int64)
    if (runs < 0).any() or int(runs.sum()) != height * width:
        raise ValueError("its run lengths do not fill the image")
    filled = np.repeat(np.arange(len(runs)) % 2, runs).astype(np.uint8)
    return np.ascontiguousarray(filled.reshape(width, height).T)


def packed(mask: Mask) -> dict[str, Any]:
    """Return a mask as COCO's packed run lengths, as faster-coco-eval and pycocotools take them."""
    from faster_coco_eval import mask as coco

    runs: dict[str, Any] = coco.encode(np.asfortranarray(mask))
    return runs


def _drawn(polygons: list[list[float]], height: int, width: int) -> Mask:
    """Return the union of polygons, by the rule of COCO's own tools, whose pixels decide areas."""
    from faster_coco_eval import mask as coco

    far = 2 * (height + width)
    if any(abs(value) > far for polygon in polygons for value in polygon):
        raise ValueError("a corner of its outline is far outside the image")
    drawn: Mask = coco.decode(coco.merge(coco.frPyObjects(polygons, height, width)))
    return np.ascontiguousarray(drawn)


def _unpacked(text: str) -> list[int]:
    """Return the run lengths in a string: 5 bits a character from 48 up, the lowest first, 32 where more follow; from the fourth run on,
    the difference to the last but one. Raises ValueError for other strings."""
    runs: list[int] = []
    value, shift = 0, 0
    for code in text.encode("ascii", "replace"):
        bits = code - 48
        if not 0 <= bits < 64 or shift > 30:
            raise ValueError("its run lengths are not COCO's")
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:  # a negative difference
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value, shift = 0, 0
    if shift:
        raise ValueError("its run lengths end within a number")
    return runs
