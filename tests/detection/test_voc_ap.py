"""VOC's average precision: cases worked out by hand, and a slow reference in VOC's own coordinates (from 1, inclusive, + 1)."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from stopgrad.detection.pictures import Picture
from stopgrad.detection.voc_ap import THRESHOLDS, Found, overlaps, voc_scores


def picture(boxes: list[list[float]], labels: list[int] | None = None, difficult: list[bool] | None = None) -> Picture:
    n = len(boxes)
    return Picture(
        path=Path("x.jpg"),
        number=0,
        height=100,
        width=100,
        boxes=np.array(boxes, float).reshape(n, 4),
        labels=np.array(labels if labels is not None else [0] * n, np.int64),
        difficult=np.array(difficult if difficult is not None else [False] * n, bool),
        crowd=np.zeros(n, bool),
        areas=np.zeros(n),
    )


def found(boxes: list[list[float]], scores: list[float], labels: list[int] | None = None) -> Found:
    n = len(boxes)
    return Found(boxes=np.array(boxes, float).reshape(n, 4), scores=np.array(scores, float), labels=np.array(labels or [0] * n, np.int64))


A, B, C, FAR = [0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10], [80, 80, 90, 90]


def test_three_objects_five_detections() -> None:
    """Right, wrong, right, again the first (wrong), none for C.

    Recall 1/3, 1/3, 2/3, 2/3; precision 1, 1/2, 2/3, 1/2. Area: 1/3 · 1 + 1/3 · 2/3 = 5/9.
    Eleven points: 0, .1, .2, .3 have 1; .4, .5, .6 have 2/3; .7 to 1 have 0: (4 + 3 · 2/3) / 11 = 6/11.
    """
    truth, detected = [picture([A, B, C])], [found([A, FAR, B, A], [0.9, 0.8, 0.7, 0.6])]
    assert voc_scores(truth, detected, 1, eleven_points=False).ap50 == pytest.approx(5 / 9, abs=1e-12)
    eleven = voc_scores(truth, detected, 1, eleven_points=True)
    assert eleven.ap50 == pytest.approx(6 / 11, abs=1e-12)
    assert eleven.ap == pytest.approx(6 / 11, abs=1e-12)  # boxes that fit exactly count at every overlap


def test_difficult_objects_count_neither_way() -> None:
    """A is difficult: of two detections on it neither is wrong; B is the only object. Precision is 1 at recall 1."""
    truth, detected = [picture([A, B], difficult=[True, False])], [found([A, A, B], [0.9, 0.8, 0.7])]
    assert voc_scores(truth, detected, 1, eleven_points=False).ap50 == 1
    nothing = voc_scores([picture([A], difficult=[True])], [found([A], [0.9])], 1, eleven_points=False)
    assert np.isnan(nothing.ap)
    assert nothing.per_class == (None,)


def test_the_object_overlapped_most_is_the_only_one_tried() -> None:
    """The second detection overlaps A most, which is found already: it is wrong, though it overlaps its neighbour enough. Area: 1/2 · 1."""
    near = [0, 0, 10, 11]
    truth, detected = [picture([A, near])], [found([A, A], [0.9, 0.8])]
    assert voc_scores(truth, detected, 1, eleven_points=False).ap50 == 0.5


@pytest.mark.parametrize(("width", "right"), [(5, False), (5.01, True)])
def test_an_overlap_of_exactly_the_threshold_is_too_little(width: float, right: bool) -> None:
    scores = voc_scores([picture([A])], [found([[0, 0, width, 10]], [0.5])], 1, eleven_points=False)
    assert (scores.ap50, scores.ap75) == (float(right), 0.0)
    assert scores.ap == pytest.approx(right / 10)


def test_classes_are_averaged_and_those_without_objects_left_out() -> None:
    truth = [picture([A, B], [0, 1])]
    scores = voc_scores(truth, [found([A, FAR], [0.9, 0.8], [0, 2])], 3, eleven_points=False)
    assert scores.per_class == (1.0, 0.0, None)
    assert scores.ap50 == 0.5


def test_detections_are_gone_through_over_all_images() -> None:
    """The wrong one, of the second image, has the best score: precision 0, then 1/2 at recall 1/2; B is missed. Area: 1/2 · 1/2."""
    truth = [picture([A]), picture([B])]
    detected = [found([A], [0.5]), found([FAR], [0.9])]
    assert voc_scores(truth, detected, 1, eleven_points=False).ap50 == 0.25


def test_images_without_objects_or_detections() -> None:
    truth = [picture([]), picture([A])]
    assert voc_scores(truth, [found([], []), found([], [])], 1, eleven_points=True).ap == 0
    assert voc_scores(truth, [found([FAR], [0.1]), found([A], [0.9])], 1, eleven_points=True).ap == pytest.approx(1)


@pytest.mark.parametrize("eleven_points", [True, False])
@pytest.mark.parametrize("seed", range(6))
def test_a_slow_reference_in_voc_coordinates_agrees(seed: int, eleven_points: bool) -> None:
    g = np.random.default_rng(seed)
    truth, detected = [], []
    for _ in range(12):
        n = int(g.integers(0, 6))
        lows = g.integers(0, 60, (n, 2))
        boxes = np.concatenate([lows, lows + g.integers(5, 40, (n, 2))], 1).astype(float)
        truth.append(picture(boxes.tolist(), g.integers(0, 3, n).tolist(), (g.random(n) < 0.2).tolist()))
        repeated = np.concatenate([boxes, boxes, g.integers(0, 50, (3, 4)) + np.array([0, 0, 51, 51])])
        moved = repeated + g.integers(-6, 7, repeated.shape)
        moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2] + 1)
        labels = np.concatenate([truth[-1].labels, truth[-1].labels, g.integers(0, 3, 3)])
        detected.append(found(moved.tolist(), g.permutation(1000)[: len(moved)].astype(float).tolist(), labels.tolist()))
    scores = voc_scores(truth, detected, 3, eleven_points)
    table = [[slow(truth, detected, label, threshold, eleven_points) for threshold in THRESHOLDS] for label in range(3)]
    means = np.mean(table, axis=0)
    assert 0.05 < means[0] < 0.95
    assert (scores.ap50, scores.ap75, scores.ap) == pytest.approx((means[0], means[5], means.mean()), abs=1e-12)


def slow(truth: list[Picture], detected: list[Found], label: int, threshold: float, eleven_points: bool) -> float:
    """One class at one overlap, box by box, with pixels counted from 1 and the last one inside."""
    listed = sorted(
        ((score, image, box) for image, d in enumerate(detected) for box, score, of in zip(d.boxes, d.scores, d.labels, strict=True) if of == label),
        key=lambda entry: -entry[0],
    )
    total = sum(int(of == label and not hard) for p in truth for of, hard in zip(p.labels, p.difficult, strict=True))
    taken: set[tuple[int, int]] = set()
    right = wrong = 0
    points: list[tuple[float, float]] = []
    for _, image, box in listed:
        best, at = 0.0, -1
        for row, (other, of) in enumerate(zip(truth[image].boxes, truth[image].labels, strict=True)):
            if of == label and (share := inclusive_share(box, other)) > best:
                best, at = share, row
        if best > threshold:
            if truth[image].difficult[at]:
                pass
            elif (image, at) in taken:
                wrong += 1
            else:
                taken.add((image, at))
                right += 1
        else:
            wrong += 1
        points.append((right / total, right / (right + wrong) if right + wrong else 0.0))
    if eleven_points:
        return sum(max([p for r, p in points if r >= tenth / 10], default=0.0) for tenth in range(11)) / 11
    area, before = 0.0, 0.0
    for recall in sorted({r for r, _ in points}):
        area += (recall - before) * max(p for r, p in points if r >= recall)
        before = recall
    return area


def inclusive_share(box: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    a, b = (v + np.array([1, 1, 0, 0]) for v in (box, other))  # back to VOC's corners
    width = min(a[2], b[2]) - max(a[0], b[0]) + 1
    height = min(a[3], b[3]) - max(a[1], b[1]) + 1
    shared = max(width, 0) * max(height, 0)
    areas = [(v[2] - v[0] + 1) * (v[3] - v[1] + 1) for v in (a, b)]
    return float(shared / (sum(areas) - shared))


def test_overlaps() -> None:
    table = overlaps(np.array([A, FAR], float), np.array([A, [5, 0, 15, 10], [3, 3, 3, 3]], float))
    assert table == pytest.approx(np.array([[1, 1 / 3, 0], [0, 0, 0]]))
