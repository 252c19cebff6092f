"""A difference counts as one only where its interval excludes 0."""

from dataclasses import replace
from math import comb

import pytest

from stopgrad.protocols.scores import Score
from stopgrad.report.columns import Column
from stopgrad.report.evaluations import Evaluation
from stopgrad.report.gains import Gain, compared


def evaluation(right: int, images: int | None, interval: tuple[float, float] | None = None) -> Evaluation:
    """A result as it is recorded; without a number of images as it is not: there is no interval either."""
    share = right / (images or 100)
    if interval is None and images is not None:
        interval = Score(share, None, images, ()).interval()
    return Evaluation(
        column=Column("", "knn", "", "top1"),
        features="backbone",
        value=share,
        interval=interval,
        step=1,
        train_images=9,
        test_images=images,
        images_sha256=None,
        weights_sha256=None,
        stated={},
        sweep=None,
        notes=(),
    )


@pytest.mark.parametrize(
    ("trained", "untrained", "images", "kind"),
    [
        (3, 0, 20, "unsettled"),  # +15 points on 20 images
        (4, 0, 20, "unsettled"),  # p = 0.11 by Fisher's exact test
        (8, 1, 20, "better"),
        (20, 20, 20, "unsettled"),
        (1200, 970, 2000, "better"),
        (990, 970, 2000, "unsettled"),
        (900, 970, 2000, "worse"),
    ],
)
def test_kinds(trained: int, untrained: int, images: int, kind: str) -> None:
    found = compared(evaluation(trained, images), evaluation(untrained, images))
    assert found.kind == kind
    assert found.points == pytest.approx(100 * (trained - untrained) / images)
    assert found.interval is not None
    assert found.interval[0] <= found.points <= found.interval[1]
    swapped = compared(evaluation(untrained, images), evaluation(trained, images))
    assert swapped.interval == pytest.approx((-found.interval[1], -found.interval[0]))


def test_newcombes_example() -> None:
    """Newcombe (1998), Table II, contrast (a): 56/70 against 48/80, method 10: 0.0524 to 0.3339."""
    low, high = compared(evaluation(56, 70), evaluation(48, 80)).interval or (0, 0)
    assert (low / 100, high / 100) == pytest.approx((0.0524, 0.3339), abs=1e-4)


def test_no_difference_of_few_images_is_called_one_that_fishers_test_would_not() -> None:
    def fisher(a: int, b: int, n: int) -> float:
        ways = {k: comb(n, k) * comb(n, a + b - k) for k in range(max(0, a + b - n), min(n, a + b) + 1)}
        return sum(w for w in ways.values() if w <= ways[a]) / sum(ways.values())

    called = [(a, b) for a in range(21) for b in range(21) if compared(evaluation(a, 20), evaluation(b, 20)).kind != "unsettled"]
    assert max(fisher(a, b, 20) for a, b in called) < 0.11  # a conservative test itself: about twice the nominal 0.05 at worst


def test_the_records_own_interval_decides() -> None:
    sure = compared(evaluation(60, 100, (0.55, 0.65)), evaluation(50, 100, (0.45, 0.55)))
    assert sure.kind == "better"
    unsure = compared(evaluation(60, 100, (0.4, 0.8)), evaluation(50, 100, (0.3, 0.7)))
    assert unsure.kind == "unsettled"


def test_words() -> None:
    assert Gain(15.0, (-1.0, 31.0), 20).words == "+15.0 vs random, within noise of 20 test images"
    assert Gain(-0.5, (-3.0, 2.0), 1).words == "−0.5 vs random, within noise of 1 test image"
    assert Gain(21.2, (18.0, 24.0), 2000).words == "+21.2 vs random"
    unknown = compared(replace(evaluation(60, None)), evaluation(50, None))
    assert (unknown.interval, unknown.kind, unknown.words) == (None, "unsettled", "+10.0 vs random")
