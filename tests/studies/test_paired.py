"""Differences of rows, by seed and by test image, beside closed forms and simulated draws."""

from dataclasses import replace

import numpy as np
import pytest

from stopgrad.studies.judging import Told
from stopgrad.studies.measured import Measured
from stopgrad.studies.paired import difference
from tests.studies.made import row, told

BASE = row(0.80, 0.82, 0.81)


def with_images(right: np.ndarray) -> list[Measured]:
    """Rows of seeds whose (seeds, images) are right."""
    return [
        replace(one, told={"lbfgs": told(float(bits.mean()), np.packbits(bits).tobytes(), len(bits))}) for one, bits in zip(BASE, right, strict=True)
    ]


def test_differences_are_paired_by_seed() -> None:
    found = difference(row(0.70, 0.71, 0.72), BASE, "lbfgs")  # -10, -11, -9
    assert found is not None
    assert found.points == pytest.approx(-10)
    assert found.over_seeds == pytest.approx(4.303 / 3**0.5)
    assert (found.over_images, found.images_told) == (0.05, False), "one of 2000"
    half = ((4.303 / 3**0.5) ** 2 + 0.05**2) ** 0.5
    assert found.interval == pytest.approx((-10 - half, -10 + half))
    assert found.seeds == 3
    assert difference(row(0.7)[:0], BASE, "lbfgs") is None
    shifted = difference([one for one in row(0.70, 0.71, 0.72) if one.seed == 2], BASE, "lbfgs")
    assert shifted is not None
    assert (shifted.points, shifted.interval) == (pytest.approx(-9), None)


def test_test_images_are_paired_too() -> None:
    ours = np.array([[1, 1, 1, 0, 0], [1, 1, 0, 1, 0], [1, 1, 1, 1, 0]], bool)
    theirs = np.array([[0, 1, 1, 0, 0], [0, 1, 0, 0, 0], [1, 1, 1, 0, 0]], bool)
    found = difference(with_images(ours), with_images(theirs), "lbfgs")
    assert found is not None
    apart = [2 / 3, 0, 0, 2 / 3, 0]
    assert found.over_images == pytest.approx(100 * 1.959964 * np.std(apart, ddof=1) / 5**0.5)
    assert found.images_told
    assert found.interval is not None
    assert found.interval[1] - found.points == pytest.approx(np.hypot(found.over_seeds, found.over_images))
    same = difference(with_images(ours), with_images(ours), "lbfgs")
    assert same is not None
    assert (same.points, same.over_seeds, same.over_images) == (0, 0, 20), "no narrower than one of five images"
    untold = difference(with_images(ours), BASE, "lbfgs")
    assert untold is not None
    assert not untold.images_told


def test_figures_that_no_image_is_told_of_keep_the_chance_that_their_own_intervals_have() -> None:
    def rows(*values: float) -> list[Measured]:
        return [replace(one, told={"lbfgs": Told(value, (value - 0.1, value + 0.1), 100, b"")}) for one, value in zip(BASE, values, strict=True)]

    found = difference(rows(0.6, 0.61, 0.6), rows(0.57, 0.58, 0.57), "lbfgs")
    assert found is not None
    assert found.over_images == pytest.approx(10 * 2**0.5)
    assert found.images_told
    one_side = difference(rows(0.6, 0.61, 0.6), BASE, "lbfgs")
    assert one_side is not None
    assert (one_side.images_told, one_side.over_images) == (False, 0.05), "detection's precision has no interval: that of one image"


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    """Rows whose seeds and images are drawn anew: 95 % of the intervals or more hold the difference that all seeds and images would give."""
    rng, held, times = np.random.default_rng(0), 0, 400
    for _ in range(times):
        image, seed = rng.normal(0, 1, 200), rng.normal(0, 0.2, (2, 3, 1))
        skill, own = np.array([0.5, 0.2]).reshape(2, 1, 1), rng.normal(0, 0.7, (2, 1, 200))
        right = rng.normal(0, 1, (2, 3, 200)) < skill + seed + image + own
        found = difference(with_images(right[0]), with_images(right[1]), "lbfgs")
        assert found is not None
        assert found.interval is not None
        held += found.interval[0] <= TRUE_DIFFERENCE <= found.interval[1]
    assert 0.95 <= held / times < 1


def _phi(x: float) -> float:
    from math import erf, sqrt

    return 0.5 * (1 + erf(x / sqrt(2)))


SPREAD = (1 + 1 + 0.04 + 0.49) ** 0.5
TRUE_DIFFERENCE = 100 * (_phi(0.5 / SPREAD) - _phi(0.2 / SPREAD))
