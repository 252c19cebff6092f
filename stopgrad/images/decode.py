"""From a file to planes of pixels: the header is checked before anything is decoded, nothing is clipped, nothing is guessed.

Formats: JPEG, PNG, GIF and WebP (first frame), BMP, TIFF, PBM/PGM/PPM by Pillow; 16-bit colour and more than three channels by the
optional group ``deep``; .npy. The content decides, not the name's ending. Palettes become RGB, transparent parts are laid over white,
CMYK becomes RGB, EXIF rotation is applied, 16-bit grey keeps its range; everything else is refused with its reason.

What cannot be noticed: flipped bits inside a JPEG's scan decode to other pixels without an error, in every decoder.
"""

import io
import os
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Protocol

import numpy as np

from stopgrad.images import deep, npy, with_pillow
from stopgrad.images.bad import BadImage
from stopgrad.images.header import Header, too_large
from stopgrad.images.planes import Planes, deepen, reduce_planes, reduced_size, refusal, to_channels
from stopgrad.images.tiff import needs_deep, read_tags

__all__ = ["BadImage", "Header", "decode", "deepen", "header", "quiet_decoders", "reduced_size"]


def header(file: Path | bytes | IO[bytes]) -> Header:
    """Return what an image's first bytes tell; a stream is closed. Raises BadImage for what is no image, or none that is read."""
    with _reader(file) as reader:
        return reader.header


def decode(file: Path | bytes, channels: int, max_pixels: int, short_side: int | None) -> Planes:
    """Return an image as (channels, H, W), uint8 or uint16, C-contiguous, its shorter side reduced to ``short_side`` when it is longer.

    Grey is repeated to 3 channels, RGB made grey (ITU-R BT.601) for 1; other changes of channels are refused. Raises BadImage with the
    reason, before decoding for an image of more than ``max_pixels``.
    """
    with _reader(file) as reader:
        if reason := too_large(reader.header, max_pixels) or refusal(reader.header.channels, channels):
            raise BadImage(reason)
        with _decoder_errors():
            planes = reader.read(channels, short_side)
    return np.ascontiguousarray(to_channels(reduce_planes(planes, short_side), channels))


@contextmanager
def quiet_decoders() -> Iterator[None]:
    """Silence Pillow's warnings (odd metadata; its own size limit, ours is ``max_pixels``) in all threads.

    Warning filters belong to the process: enter this once around the threads that decode, not in each.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield


class _Reader(Protocol):
    header: Header

    def read(self, channels: int, short_side: int | None) -> Planes:
        """Return (C, H, W) at full size, or reduced; C is ``header.channels``, or 1 where ``channels`` is."""


@contextmanager
def _reader(file: Path | bytes | IO[bytes]) -> Iterator[_Reader]:
    """Open a file and choose its reader by its first bytes."""
    with _decoder_errors():
        stream: IO[bytes] = io.BytesIO(file) if isinstance(file, bytes) else _open(file) if isinstance(file, Path) else file
    with stream:
        with _decoder_errors():
            reader = _choose(stream)
        yield reader


def _open(path: Path) -> IO[bytes]:
    if not stat.S_ISREG(os.stat(path).st_mode):  # opening a named pipe would wait for ever
        raise BadImage("not a regular file")
    return open(path, "rb")


def _choose(stream: IO[bytes]) -> _Reader:
    start = stream.read(32)
    stream.seek(0)
    if not start:
        raise BadImage("empty file")
    if start.startswith(npy.MAGIC):
        return npy.Npy(stream)
    if start[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        tags = read_tags(stream)
        deeper = needs_deep(tags)
        stream.seek(0)
        return deep.DeepTiff(stream, tags) if deeper else with_pillow.Tiff(stream)
    kind = with_pillow.opener(start)
    if kind is with_pillow.Png and start[24] == 16 and start[25] != 0:  # IHDR: bit depth, colour type (0 is grey)
        plain = with_pillow.Png(stream)
        return deep.DeepPng(stream, *plain.image.size, 3 if start[25] & 2 else 1, plain.orientation())
    if kind is None:
        raise BadImage(f"no image that is read: it begins with {start[:8]!r}")
    return kind(stream)


@contextmanager
def _decoder_errors() -> Iterator[None]:
    """Turn what decoders raise into BadImage with their reason."""
    try:
        yield
    except (*with_pillow.ERRORS, *deep.ERRORS, *npy.ERRORS) as error:
        text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise BadImage(text or type(error).__name__) from error
