"""What every source of images offers."""

import hashlib
import os
import stat
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stopgrad.config import Data
from stopgrad.images.bad import Bad, BadImage, printable
from stopgrad.images.header import Header, too_large
from stopgrad.images.planes import Planes, reduce_planes, refusal, to_channels

Labels = NDArray[np.int64]
Presence = NDArray[np.int8]
"""(images, classes): 1 where the image shows the class, -1 where not, 0 where that is not to be counted."""


class Names(Sequence[str]):
    """Many names in two arrays: a million of them are no Python objects, and travel to a worker process as two buffers.

    ``names[i]`` can be shown (one line of valid UTF-8); ``names.exact(i)`` is the name as the file system has it.
    """

    def __init__(self, names: Iterable[str | bytes]) -> None:
        encoded = [name if isinstance(name, bytes) else name.encode("utf-8", "surrogateescape") for name in names]
        self._ends = np.cumsum([len(name) for name in encoded], dtype=np.int64)
        self._text = b"".join(encoded)

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, i: int) -> str:  # type: ignore[override]  # never sliced
        return printable(self.exact(i))

    def exact(self, i: int) -> str:
        """Return name ``i`` unchanged."""
        return self.raw(i).decode("utf-8", "surrogateescape")

    def raw(self, i: int) -> bytes:
        """Return name ``i`` as the bytes that the file system has."""
        if not 0 <= i < len(self):
            raise IndexError(i)
        start = self._ends[i - 1] if i else 0
        return self._text[start : self._ends[i]]

    def content(self) -> bytes:
        """Return bytes that only the same names in the same order give."""
        return self._ends.astype("<i8").tobytes() + self._text


class Mapped(NamedTuple):
    """Decoded images that lie in a file as a pool has them, mapped into memory."""

    place: str
    """Where, for messages."""
    buffer: Planes
    """All pixels, flat; what is written to it stays in this process."""
    offsets: NDArray[np.int64]
    """(images,): where in the buffer an image begins."""
    heights: NDArray[np.int64]
    widths: NDArray[np.int64]
    channels: int


@dataclass(frozen=True, eq=False, kw_only=True)
class Source(ABC):
    """Images in a fixed order. Cheap to send to worker processes, unless the images themselves are in memory."""

    name: str
    """What the user called it; for messages."""
    names: Names
    """One an image."""
    labels: Labels | None
    """(images,) indices into ``classes``; None without labels."""
    classes: tuple[str, ...] | None
    """Names of the classes; None without labels."""
    presence: Presence | None = None
    """The labels of images that may show several classes each; ``labels`` is then None."""
    aside: tuple[Bad, ...] = ()
    """What looked like an image or a folder and could not even be listed."""
    skipped: Mapping[str, int] = field(default_factory=dict)
    """Files that were not taken for images, counted by ending (or what else keeps them out)."""

    def __len__(self) -> int:
        return len(self.names)

    def fingerprint(self) -> str:
        """Return a hex digest of what the images are: names, sizes in bytes and labels."""
        digest = hashlib.sha256(self.names.content())
        digest.update(self.sizes().astype("<i8").tobytes())
        if self.labels is not None:
            digest.update(self.labels.astype("<i8").tobytes())
        if self.presence is not None:
            digest.update(self.presence.tobytes())
        return digest.hexdigest()

    @abstractmethod
    def sizes(self) -> NDArray[np.int64]:
        """Return the bytes of every image's file, or array; -1 where there is no file."""

    @abstractmethod
    def header(self, i: int) -> Header:
        """Return what image ``i`` is without decoding it. Raises BadImage."""

    @abstractmethod
    def read(self, i: int, data: Data) -> Planes:
        """Return image ``i`` as (data.channels, H, W), uint8 or uint16, C-contiguous. Raises BadImage."""

    @abstractmethod
    def digest(self, i: int) -> bytes:
        """Return a SHA-256 that two images share when their files are equal byte for byte. Raises BadImage."""

    def in_order(self) -> bool:
        """Return whether images are read quickly only one behind the other, so that no batch of any images can be put together on the way."""
        return False

    def array(self) -> Planes | None:
        """Return all images as (N, C, H, W), to be read only, where they are in memory and of one size; else None."""
        return None

    def headers(self) -> NDArray[np.int64] | None:
        """Return (images, 4), the fields of every ``Header``, where no image has to be opened for it; else None."""
        return None

    def mapped(self) -> Mapped | None:
        """Return the images as they lie decoded in a file, where they do; else None."""
        return None


class Splits(NamedTuple):
    """A source's parts."""

    train: Source
    test: Source | None


