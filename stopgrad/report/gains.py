"""What training gained: the trained backbone beside the same network untrained, and whether the test images suffice to say so."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from stopgrad.config import RESNETS
from stopgrad.report.columns import Column
from stopgrad.report.evaluations import Evaluation, untold
from stopgrad.report.files import Judged, RunFiles
from stopgrad.report.wording import counted, signed


@dataclass(frozen=True)
class Gain:
    """A difference of two figures, in points of a hundred, and the ends of its 95 % interval where they are known."""

    points: float
    interval: tuple[float, float] | None
    images: int | None
    """Test images, where their number is known."""

    @property
    def kind(self) -> str:
        """``better`` or ``worse`` where the interval excludes 0, else ``unsettled``."""
        low, high = self.interval or (-math.inf, math.inf)
        return "better" if low > 0 else "worse" if high < 0 else "unsettled"

    @property
    def words(self) -> str:
        """The difference, and that it may be none."""
        doubt = f", within noise of {counted(self.images or 0, 'test image')}" if self.interval and self.images and self.kind == "unsettled" else ""
        return f"{signed(self.points)} vs random{doubt}"


def gain(run: Judged, column: Column, runs: Sequence[Judged]) -> Gain | None:
    """Return what ``run`` gained over its random initialisation, None where one of the two was not measured."""
    trained, untrained = run.evaluation(column, "backbone"), beginning(run, column, runs)
    return None if trained is None or untrained is None else compared(trained, untrained)


def compared(trained: Evaluation, untrained: Evaluation) -> Gain:
    """Return the difference with Newcombe's interval (1998, method 10): made of the two Wilson intervals, it also holds near 0 and 1.

    Both are taken as independent although the test images are the same: what both recognise is then counted as noise, which errs on
    the cautious side.
    """
    points = trained.value - untrained.value
    images = min(trained.test_images or 0, untrained.test_images or 0) or None
    a, b = trained.interval, untrained.interval
    if a is None or b is None:
        return Gain(100 * points, None, images)
    low = points - math.hypot(trained.value - a[0], b[1] - untrained.value)
    high = points + math.hypot(a[1] - trained.value, untrained.value - b[0])
    return Gain(100 * points, (100 * low, 100 * high), images)


def beginning(run: Judged, column: Column, runs: Sequence[Judged]) -> Evaluation | None:
    """Return the result of the network that ``run`` began with: its own, else that of another run that began with the same one.

    A comparison of methods judges it once a seed, since every method begins alike. None where no result was asked as the backbone's was.
    """
    judged = run.evaluation(column, "backbone")
    for other in (run, *runs):
        found = other.evaluation(column, "random")
        if found is not None and judged is not None and _comparable(found, judged) and _began_alike(run, other):
            return found
    return None


def _began_alike(one: Judged, other: Judged) -> bool:
    if isinstance(one, RunFiles) and isinstance(other, RunFiles):
        return _first_weights(one) == _first_weights(other)
    return one is other


def _first_weights(run: RunFiles) -> tuple[Any, ...]:
    """Return what decides the weights at random initialisation and the images that they are judged on."""
    config = run.config
    size = None if config.net.backbone in RESNETS else config.views[0].size
    images = run.environment.get("images_sha256") or config.data.source
    return replace(config.net, init=None), config.data.channels, size, config.train.seed, images


def _comparable(one: Evaluation, other: Evaluation) -> bool:
    """Whether two results were measured alike, on the same images as far as is told; what the protocol chose by itself may differ."""
    images = {one.images_sha256, other.images_sha256} - {None}
    left = untold(one, other)
    a, b = ({key: value for key, value in e.asked.items() if key not in left} for e in (one, other))
    return len(images) <= 1 and a == b
