"""PASCAL VOC's average precision, as detectron2's evaluator has it. Everingham et al., IJCV 88, 2010, Sec. 4.2.

A class's detections are gone through by score over all images. Each is held against the object of its image and class that it overlaps
most: above the threshold it finds it, once; a second time it is wrong; a difficult object counts neither way. Overlap is that of boxes whose
pixels count whole (width = xmax - xmin + 1); in the readers' continuous coordinates that is plain area, and no 1 is added.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stopgrad.detection.pictures import Boxes, Picture

Floats = NDArray[np.float64]

THRESHOLDS = tuple(percent / 100 for percent in range(50, 100, 5))


@dataclass(frozen=True, eq=False, kw_only=True)
class Found:
    """What a detector found in one image."""

    boxes: Boxes
    """(d, 4), in the image's own pixels."""
    scores: Floats
    """(d,), 0..1."""
    labels: NDArray[np.int64]
    """(d,), classes from 0."""
    masks: tuple[object, ...] = ()
    """Packed run lengths, one a detection; empty without masks."""


@dataclass(frozen=True, kw_only=True)
class VocScores:
    """Average precisions, 0..1, averaged over the classes that have objects to be found."""

    ap: float
    """Mean over overlaps of .5, .55, …, .95."""
    ap50: float
    ap75: float
    per_class: tuple[float | None, ...]
    """At an overlap of .5; None for a class without objects."""


def voc_scores(truth: Sequence[Picture], found: Sequence[Found], classes: int, eleven_points: bool) -> VocScores:
    """Return the scores of what was ``found`` in the images of ``truth``; NaN where no class has objects.

    ``eleven_points``: the mean of the best precision at recalls from 0, .1, …, 1 on (VOC2007's); else the area under its envelope (2010 and later).
    """
    table = np.full((classes, len(THRESHOLDS)), np.nan)
    for label in range(classes):
        total = sum(int(((p.labels == label) & ~p.difficult).sum()) for p in truth)
        if total:
            best, ignored, order = _matches(truth, found, label)
            for column, threshold in enumerate(THRESHOLDS):
                table[label, column] = _average(*_curve(best, ignored, order, threshold, total), eleven_points)
    rows = table[~np.isnan(table[:, 0])]
    means = rows.mean(axis=0) if len(rows) else np.full(len(THRESHOLDS), np.nan)
    at_half = tuple(None if np.isnan(value) else float(value) for value in table[:, 0])
    return VocScores(ap=float(means.mean()), ap50=float(means[0]), ap75=float(means[5]), per_class=at_half)


def overlaps(boxes: Boxes, others: Boxes) -> Floats:
    """Return the intersections over unions, (n, m), of boxes (n, 4) with (m, 4)."""
    lows = np.maximum(boxes[:, None, :2], others[None, :, :2])
    highs = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    shared = np.clip(highs - lows, 0.0, None).prod(axis=2)
    areas, other_areas = ((b[:, 2:] - b[:, :2]).prod(axis=1) for b in (boxes, others))
    union = areas[:, None] + other_areas[None] - shared
    share: Floats = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return share


def _matches(truth: Sequence[Picture], found: Sequence[Found], label: int) -> tuple[Floats, NDArray[np.bool_], NDArray[np.int64]]:
    """Return of every detection of a class, best score first: its greatest overlap, whether that object is difficult, and the object's number."""
    scores, best, ignored, objects = [], [], [], []
    before = 0  # objects of earlier images
    for picture, detected in zip(truth, found, strict=True):
        of_class, mine = picture.labels == label, detected.labels == label
        boxes, difficult = picture.boxes[of_class], picture.difficult[of_class]
        table = overlaps(detected.boxes[mine], boxes)
        nearest = table.argmax(axis=1) if len(boxes) else np.zeros(len(table), np.int64)
        scores.append(detected.scores[mine])
        best.append(table.max(axis=1) if len(boxes) else np.zeros(len(table)))
        ignored.append(difficult[nearest] if len(boxes) else np.zeros(len(table), bool))
        objects.append(nearest + before)
        before += len(boxes)
    order = np.argsort(-np.concatenate(scores), kind="stable")
    return np.concatenate(best)[order], np.concatenate(ignored)[order], np.concatenate(objects)[order]


def _curve(best: Floats, ignored: NDArray[np.bool_], objects: NDArray[np.int64], threshold: float, total: int) -> tuple[Floats, Floats]:
    """Return recall and precision after every detection."""
    hit = best > threshold
    counted = hit & ~ignored
    first = np.zeros(len(best), bool)
    rows = np.flatnonzero(counted)
    first[rows[np.unique(objects[rows], return_index=True)[1]]] = True
    right, wrong = np.cumsum(first), np.cumsum(~hit | (counted & ~first))
    return right / total, right / np.maximum(right + wrong, 1)


def _average(recall: Floats, precision: Floats, eleven_points: bool) -> float:
    if eleven_points:  # tenths by division, as recalls are: steps of 0.1 would be off by rounding at .3, .6 and .7
        return float(np.mean([precision[recall >= point].max(initial=0.0) for point in np.arange(11) / 10]))
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float((np.diff(recall, prepend=0.0) * envelope).sum())
