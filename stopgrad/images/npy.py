"""A NumPy file as an image: (H, W) or (H, W, C), uint8 or uint16."""

from tokenize import TokenError
from typing import IO

import numpy as np
from numpy.lib.format import read_array_header_1_0, read_array_header_2_0, read_magic

from stopgrad.images.bad import BadImage
from stopgrad.images.header import Header
from stopgrad.images.planes import Planes

MAGIC = b"\x93NUMPY"

ERRORS = (TokenError,)
"""What NumPy raises on a broken header, besides ValueError."""


class Npy:
    """A .npy file. Arrays of objects are refused by their type, before anything could be unpickled."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.stream = stream
        readers = {(1, 0): read_array_header_1_0, (2, 0): read_array_header_2_0}
        version = read_magic(stream)
        if version not in readers:
            raise BadImage(f".npy of version {version} is not read")
        self.shape, fortran, self.dtype = readers[version](stream)
        if self.dtype.newbyteorder("=") not in (np.uint8, np.uint16):
            raise BadImage(f".npy of {self.dtype}: save it as uint8 or uint16")
        if len(self.shape) not in (2, 3) or 0 in self.shape:
            raise BadImage(f".npy of shape {self.shape}: an image is (H, W) or (H, W, C)")
        self.fortran = fortran
        channels = self.shape[2] if len(self.shape) == 3 else 1
        self.header = Header(self.shape[1], self.shape[0], channels, 8 * self.dtype.itemsize)

    def read(self, channels: int, short_side: int | None) -> Planes:
        """Return all planes, (C, H, W), at full size."""
        need = int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize
        content = self.stream.read(need)
        if len(content) < need:
            raise BadImage(f"truncated: {len(content)} of {need} bytes")
        pixels = np.frombuffer(content, self.dtype).astype(self.dtype.newbyteorder("="), copy=False)
        pixels = pixels.reshape(self.shape, order="F" if self.fortran else "C")
        return np.moveaxis(pixels.reshape(*self.shape[:2], self.header.channels), -1, 0)
