"""Thumbnails packed into one picture, so that a page of thousands stays one small file.

Tiles are squares cut from the image's centre (what the backbone sees) and a multiple of 8 pixels wide, with colour at full
resolution: JPEG's blocks then never straddle two tiles, and a tile takes no colour from its neighbour.
"""

import base64
import io
import math
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from PIL import Image, ImageOps

Thumbnail = Callable[[Path, str], Image.Image | None]
"""(run directory, name in its embeddings.parquet) -> the picture, any size, 8 bits a channel; None when it cannot be reached."""

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True)
class Sheet:
    """Square tiles in rows of ``columns``; tile i lies at column ``i % columns`` of row ``i // columns``."""

    uri: str
    """A data URI (JPEG)."""
    tile: int
    columns: int
    rows: int

    def position(self, index: int) -> str:
        """Return the CSS background-position of a tile when the sheet is ``columns`` times as wide as the element."""
        across, down = index % self.columns, index // self.columns
        return f"{100 * across / max(self.columns - 1, 1):.3f}% {100 * down / max(self.rows - 1, 1):.3f}%"


def pack(pictures: Iterable[tuple[K, Image.Image | None]], tile: int, quality: int) -> tuple[Sheet | None, dict[K, int]]:
    """Return the pictures on one sheet and the tile of each key; keys without a picture have none. No sheet when there is no picture."""
    assert tile % 8 == 0
    tiles: dict[K, Image.Image] = {key: _square(picture, tile) for key, picture in pictures if picture is not None}
    if not tiles:
        return None, {}
    columns = math.ceil(math.sqrt(len(tiles)))
    rows = math.ceil(len(tiles) / columns)
    canvas = Image.new("RGB", (columns * tile, rows * tile))
    for i, picture in enumerate(tiles.values()):
        canvas.paste(picture, (i % columns * tile, i // columns * tile))
    content = io.BytesIO()
    canvas.save(content, "JPEG", quality=quality, subsampling="4:4:4", optimize=True)
    uri = "data:image/jpeg;base64," + base64.b64encode(content.getvalue()).decode("ascii")
    return Sheet(uri, tile, columns, rows), {key: i for i, key in enumerate(tiles)}


def _square(picture: Image.Image, side: int) -> Image.Image:
    method = Image.Resampling.LANCZOS if min(picture.size) > side else Image.Resampling.BICUBIC
    return ImageOps.fit(picture.convert("RGB"), (side, side), method)
