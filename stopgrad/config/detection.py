"""The settings of detection and segmentation transfer: schedules by name, as MoCo published them on detectron2 and SimSiam took them over
(arXiv:1911.05722, Sec. 4.2; arXiv:2011.10566, Table 5), and one that two cores bear. Imports no torch."""

import math
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from stopgrad.errors import UserError

PROPOSALS: dict[str, tuple[tuple[int, int], tuple[int, int]]] = {
    "C4": ((12000, 2000), (6000, 1000)),  # detectron2: defaults.py, Base-RCNN-C4.yaml
    "FPN": ((2000, 1000), (1000, 1000)),  # detectron2: Base-RCNN-FPN.yaml; before suppression, a level
}
"""Proposals kept before and after suppression, in training and in testing."""


@dataclass(frozen=True, kw_only=True)
class Detection:
    """Faster R-CNN, or Mask R-CNN, trained end to end from a backbone: nothing is frozen, BN is trained."""

    protocol: ClassVar[str] = "detection"

    name: str
    """The schedule."""
    train: tuple[str, ...] = ()
    """Parts trained on, joined. VOC: YEAR/SET such as 2007/trainval, or SET; COCO: train2017. None: trainval, or train2017."""
    test: str = ""
    """The part tested on. None: test, or val2017."""
    masks: bool = False
    """Whether masks are learned and tested too (Mask R-CNN); COCO only."""
    architecture: Literal["C4", "FPN"] = "C4"
    """C4: the last stage is the head of every region. FPN: a pyramid over all stages."""
    iterations: int
    drops: tuple[int, ...]
    """Iterations from which on the rate is a tenth of what it was."""
    warmup: int
    """Iterations in which the rate rises linearly from a thousandth."""
    batch: int = 16
    """Images an iteration."""
    lr: float = 0.02
    """The rate for 16 images; for other batches in proportion."""
    momentum: float = 0.9
    weight_decay: float = 1e-4
    """Of all parameters but those of BN, which have none."""
    short_sides: tuple[int, ...] = tuple(range(640, 801, 32))
    """The shorter side of a training image is one of these, pixels."""
    test_side: int = 800
    """The shorter side of a test image, pixels."""
    max_side: int = 1333
    """The longer side at most, pixels."""
    proposals_train: tuple[int, int] | None = None
    """Proposals an image, before and after suppression; none: ``PROPOSALS``."""
    proposals_test: tuple[int, int] | None = None
    pyramid: int = 256
    """FPN: channels of its maps; the head's hidden layers have four times as many. Both: channels of the layers that make masks."""
    regions: int = 512
    """Proposals of an image that the head learns from, a quarter of them objects at most."""
    detections: int = 100
    """Found in an image at most."""
    precise_bn: int = 3200
    """Training images over which BN's statistics are averaged before the test; 0: the running ones are taken."""
    checkpoint_every: int = 500
    """Iterations."""
    seed: int = 0

    def __post_init__(self) -> None:
        positive = {"iterations": self.iterations, "batch": self.batch, "test_side": self.test_side, "max_side": self.max_side}
        positive |= {"pyramid": self.pyramid, "regions": self.regions, "detections": self.detections, "checkpoint_every": self.checkpoint_every}
        positive |= {"short_sides": min(self.short_sides, default=0)}
        for field, number in positive.items():
            _refuse(number < 1, f"{field}: at least 1, not {number}")
        for field, number in (("warmup", self.warmup), ("precise_bn", self.precise_bn)):
            _refuse(number < 0, f"{field}: 0 or more, not {number}")
        for field, pair in (("proposals_train", self.proposals_train), ("proposals_test", self.proposals_test)):
            _refuse(pair is not None and min(pair) < 1, f"{field}: at least 1 each, not {pair}")
        _refuse(not 0 < self.lr < math.inf, f"lr: above 0, not {self.lr}")
        _refuse(not 0 <= self.momentum < 1, f"momentum: from 0 to below 1, not {self.momentum}")
        _refuse(not 0 <= self.weight_decay < math.inf, f"weight_decay: 0 or more, not {self.weight_decay}")
        _refuse(self.architecture not in PROPOSALS, f"architecture: {self.architecture!r} is none of {', '.join(PROPOSALS)}")

    @property
    def variant(self) -> str:
        """Schedule and architecture, in a word or two."""
        return f"{self.name} {self.architecture}"

    def proposals(self, training: bool) -> tuple[int, int]:
        """Return how many proposals of an image are kept before and after suppression."""
        usual = PROPOSALS[self.architecture][0 if training else 1]
        return (self.proposals_train if training else self.proposals_test) or usual

    def lr_at(self, iteration: int) -> float:
        """Return the rate of ``iteration`` (from 0): lr · batch / 16, less while it warms up and after every drop."""
        peak = self.lr * self.batch / 16 * 0.1 ** sum(iteration >= drop for drop in self.drops)
        done = iteration / self.warmup if iteration < self.warmup else 1.0
        return peak * (WARMUP_FROM * (1 - done) + done)


WARMUP_FROM = 0.001
"""Where the warm-up begins, as a share (detectron2's default)."""


def _refuse(wrong: bool, line: str) -> None:
    if wrong:
        raise UserError(f"detection: {line}")


# What all have in common (MoCo's detection configurations, over detectron2's defaults): batch 16, lr 0.02, momentum 0.9, decay 1e-4 but none of
# BN, warm-up from 1/1000, shorter side 800 in the test and at most 1333 the longer one, 512 regions, 100 detections an image; BN's statistics
# before the test over 200 batches of 16.
_VOC0712 = Detection(
    name="voc0712",
    train=("2007/trainval", "2012/trainval"),
    test="2007/test",
    iterations=24_000,
    drops=(18_000, 22_000),
    warmup=100,
    short_sides=tuple(range(480, 801, 32)),
)
_COCO = Detection(
    name="coco-1x",
    train=("train2017",),
    test="val2017",
    masks=True,
    iterations=90_000,
    drops=(60_000, 80_000),
    warmup=1000,  # detectron2's default
)
DETECTION: dict[str, Detection] = {
    "voc07": replace(
        _VOC0712,
        name="voc07",
        train=("2007/trainval",),
        iterations=9000,  # MoCo v1, Table 4
        drops=(6750, 8250),  # derived: not published; voc0712's shares of the schedule
    ),
    "voc0712": _VOC0712,
    "coco-1x": _COCO,  # detectron2, Base-RCNN-C4
    "coco-2x": replace(_COCO, name="coco-2x", iterations=180_000, drops=(120_000, 160_000)),
    # Ours: what two cores do in minutes. Drops at voc0712's shares of the schedule (derived), the rate by the same rule for a batch of 2.
    "small": Detection(
        name="small",
        iterations=300,
        drops=(225, 275),
        warmup=50,
        batch=2,
        short_sides=(160, 192, 224),
        test_side=224,
        max_side=373,
        proposals_train=(400, 150),
        proposals_test=(200, 50),
        pyramid=64,
        regions=32,
        precise_bn=32,
        checkpoint_every=50,
    ),
}
"""Settings by the name of their schedule."""
