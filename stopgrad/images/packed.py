"""A pack: images that ``stopgrad pack`` decoded once, in a file that is mapped into memory as it lies.

The folder holds ``pack.json`` (``Manifest``) and, for each part, ``pixels.bin``, one flat buffer as ``Pool`` has it (planar, one image behind
the other, uint16 little-endian), and ``index.parquet``: name (bytes, as the file system has it), label, offset (in samples), height, width.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stopgrad.config import Data
from stopgrad.errors import UserError
from stopgrad.images.header import Header
from stopgrad.images.planes import Planes
from stopgrad.images.source import Labels, Mapped, Names, Source, Splits, as_wanted, digest_of

if TYPE_CHECKING:
    import pyarrow

FORM = 1
"""Version of the written form; raised when it changes."""
MANIFEST, PIXELS, INDEX, BAD = "pack.json", "pixels.bin", "index.parquet", "bad_images.jsonl"
PARTS = ("train", "test")
COLUMNS = {"name": "binary", "label": "int64", "offset": "int64", "height": "int64", "width": "int64"}
"""Of the index, with their types; the labels are null where there are none."""
DTYPES: Mapping[str, np.dtype[Any]] = {"uint8": np.dtype("u1"), "uint16": np.dtype("<u2")}

_AGAIN = "pack the images again"


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
            raise UserError(f"{self.folder / PIXELS}: cannot be mapped ({error.strerror or error}); {_AGAIN}") from None


def holds_pack(folder: Path) -> bool:
    """Return whether a folder holds a pack, by its files' names."""
    return (folder / MANIFEST).is_file() and any((folder / PARTS[0] / name).exists() for name in (PIXELS, INDEX))


def open_pack(folder: Path, name: str) -> Splits:
    """Return the parts of a pack, with the labels it was packed with.

    The form, the sizes of the files and where images lie are checked. The digests are not: reading all pixels takes too long, so that pixels
    changed in place go unnoticed (``sha256sum`` compares them). Raises UserError naming the file that is missing, damaged or of another form.
    """
    manifest = _manifest(folder / MANIFEST)
    train = _source(folder / PARTS[0], manifest, name)
    return Splits(train, _source(folder / PARTS[1], manifest, f"{name} (test)") if PARTS[1] in manifest.parts else None)


def _manifest(file: Path) -> Manifest:
    try:
        record = json.loads(file.read_bytes())
        form = record["form"]
        if form != FORM:
            remedy = f"{_AGAIN} with it, or use the version that wrote this"
            raise UserError(f"{file}: a pack of form {form!r}, this version of stopgrad reads form {FORM}; {remedy}")
        parts = {part: Part(**said) for part, said in record["parts"].items()}
        classes = None if record["classes"] is None else tuple(map(str, record["classes"]))
        manifest = Manifest(**{**record, "parts": parts, "classes": classes})
    except UserError:
        raise
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"{file}: cannot be read ({type(error).__name__}: {error}); {_AGAIN}") from None
    numbers = [manifest.channels, manifest.short_side, *(n for part in parts.values() for n in (part.images, part.bytes))]
    texts = [text for part in parts.values() for text in (part.dtype, part.pixels_sha256, part.index_sha256)]
    right = all(type(n) is int and n > 0 for n in numbers) and all(type(text) is str for text in texts)
    if not right or any(part.dtype not in DTYPES for part in parts.values()) or parts.keys() not in ({PARTS[0]}, set(PARTS)):
        raise UserError(f"{file}: damaged (it names other parts, types or numbers than a pack has); {_AGAIN}")
    return manifest


def _source(folder: Path, manifest: Manifest, name: str) -> PackedSource:
    said = manifest.parts[folder.name]
    dtype = DTYPES[said.dtype]
    pixels = folder / PIXELS
    size = pixels.stat().st_size if pixels.is_file() else 0
    if size != said.bytes:
        raise UserError(f"{pixels}: {size} bytes, and {MANIFEST} says {said.bytes}: truncated or replaced; {_AGAIN}")
    table = _index(folder / INDEX)
    offsets, heights, widths = (_numbers(table[column]) for column in ("offset", "height", "width"))
    labels, classes = _labels(table), manifest.classes or ()
    _check(offsets, heights, widths, manifest.channels, size // dtype.itemsize, folder / INDEX)
    if len(table) != said.images or (labels is not None and not 0 <= labels.min() <= labels.max() < len(classes)):
        raise UserError(f"{folder / INDEX}: {len(table)} images, or their labels, are not what {MANIFEST} says; {_AGAIN}")
    return PackedSource(
        name=name,
        names=Names(table["name"].to_pylist()),
        labels=labels,
        classes=None if labels is None else classes,
        folder=folder,
        channels=manifest.channels,
        dtype=dtype,
        offsets=offsets,
        heights=heights,
        widths=widths,
        digests=(said.pixels_sha256, said.index_sha256),
    )


def _index(file: Path) -> "pyarrow.Table":
    """Return the index, with the columns and types it must have. Raises UserError."""
    import pyarrow  # slow to import, and only a pack needs it
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(file)
    except (OSError, pyarrow.ArrowException) as error:
        raise UserError(f"{file}: cannot be read ({' '.join(str(error).split())}); {_AGAIN}") from None
    found = {field.name: str(field.type) for field in table.schema}
    if found != COLUMNS or any(table[column].null_count for column in COLUMNS if column != "label"):
        raise UserError(f"{file}: its columns are not those of a pack ({', '.join(COLUMNS)}, all filled); {_AGAIN}")
    return table


def _labels(table: "pyarrow.Table") -> Labels | None:
    """Return the labels, -1 for one that is missing among others; None when all are."""
    column = table["label"]
    return None if column.null_count == len(column) else _numbers(column.fill_null(-1))


def _numbers(column: "pyarrow.ChunkedArray") -> NDArray[np.int64]:
    """Return a column without nulls; a copy, for Arrow's own memory must not be written, of which torch warns."""
    numbers: NDArray[np.int64] = column.to_numpy()
    return numbers.copy()


def _check(offsets: NDArray[np.int64], heights: NDArray[np.int64], widths: NDArray[np.int64], channels: int, samples: int, file: Path) -> None:
    """Raise UserError for an image that does not lie within ``samples``: what renders it reads memory without asking again."""
    within = (offsets >= 0) & (offsets <= samples) & (heights >= 1) & (heights <= samples) & (widths >= 1)
    room = (samples - np.where(within, offsets, 0)) // (channels * np.where(within, heights, 1))
    if not (within & (widths <= room)).all():
        raise UserError(f"{file}: places an image outside {PIXELS}; {_AGAIN}")
