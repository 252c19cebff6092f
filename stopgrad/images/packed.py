"""A pack: images that ``stopgrad pack`` decoded once, in a file that is mapped into memory as it lies.

The folder holds ``pack.json`` (``Manifest``) and, for each part, ``pixels.bin``, one flat buffer as ``Pool`` has it (planar, one image behind
the other, uint16 little-endian), and ``index.parquet``: name (bytes, as the file system has it), label, offset (in samples), height, width.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stopgrad.config import Data
from stopgrad.errors import UserError
from stopgrad.images.header import Header
from stopgrad.images.packs import AGAIN, INDEX, MANIFEST, PARTS, PIXELS, from_record, numbers, read_index, read_labels, refuse_damaged
from stopgrad.images.planes import Planes
from stopgrad.images.source import Mapped, Names, Source, Splits, as_wanted, digest_of

PLACES = {"offset": "int64", "height": "int64", "width": "int64"}
"""Columns of the index, with their types, besides the name and the label."""
DTYPES: Mapping[str, np.dtype[Any]] = {"uint8": np.dtype("u1"), "uint16": np.dtype("<u2")}


@dataclass(frozen=True, kw_only=True)
class Part:
    """What pack.json says of a part."""

    images: int
    dtype: str
    """uint8 or uint16."""
    bytes: int
    """Of pixels.bin."""
    pixels_sha256: str
    index_sha256: str


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """pack.json."""

    form: int
    short_side: int
    """Images whose shorter side was longer were reduced to this."""
    channels: int
    classes: tuple[str, ...] | None
    parts: Mapping[str, Part]
    """train and, where there is one, test."""


@dataclass(frozen=True, eq=False, kw_only=True)
class PackedSource(Source):
    """A part of a pack. Its map is opened when first needed, in every process for itself, and all share its pages."""

    folder: Path
    channels: int
    dtype: np.dtype[Any]
    offsets: NDArray[np.int64]
    heights: NDArray[np.int64]
    widths: NDArray[np.int64]
    digests: tuple[str, str]
    """SHA-256 of pixels.bin and index.parquet when they were written."""

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_flat"}

    def fingerprint(self) -> str:
        """Return a hex digest of the pixels, names and labels as they were packed; no pixel is read for it."""
        digest = hashlib.sha256(" ".join(self.digests).encode())
        if self.labels is not None:
            digest.update(self.labels.astype("<i8").tobytes())
        return digest.hexdigest()

    def sizes(self) -> NDArray[np.int64]:
        """Return the bytes of every decoded image."""
        return self.heights * self.widths * self.channels * self.dtype.itemsize

    def header(self, i: int) -> Header:
        """Return what the index says."""
        return Header(int(self.widths[i]), int(self.heights[i]), self.channels, 8 * self.dtype.itemsize)

    def headers(self) -> NDArray[np.int64]:
        """Return what the index says of all images."""
        same = np.full(len(self), 1, dtype=np.int64)
        return np.stack([self.widths, self.heights, same * self.channels, same * 8 * self.dtype.itemsize], axis=1)

    def read(self, i: int, data: Data) -> Planes:
        """Return the image with the channels and size that ``data`` asks for."""
        return as_wanted(self._image(i), data)

    def digest(self, i: int) -> bytes:
        """Return the SHA-256 of the pixels and their shape."""
        return digest_of(self._image(i))

    def mapped(self) -> Mapped:
        """Return the map and where the images lie in it."""
        return Mapped(str(self.folder.parent), self._flat, self.offsets, self.heights, self.widths, self.channels)

    def _image(self, i: int) -> Planes:
        start, height, width = int(self.offsets[i]), int(self.heights[i]), int(self.widths[i])
        return self._flat[start : start + self.channels * height * width].reshape(self.channels, height, width)

    @cached_property
    def _flat(self) -> Planes:
        """The map; copy on write, because torch warns of memory that must not be written."""
        try:
            return np.asarray(np.memmap(self.folder / PIXELS, self.dtype, mode="c"))
        except OSError as error:
            raise UserError(f"{self.folder / PIXELS}: cannot be mapped ({error.strerror or error}); {AGAIN}") from None


def open_pack(folder: Path, name: str) -> Splits:
    """Return the parts of a pack, with the labels it was packed with.

    The form, the sizes of the files and where images lie are checked. The digests are not: reading all pixels takes too long, so that pixels
    changed in place go unnoticed (``sha256sum`` compares them). Raises UserError naming the file that is missing, damaged or of another form.
    """
    manifest = _manifest(folder / MANIFEST)
    train = _source(folder / PARTS[0], manifest, name)
    return Splits(train, _source(folder / PARTS[1], manifest, f"{name} (test)") if PARTS[1] in manifest.parts else None)


def _manifest(file: Path) -> Manifest:
    manifest = from_record(file, _made)
    parts = manifest.parts
    numbers = [manifest.channels, manifest.short_side, *(n for part in parts.values() for n in (part.images, part.bytes))]
    refuse_damaged(file, parts, numbers, [text for part in parts.values() for text in (part.pixels_sha256, part.index_sha256)])
    if any(part.dtype not in DTYPES for part in parts.values()):
        raise UserError(f"{file}: damaged (pixels of a type that no pack has); {AGAIN}")
    return manifest


def _made(record: dict[str, Any]) -> Manifest:
    classes = None if record["classes"] is None else tuple(map(str, record["classes"]))
    return Manifest(**{**record, "parts": {part: Part(**said) for part, said in record["parts"].items()}, "classes": classes})


def _source(folder: Path, manifest: Manifest, name: str) -> PackedSource:
    said = manifest.parts[folder.name]
    dtype = DTYPES[said.dtype]
    pixels = folder / PIXELS
    size = pixels.stat().st_size if pixels.is_file() else 0
    if size != said.bytes:
        raise UserError(f"{pixels}: {size} bytes, and {MANIFEST} says {said.bytes}: truncated or replaced; {AGAIN}")
    table = read_index(folder / INDEX, PLACES)
    offsets, heights, widths = (numbers(table[column]) for column in PLACES)
    _check(offsets, heights, widths, manifest.channels, size // dtype.itemsize, folder / INDEX)
    labels = read_labels(table, said.images, manifest.classes, folder / INDEX)
    return PackedSource(
        name=name,
        names=Names(table["name"].to_pylist()),
        labels=labels,
        classes=None if labels is None else manifest.classes,
        folder=folder,
        channels=manifest.channels,
        dtype=dtype,
        offsets=offsets,
        heights=heights,
        widths=widths,
        digests=(said.pixels_sha256, said.index_sha256),
    )


def _check(offsets: NDArray[np.int64], heights: NDArray[np.int64], widths: NDArray[np.int64], channels: int, samples: int, file: Path) -> None:
    """Raise UserError for an image that does not lie within ``samples``: what renders it reads memory without asking again."""
    within = (offsets >= 0) & (offsets <= samples) & (heights >= 1) & (heights <= samples) & (widths >= 1)
    room = (samples - np.where(within, offsets, 0)) // (channels * np.where(within, heights, 1))
    if not (within & (widths <= room)).all():
        raise UserError(f"{file}: places an image outside {PIXELS}; {AGAIN}")
