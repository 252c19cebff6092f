"""The headers of all images: what can be planned before one is decoded."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stopgrad.config import Data
from stopgrad.images.bad import BadImage
from stopgrad.images.decode import quiet_decoders
from stopgrad.images.header import Header, too_large
from stopgrad.images.planes import reduced_size, refusal
from stopgrad.images.residence import free_ram
from stopgrad.images.source import Source
from stopgrad.images.threads import cores, in_threads

DECODING_BYTES = 12
"""What a pixel takes while it is decoded: Pillow's four bytes, a converted copy, the planes."""


@dataclass(frozen=True, eq=False)
class Survey:
    """What the headers say, one entry an image; zeros where the image is bad."""

    heights: NDArray[np.int64]
    widths: NDArray[np.int64]
    channels: NDArray[np.int64]
    bits: NDArray[np.int64]
    bad: dict[int, str]
    """Index → reason of every image whose header is unusable already."""

    def usable(self) -> NDArray[np.int64]:
        """Return the indices of the images that are not bad."""
        return np.flatnonzero(self.channels)

    def without(self, bad: dict[int, str]) -> "Survey":
        """Return the survey with the images ``bad`` (index → reason) bad as well."""
        good = np.ones(len(self.channels), dtype=np.int64)
        good[list(bad)] = 0
        return Survey(self.heights * good, self.widths * good, self.channels * good, self.bits * good, self.bad | bad)

    def refused(self, channels: int) -> dict[int, str]:
        """Return index → reason of the images that cannot have ``channels``."""
        reasons = {int(c): refusal(int(c), channels) for c in np.unique(self.channels[self.usable()])}
        return {int(i): reason for i in self.usable() if (reason := reasons[int(self.channels[i])])}

    def wanted(self, data: Data) -> "Survey":
        """Return the survey of the images as ``data`` wants them: reduced, with its channels; those that cannot have them become bad."""
        found = self.without(self.refused(data.channels))
        sides = np.minimum(found.heights, found.widths)
        for i in np.flatnonzero(sides > (data.short_side or np.inf)):
            found.heights[i], found.widths[i] = reduced_size(int(found.heights[i]), int(found.widths[i]), data.short_side)
        found.channels[found.usable()] = data.channels
        return found

    def threads(self) -> int:
        """Return how many threads may decode at once: one a core, fewer where the largest images would fill an eighth of the free RAM (or 1 GB)."""
        largest = int((self.heights * self.widths).max(initial=1))
        return max(1, min(cores(), max(10**9, free_ram() // 8) // (DECODING_BYTES * largest)))

    def decoded_bytes(self) -> int:
        """Return the memory of all images, decoded: two bytes a sample when any of them has 16 bits."""
        return int((self.heights * self.widths * self.channels).sum()) * (2 if self.deep() else 1)

    def deep(self) -> bool:
        """Return whether any image has 16 bits a sample."""
        return bool((self.bits == 16).any())


def survey(source: Source, max_pixels: int) -> Survey:
    """Return the headers of all images of ``source``; one of more than ``max_pixels`` is bad."""
    known = source.headers()
    if known is not None:  # a million rows, and no object a row
        table = known.copy()
        large = np.flatnonzero(table[:, 0] * table[:, 1] > max_pixels)
        bad = {int(i): too_large(Header(*table[i].tolist()), max_pixels) or "" for i in large}
        table[large] = 0
    else:
        with quiet_decoders():
            threads = 4 * cores()  # files on a network answer late
            kinds = list(in_threads(lambda i: _header(source, i, max_pixels), range(len(source)), threads))
        rows = [kind if isinstance(kind, Header) else Header(0, 0, 0, 0) for kind in kinds]
        table = np.array(rows, dtype=np.int64).reshape(-1, 4)
        bad = {i: kind for i, kind in enumerate(kinds) if isinstance(kind, str)}
    return Survey(table[:, 1], table[:, 0], table[:, 2], table[:, 3], bad)


def _header(source: Source, i: int, max_pixels: int) -> Header | str:
    try:
        header = source.header(i)
    except BadImage as bad:
        return str(bad)
    return too_large(header, max_pixels) or header
