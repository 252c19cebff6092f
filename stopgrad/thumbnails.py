"""Small pictures for the report: from the name in a run's embeddings to the image, through the run's own source."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from stopgrad.config import Data
from stopgrad.images.bad import BadImage
from stopgrad.images.place import reachable
from stopgrad.images.source import Source
from stopgrad.images.sources import open_splits
from stopgrad.runs import RunDirectory


def thumbnails() -> Callable[[Path, str], Image.Image | None]:
    """Return what the report asks for a picture: (run directory, name in its embeddings) to an 8-bit image, or None where there is none."""

    @cache
    def places(run: Path) -> tuple[Data, dict[str, tuple[Source, int]]]:
        data = RunDirectory(run).read_config().data
        if not reachable(data.source):
            return data, {}
        found = {part.names[i]: (part, i) for part in open_splits(data.source, data.labels) if part is not None for i in range(len(part))}
        return data, found

    def thumbnail(run: Path, name: str) -> Image.Image | None:
        data, found = places(run)
        if name not in found:
            return None
        source, i = found[name]
        try:
            pixels = source.read(i, data)
        except BadImage:
            return None  # the page shows the name in its place
        return _shown(pixels)

    return thumbnail


def _shown(pixels: np.ndarray) -> Image.Image:
    """Return (C, H, W) uint8 or uint16 as a picture: 16 bits stretched from darkest to brightest, the first three of many channels."""
    if pixels.dtype == np.uint16:
        low, high = int(pixels.min()), int(pixels.max())
        pixels = ((pixels.astype(np.float32) - low) * (255 / max(high - low, 1))).astype(np.uint8)
    if pixels.shape[0] in (1, 2):
        return Image.fromarray(pixels[0])
    return Image.fromarray(np.ascontiguousarray(pixels[:3].transpose(1, 2, 0)))