@dataclass(frozen=True, eq=False, kw_only=True)
class Encoded(Source):
    """Images that are files of an image format, each by itself or within larger files."""

    @abstractmethod
    def content(self, i: int) -> bytes:
        """Return the bytes of image ``i``'s file. Raises BadImage."""

    def total(self) -> int:
        """Return about how many bytes the files of all images have."""
        return int(np.maximum(self.sizes(), 0).sum())

    def header(self, i: int) -> Header:
        """Return what the file's first bytes tell."""
        from stopgrad.images.decode import header  # Pillow: 0.1 s, which no answer before the first image should cost

        return header(self.content(i))

    def read(self, i: int, data: Data) -> Planes:
        """Return the decoded file."""
        from stopgrad.images.decode import decode

        return decode(self.content(i), data.channels, data.max_pixels, data.short_side)

    def digest(self, i: int) -> bytes:
        """Return the SHA-256 of the file."""
        return hashlib.sha256(self.content(i)).digest()


@dataclass(frozen=True, eq=False, kw_only=True)
class FileSource(Encoded):
    """Image files below a folder, or named by a list."""

    root: Path
    """The names are relative to it."""
    file_sizes: NDArray[np.int64]

    def path(self, i: int) -> Path:
        """Return where image ``i`` lies."""
        return self.root / self.names.exact(i)

    def sizes(self) -> NDArray[np.int64]:
        """Return the bytes of every file; -1 where there is none."""
        return self.file_sizes

    def content(self, i: int) -> bytes:
        """Return the file."""
        return regular(self.path(i))

    def header(self, i: int) -> Header:
        """Return what the file's first bytes tell."""
        from stopgrad.images.decode import header

        return header(self.path(i))

    def read(self, i: int, data: Data) -> Planes:
        """Return the decoded file."""
        from stopgrad.images.decode import decode

        return decode(self.path(i), data.channels, data.max_pixels, data.short_side)

    def digest(self, i: int) -> bytes:
        """Return the SHA-256 of the file."""
        try:
            with open(self.path(i), "rb") as file:
                return hashlib.file_digest(file, "sha256").digest()
        except OSError as error:
            raise BadImage(error.strerror or str(error)) from error


@dataclass(frozen=True, eq=False, kw_only=True)
class ArraySource(Source):
    """Images in memory: one array (N, C, H, W), or one (C, H, W) an image; uint8 or uint16."""

    images: Planes | Sequence[Planes]

    def sizes(self) -> NDArray[np.int64]:
        """Return the bytes of every array."""
        if isinstance(self.images, np.ndarray):
            return np.full(len(self), self.images.nbytes // max(len(self), 1), dtype=np.int64)
        return np.array([image.nbytes for image in self.images], dtype=np.int64)

    def fingerprint(self) -> str:
        """Return a hex digest of the pixels and labels themselves: the names of arrays say nothing."""
        digest = hashlib.sha256()
        for image in self.images:
            digest.update(repr((image.shape, image.dtype.str)).encode() + np.ascontiguousarray(image).tobytes())
        if self.labels is not None:
            digest.update(self.labels.astype("<i8").tobytes())
        return digest.hexdigest()

    def header(self, i: int) -> Header:
        """Return the array's shape."""
        channels, height, width = self.images[i].shape
        return Header(width, height, channels, 8 * self.images[i].itemsize)

    def headers(self) -> NDArray[np.int64]:
        """Return what the arrays' shapes tell."""
        if isinstance(self.images, np.ndarray):
            channels, height, width = self.images.shape[1:]
            return np.tile(np.array([[width, height, channels, 8 * self.images.itemsize]], dtype=np.int64), (len(self), 1))
        return np.array([self.header(i) for i in range(len(self))], dtype=np.int64).reshape(-1, 4)

    def read(self, i: int, data: Data) -> Planes:
        """Return the array with the channels and size that ``data`` asks for."""
        return as_wanted(self.images[i], data)

    def digest(self, i: int) -> bytes:
        """Return the SHA-256 of the pixels and their shape."""
        return digest_of(self.images[i])

    def array(self) -> Planes | None:
        """Return the one array; None when there is one an image."""
        return self.images if isinstance(self.images, np.ndarray) else None


def regular(path: Path) -> bytes:
    """Return the bytes of a file. Raises BadImage where there is none, or it is none of bytes."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # opening a named pipe would wait for ever
            raise BadImage("not a regular file")
        return path.read_bytes()
    except OSError as error:
        raise BadImage(error.strerror or str(error)) from error


def as_wanted(image: Planes, data: Data) -> Planes:
    """Return ``image`` (C, H, W) with the channels and size that ``data`` asks for, C-contiguous. Raises BadImage where it cannot have them."""
    channels, height, width = image.shape
    if reason := too_large(Header(width, height, channels, 8 * image.itemsize), data.max_pixels) or refusal(channels, data.channels):
        raise BadImage(reason)
    return np.ascontiguousarray(to_channels(reduce_planes(image, data.short_side), data.channels))


def digest_of(image: Planes) -> bytes:
    """Return the SHA-256 of an image's pixels and shape."""
    return hashlib.sha256(repr(image.shape).encode() + np.ascontiguousarray(image).tobytes()).digest()
