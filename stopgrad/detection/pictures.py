"""Annotated images: what the readers of VOC and COCO give, checked. Imports no torch."""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stopgrad.errors import UserError
from stopgrad.images.bad import BadImage, printable
from stopgrad.images.decode import decode, header

MAX_PIXELS = 64_000_000
"""An image that claims more is refused before it is decoded."""

Boxes = NDArray[np.float64]
"""(n, 4): left, top, right, bottom in pixels from the image's left top corner, continuous: a pixel is from 0 to 1."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Picture:
    """An image and the n objects in it."""

    path: Path
    number: int
    """COCO's number of the image; for VOC its place in the part."""
    height: int
    width: int
    boxes: Boxes
    """Within the image, none without area."""
    labels: NDArray[np.int64]
    """(n,), classes from 0."""
    difficult: NDArray[np.bool_]
    """(n,): VOC's objects that count neither as found nor as missed."""
    crowd: NDArray[np.bool_]
    """(n,): COCO's regions of many objects, not learned from; what is found in one is not counted."""
    areas: NDArray[np.float64]
    """(n,), pixels of the object: its mask's where there is one."""
    outlines: tuple[Any, ...] = ()
    """COCO's segmentations as they stand in the file: polygons or run lengths; empty where masks are not asked for."""

    def pixels(self, channels: int) -> NDArray[Any]:
        """Return the image, (channels, height, width) uint8 or uint16. Raises UserError, naming it, when it cannot be read or has another size."""
        try:
            planes = decode(self.path, channels, MAX_PIXELS, None)
        except BadImage as bad:
            raise UserError(f"{printable(str(self.path))}: cannot be read ({bad}); mend it, or take it out of the annotations") from None
        if planes.shape[1:] != (self.height, self.width):
            found, wanted = f"{planes.shape[2]} x {planes.shape[1]}", f"{self.width} x {self.height}"
            raise UserError(f"{printable(str(self.path))}: is {found} pixels, its annotations are for {wanted}; mend one of the two")
        return planes


@dataclass(frozen=True, eq=False, kw_only=True)
class Part:
    """A part of an annotated data set."""

    name: str
    """As it was asked for, with the data set's: VOC2007 test."""
    classes: tuple[str, ...]
    category_ids: tuple[int, ...]
    """COCO's, by class; for VOC 1, 2, …"""
    pictures: tuple[Picture, ...]
    told: str = ""
    """What had to be mended, one line; empty where all was well."""

    def fingerprint(self) -> str:
        """Return a hex digest of names, sizes and annotations; the pixels are not read."""
        sha = hashlib.sha256(json.dumps([self.classes, self.category_ids]).encode())
        for p in self.pictures:
            sha.update(json.dumps([printable(p.path.name), p.number, p.height, p.width, p.outlines], sort_keys=True).encode())
            for values in (p.boxes, p.labels, p.difficult, p.crowd, p.areas):
                sha.update(np.ascontiguousarray(values).data)
        return sha.hexdigest()


class Mended:
    """What was found wrong with annotations and mended, counted, to be told once."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def note(self, what: str, times: int = 1) -> None:
        """Count ``what``, such as ``boxes without area left out``."""
        if times:
            self.counts[what] += times

    def line(self, name: str) -> str:
        """Return all of it as one line about ``name``; empty when there is nothing."""
        return f"{name}: " + ", ".join(f"{n:,} {what}" for what, n in self.counts.items()) if self.counts else ""


def within(boxes: Sequence[Sequence[float]], width: int, height: int, mended: Mended) -> tuple[Boxes, NDArray[np.bool_]]:
    """Return ``boxes`` (n, 4) cut at the image's edges, and (n,) which of them still have an area; both changes are counted."""
    given = np.asarray(boxes, np.float64).reshape(-1, 4)
    cut = np.clip(given, 0.0, np.array([width, height, width, height], np.float64))
    kept: NDArray[np.bool_] = (cut[:, 2] > cut[:, 0]) & (cut[:, 3] > cut[:, 1])
    mended.note("boxes cut at the image's edge", int(((cut != given).any(axis=1) & kept).sum()))
    mended.note("boxes without area left out", int((~kept).sum()))
    return cut, kept


def once(keys: Sequence[Any], mended: Mended) -> NDArray[np.bool_]:
    """Return (n,) which of ``keys`` come for the first time; objects said twice are counted."""
    seen: set[Any] = set()
    first = np.zeros(len(keys), np.bool_)
    for row, key in enumerate(keys):
        first[row] = key not in seen
        seen.add(key)
    mended.note("objects said twice left out", int((~first).sum()))
    return first


def size_of(path: Path) -> tuple[int, int]:
    """Return an image's width and height, by its header. Raises UserError, naming it, when it is none."""
    try:
        found = header(path)
    except BadImage as bad:
        raise UserError(f"{printable(str(path))}: cannot be read ({bad}); mend it, or take it out of the annotations") from None
    return found.width, found.height


def joined(parts: Sequence[Part]) -> Part:
    """Return several parts as one. Raises UserError when their classes differ."""
    first = parts[0]
    for part in parts[1:]:
        if (part.classes, part.category_ids) != (first.classes, first.category_ids):
            differ = ", ".join(map(printable, sorted(set(part.classes) ^ set(first.classes))[:5])) or "in another order"
            raise UserError(f"{part.name}: other classes than {first.name} ({differ}); parts that go together have the same")
    told = "; ".join(part.told for part in parts if part.told)
    name = " + ".join(part.name for part in parts)
    pictures = tuple(picture for part in parts for picture in part.pictures)
    return Part(name=name, classes=first.classes, category_ids=first.category_ids, pictures=pictures, told=told)


def among(part: Part, classes: tuple[str, ...]) -> Part:
    """Return ``part`` with its classes numbered as in ``classes``, which has all of them."""
    number = np.array([classes.index(name) for name in part.classes], np.int64)
    pictures = tuple(replace(picture, labels=number[picture.labels]) for picture in part.pictures)
    return replace(part, classes=classes, category_ids=tuple(range(1, len(classes) + 1)), pictures=pictures)
