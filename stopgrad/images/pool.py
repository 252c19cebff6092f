"""Decoded images, tiny or large, of one size or many: one flat buffer and where each image lies in it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stopgrad.config import Data
from stopgrad.images.bad import Bad, BadImage
from stopgrad.images.decode import quiet_decoders
from stopgrad.images.planes import Planes, deepen, to_channels
from stopgrad.images.source import Mapped, Source
from stopgrad.images.survey import Survey, survey
from stopgrad.images.threads import in_threads
from stopgrad.sending import send_ahead


@dataclass(frozen=True, eq=False)
class Pool:
    """Images of the same channels, planar. The buffer may be on any device; where things lie is always on the CPU."""

    buffer: Tensor
    """All pixels, flat, uint8 or uint16 (whose full range is 0..65535)."""
    offsets: Tensor
    """(images,) int64: where in the buffer an image begins."""
    heights: Tensor
    """(images,) int64."""
    widths: Tensor
    """(images,) int64."""
    channels: int

    @classmethod
    def from_arrays(cls, arrays: Sequence[Planes]) -> "Pool":
        """Return a pool of arrays (C, H, W) of one C, at least one; where any is uint16, the uint8 ones are brought to 16 bits (× 257)."""
        if any(array.dtype == np.uint16 for array in arrays):
            arrays = [deepen(array) for array in arrays]
        assert {len(array) for array in arrays} == {len(arrays[0])}, "images of different channels"
        sizes = np.array([array.size for array in arrays])
        buffer = torch.from_numpy(np.concatenate([array.reshape(-1) for array in arrays]))
        return cls(buffer, *_layout(sizes, np.array([array.shape[1:] for array in arrays])), len(arrays[0]))

    @classmethod
    def of_array(cls, array: Planes) -> "Pool":
        """Return a pool of one array (N, C, H, W). Its memory is shared where it is contiguous and writable."""
        images, channels, height, width = array.shape
        flat = np.ascontiguousarray(array).reshape(-1)
        buffer = torch.from_numpy(flat if flat.flags.writeable else flat.copy())  # torch warns of memory that must not be written
        return cls(buffer, *_layout(np.full(images, channels * height * width), np.full((images, 2), (height, width))), channels)

    def __len__(self) -> int:
        return len(self.offsets)

    @property
    def device(self) -> torch.device:
        """Where the pixels are."""
        return self.buffer.device

    @property
    def dtype(self) -> torch.dtype:
        """torch.uint8 or torch.uint16."""
        return self.buffer.dtype

    @cached_property
    def equal(self) -> tuple[int, int] | None:
        """(H, W) when all images have the same, and lie in a buffer of nothing but such; None when they differ, or there are none."""
        if not len(self) or (self.heights != self.heights[0]).any() or (self.widths != self.widths[0]).any():
            return None
        height, width = int(self.heights[0]), int(self.widths[0])
        size = self.channels * height * width
        return None if len(self.buffer) % size or (self.offsets % size).any() else (height, width)  # between them may lie one left out

    def to(self, device: torch.device | str) -> "Pool":
        """Return the pool with its pixels on ``device``."""
        return replace(self, buffer=self.buffer.to(device))

    def send(self, device: torch.device) -> "Pool":
        """Return the pool, one of a batch, with its pixels on ``device``; to a GPU they are copied while it computes, and it is not waited for."""
        return replace(self, buffer=send_ahead(self.buffer, device))

    def take(self, rows: Tensor, pinned: bool = False) -> "Pool":
        """Return a pool of copies of the images ``rows`` (N, int64, on the CPU), in that order; in RAM ``pinned`` for a GPU to fetch, where asked."""
        heights, widths = self.heights[rows], self.widths[rows]
        sizes = self.channels * heights * widths
        buffer = torch.empty(int(sizes.sum()), dtype=self.dtype, device=self.device, pin_memory=pinned)
        if self.equal is not None and len(rows):
            torch.index_select(_bits(self.buffer).view(-1, int(sizes[0])), 0, self._slot(rows), out=_bits(buffer).view(len(rows), -1))
        elif len(rows):
            torch.cat([self.image(row).reshape(-1) for row in rows.tolist()], out=buffer)
        return Pool(buffer, sizes.cumsum(0) - sizes, heights, widths, self.channels)

    def image(self, row: int) -> Tensor:
        """Return one image, (C, H, W), a view of the buffer."""
        start, height, width = int(self.offsets[row]), int(self.heights[row]), int(self.widths[row])
        return self.buffer[start : start + self.channels * height * width].view(self.channels, height, width)

    def planes(self, rows: Tensor) -> Tensor:
        """Return images ``rows`` (N, int64, on the pool's device) of a pool of equal ones: (N, C, H, W) of the stored type, a copy."""
        assert self.equal is not None, "the images differ in size"
        chosen = _bits(self.buffer).view(-1, self.channels, *self.equal).index_select(0, self._slot(rows))  # nine times as fast as indexing
        return chosen.view(self.dtype)

    def _slot(self, rows: Tensor) -> Tensor:
        """Return the places of images ``rows`` of a pool of equal ones, on the pool's device."""
        there = rows.to(self.device)
        return there if self._slots is None else self._slots[there]

    @cached_property
    def _slots(self) -> Tensor | None:
        """Place of each of the equal images, counted in images; None when nothing was left out between them."""
        assert self.equal is not None
        slots = self.offsets // (self.channels * self.equal[0] * self.equal[1])
        return None if torch.equal(slots, torch.arange(len(self))) else slots.to(self.device)


@dataclass(frozen=True, eq=False)
class Loaded:
    """A source, decoded."""

    pool: Pool
    rows: NDArray[np.int64]
    """Index in the source of every image of the pool, ascending where ``keep`` is."""
    bad: tuple[Bad, ...]
    """What could not be used."""


def mapped(source: Source, data: Data, wanted: Survey) -> Mapped | None:
    """Return the map that ``load`` takes as it is: of a pack whose images are already as ``data`` wants them (``wanted``); else None."""
    found = source.mapped()
    if found is None or found.channels != data.channels:
        return None
    rows = wanted.usable()
    same = np.array_equal(wanted.heights[rows], found.heights[rows]) and np.array_equal(wanted.widths[rows], found.widths[rows])
    return found if same else None


def room(source: Source, data: Data, wanted: Survey) -> tuple[int, str | None]:
    """Return the bytes that the decoded images take, and where they lie mapped, where they do."""
    there = mapped(source, data, wanted)
    return (wanted.decoded_bytes(), None) if there is None else (there.buffer.nbytes, there.place)


def load(source: Source, data: Data, keep: Sequence[int] | NDArray[np.int64] | None = None, headers: Survey | None = None) -> Loaded:
    """Decode all images of ``source``, or those of the indices ``keep``, as ``data`` wants them, into RAM; what is ``mapped`` stays where it is.

    Where any has 16 bits all have. ``headers``: the source's survey, where it has been made. The buffer is made once, from the
    headers, so the memory needed is that of the pool and an image a thread. How many may be bad is asked by ``refuse_too_many``.
    """
    headers = headers or survey(source, data.max_pixels)
    wanted = headers.wanted(data)
    asked = np.arange(len(source)) if keep is None else np.asarray(keep, dtype=np.int64)
    bad = [*source.aside, *((source.names[int(i)], wanted.bad[int(i)]) for i in asked if int(i) in wanted.bad)]
    rows = np.array([i for i in asked if int(i) not in wanted.bad], dtype=np.int64)
    if (there := mapped(source, data, wanted)) is not None:
        offsets, heights, widths = (torch.from_numpy(column[rows]) for column in (there.offsets, there.heights, there.widths))
        return Loaded(Pool(torch.from_numpy(there.buffer), offsets, heights, widths, data.channels), rows, tuple(bad))
    images = source.array()
    if images is not None and len(rows) and (wanted.heights[rows[0]], wanted.widths[rows[0]]) == images.shape[2:]:
        some = images if len(rows) == len(images) and keep is None else images[rows]
        if data.channels != some.shape[1]:  # part by part: the luma takes room
            some = np.concatenate([to_channels(some[i : i + 1024], data.channels) for i in range(0, len(some), 1024)])
        return Loaded(Pool.of_array(some), rows, tuple(bad))
    pool, reasons = _decoded(source, data, rows, wanted, headers.threads())
    bad += [(source.names[int(i)], reason) for i, reason in zip(rows, reasons, strict=True) if reason]
    good = np.array([reason is None for reason in reasons], dtype=bool)
    return Loaded(pool, rows[good], tuple(bad))


def _decoded(source: Source, data: Data, rows: NDArray[np.int64], wanted: Survey, threads: int) -> tuple[Pool, list[str | None]]:
    """Return the pool of the readable ``rows``, and for each row why it is not in it, or None."""
    shapes = np.stack([wanted.heights[rows], wanted.widths[rows]], axis=1)
    sizes = data.channels * shapes.prod(axis=1)
    starts = np.cumsum(sizes) - sizes
    deep = bool((wanted.bits[rows] == 16).any())
    buffer = torch.empty(int(sizes.sum()), dtype=torch.uint16 if deep else torch.uint8)
    flat: NDArray[np.uint8 | np.uint16] = buffer.numpy()

    def fill(k: int) -> str | None:
        try:
            image = source.read(int(rows[k]), data)
        except BadImage as bad:
            return str(bad)
        if image.size != sizes[k] or (image.dtype == np.uint16 and not deep):
            return "is not what its header says"
        flat[starts[k] : starts[k] + sizes[k]] = (deepen(image) if deep else image).reshape(-1)
        shapes[k] = image.shape[1:]  # a PNG whose EXIF comes last may lie the other way round than planned
        return None

    with quiet_decoders():
        reasons = list(in_threads(fill, range(len(rows)), threads))
    good = [k for k, reason in enumerate(reasons) if reason is None]
    return Pool(buffer, torch.from_numpy(starts[good]), *_sides(shapes[good]), data.channels), reasons


def _layout(sizes: NDArray[np.int64], shapes: NDArray[np.int64]) -> tuple[Tensor, Tensor, Tensor]:
    """Return offsets, heights and widths of images that lie one behind the other."""
    return torch.from_numpy(np.cumsum(sizes) - sizes), *_sides(shapes)


def _bits(values: Tensor) -> Tensor:
    """Return uint16 as int16, the same bits: few operations know uint16."""
    return values.view(torch.int16) if values.dtype == torch.uint16 else values


def _sides(shapes: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(shapes[:, 0].copy()), torch.from_numpy(shapes[:, 1].copy())
