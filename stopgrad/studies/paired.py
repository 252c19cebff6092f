"""Two rows of a study compared seed by seed and image by image.

The same seed has the same initial backbone, order and views, as far as the rows leave them, and the same test images judge all. So a difference
has two sources of chance: the seeds, of which there are few, and the test images. Its interval holds both: half its width is the root of the
sum of the squares of Student's over the seeds' differences and of the normal one over the images' differences (their means over the seeds).
What seed and image do together is in both terms, which errs on the cautious side. No interval is narrower than one test image.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stopgrad.studies.judging import Told
from stopgrad.studies.measured import Measured
from stopgrad.studies.statistics import Z95, half_width


@dataclass(frozen=True)
class Difference:
    """How much more accurate a row is than another, at the same seeds."""

    points: float
    """Mean over the seeds that both have, points."""
    over_seeds: float | None
    """Half the width of the 95 % interval of the mean of the seeds' differences, points; None of a single seed."""
    over_images: float
    """The same over the test images; that of one image where it would be less, and where nothing is told of them."""
    images_told: bool
    """Whether something is told of them: which are rightly named, or how far others could move each figure."""
    seeds: int

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval of ``points``; None of a single seed."""
        if self.over_seeds is None:
            return None
        half = math.hypot(self.over_seeds, self.over_images)
        return self.points - half, self.points + half


def difference(row: Sequence[Measured], other: Sequence[Measured], figure: str) -> Difference | None:
    """Return the paired difference of two rows by ``figure``; None where no seed of both was judged."""
    theirs = {one.seed: one.told[figure] for one in other if figure in one.told}
    pairs = [(one.told[figure], theirs[one.seed]) for one in row if figure in one.told and one.seed in theirs]
    if not pairs:
        return None
    points = [100 * (own.value - their.value) for own, their in pairs]
    spread = _over_images(pairs)
    least = 100 / max(1, *(told.test_images or 0 for pair in pairs for told in pair))
    return Difference(statistics.fmean(points), half_width(points), max(least, spread or 0.0), spread is not None, len(pairs))


def _over_images(pairs: Sequence[tuple[Told, Told]]) -> float | None:
    """Return half the width of the 95 % interval over the test images, points; None where nothing is told of them.

    Of the images' mean differences, where it is told of every run which are rightly named; else of the figures' own intervals, as if the two
    rows were judged on different images, which errs on the cautious side.
    """
    images = pairs[0][0].test_images or 0
    bits = [told.right for pair in pairs for told in pair]
    if images > 1 and all(len(one) == -(-images // 8) for one in bits):
        right = np.array([np.unpackbits(np.frombuffer(one, np.uint8), count=images) for one in bits], np.float64)
        apart = (right[0::2] - right[1::2]).mean(axis=0)
        return float(100 * Z95 * apart.std(ddof=1) / math.sqrt(images))
    ends = [told.interval for pair in pairs for told in pair]
    if None in ends:
        return None
    halves = [50 * (high - low) for low, high in (end for end in ends if end is not None)]
    return statistics.fmean(math.hypot(own, their) for own, their in zip(halves[0::2], halves[1::2], strict=True))
