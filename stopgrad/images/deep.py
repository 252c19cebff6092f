"""Images that Pillow would cut to 8 bits or to four channels, read by tifffile and imagecodecs (the optional group ``deep``)."""

from importlib.util import find_spec
from typing import IO

import numpy as np

from stopgrad.images.bad import BadImage
from stopgrad.images.header import Header
from stopgrad.images.planes import Planes, over_white
from stopgrad.images.tiff import Tags, has_alpha, is_premultiplied, is_white_zero
from stopgrad.images.upright import turned

ERRORS = (RuntimeError, ZeroDivisionError)
"""What imagecodecs (its classes derive from RuntimeError) and tifffile raise on broken data, besides what Pillow does."""


class DeepTiff:
    """The first page of a TIFF of 8- or 16-bit samples, any number of them."""

    def __init__(self, stream: IO[bytes], tags: Tags) -> None:
        _need("tifffile", f"TIFF of {tags.samples} samples of {max(tags.bits)} bits")
        self.stream = stream
        self.tags = tags
        height, width = (tags.width, tags.height) if tags.orientation >= 5 else (tags.height, tags.width)
        self.header = Header(width, height, tags.samples - has_alpha(tags), max(tags.bits))

    def read(self, channels: int, short_side: int | None) -> Planes:
        """Return all planes, (C, H, W), at full size."""
        import tifffile  # only few need it, and it is slow to import

        self.stream.seek(0)
        with tifffile.TiffFile(self.stream) as file:
            page = file.pages[0]
            pixels, axes = page.asarray(maxworkers=1), page.axes
        planes: Planes = {"YX": pixels[None], "SYX": pixels}.get(axes, np.moveaxis(pixels, -1, 0))
        if axes not in ("YX", "SYX", "YXS") or planes.dtype not in (np.uint8, np.uint16):
            raise BadImage(f"TIFF with axes {axes} of {pixels.dtype} is not read")
        if is_white_zero(self.tags):
            planes = np.iinfo(planes.dtype).max - planes
        if has_alpha(self.tags):
            planes = over_white(planes, is_premultiplied(self.tags))
        return _as_said(turned(planes, self.tags.orientation), self.header)


class DeepPng:
    """A 16-bit PNG of colour, with or without alpha, or of grey with alpha."""

    def __init__(self, stream: IO[bytes], width: int, height: int, channels: int, orientation: int) -> None:
        _need("imagecodecs", "16-bit PNG of colour or alpha")
        self.stream = stream
        self.orientation = orientation
        self.header = Header(*((height, width) if orientation >= 5 else (width, height)), channels, 16)

    def read(self, channels: int, short_side: int | None) -> Planes:
        """Return the colour planes, (C, H, W), at full size; alpha is laid over white."""
        import imagecodecs  # as above

        self.stream.seek(0)
        planes: Planes = np.moveaxis(imagecodecs.png_decode(self.stream.read()), -1, 0)
        if len(planes) == self.header.channels + 1:
            planes = over_white(planes)
        return _as_said(turned(planes, self.orientation), self.header)


def _as_said(planes: Planes, header: Header) -> Planes:
    """Return ``planes``; BadImage when two decoders understand the file differently."""
    if planes.shape != (header.channels, header.height, header.width):
        raise BadImage(f"decoded to {planes.shape}, its header says {(header.channels, header.height, header.width)}")
    return planes


def _need(module: str, what: str) -> None:
    if find_spec(module) is None:
        raise BadImage(f"{what} needs the package {module}: pip install 'stopgrad[deep]'")
