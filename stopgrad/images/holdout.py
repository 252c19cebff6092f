"""Held-out images where a labelled source has no test part: a fixed tenth, kept out of training, so that judging is on images not seen."""

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from stopgrad.config import Data
from stopgrad.images.bad import Bad
from stopgrad.images.header import Header
from stopgrad.images.planes import Planes
from stopgrad.images.source import FileSource, Mapped, Names, Source, Splits
from stopgrad.keys import generator

SHARE = 10
"""One image of every so many of a class is held out."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Subset(Source):
    """Some images of another source, in a given order."""

    base: Source
    rows: NDArray[np.int64]

    def fingerprint(self) -> str:
        """Return a hex digest of what the images are; that of all goes in where names say little: of all but single files."""
        own = super().fingerprint()
        return own if isinstance(self.base, FileSource) else hashlib.sha256((own + self.base.fingerprint()).encode()).hexdigest()

    def sizes(self) -> NDArray[np.int64]:
        """Return the bytes of every image's file."""
        return self.base.sizes()[self.rows]

    def header(self, i: int) -> Header:
        """Return what image ``i`` is without decoding it."""
        return self.base.header(int(self.rows[i]))

    def read(self, i: int, data: Data) -> Planes:
        """Return image ``i``."""
        return self.base.read(int(self.rows[i]), data)

    def digest(self, i: int) -> bytes:
        """Return the SHA-256 of image ``i``."""
        return self.base.digest(int(self.rows[i]))

    def in_order(self) -> bool:
        """Return whether the other source is read quickly only one behind the other."""
        return self.base.in_order()

    def array(self) -> Planes | None:
        """Return the images where they are in memory and of one size."""
        return self._array

    def headers(self) -> NDArray[np.int64] | None:
        """Return the headers of these images, where the other source has them at hand."""
        headers = self.base.headers()
        return None if headers is None else headers[self.rows]

    def mapped(self) -> Mapped | None:
        """Return these images in the other source's map, which stays one: nothing is copied."""
        mapped = self.base.mapped()
        if mapped is None:
            return None
        return mapped._replace(offsets=mapped.offsets[self.rows], heights=mapped.heights[self.rows], widths=mapped.widths[self.rows])

    @cached_property
    def _array(self) -> Planes | None:
        images = self.base.array()
        return None if images is None else images[self.rows]


def subset(base: Source, rows: NDArray[np.int64], aside: tuple[Bad, ...]) -> Subset:
    """Return images ``rows`` (int64) of ``base``; ``aside`` as in ``Source``, so that what could not be listed counts in one part only."""
    return Subset(
        name=base.name,
        names=Names(base.names.raw(int(i)) for i in rows),
        labels=None if base.labels is None else base.labels[rows],
        presence=None if base.presence is None else base.presence[rows],
        classes=base.classes,
        aside=aside,
        skipped=base.skipped,
        base=base,
        rows=rows,
    )


def with_held_out(splits: Splits) -> Splits:
    """Return ``splits`` with a test part: its own, or a tenth of every class of a labelled training part; None without labels.

    Of images that may show several classes each it is a tenth of all. Which images are held out depends on the labels alone, not on seeds,
    so that every run on the images is judged on the same ones.
    """
    train = splits.train
    if splits.test is not None or train.classes is None:
        return splits
    held = np.zeros(len(train), dtype=bool)
    strata = np.zeros(len(train), dtype=np.int64) if train.labels is None else train.labels
    for label in np.flatnonzero(np.bincount(strata)):
        rows = np.flatnonzero(strata == label)
        held[generator("held out", int(label)).permutation(rows)[: len(rows) // SHARE]] = True
    if not held.any():
        return splits
    return Splits(subset(train, np.flatnonzero(~held), train.aside), subset(train, np.flatnonzero(held), ()))
