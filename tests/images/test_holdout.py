"""A tenth of every class is held out where a labelled source has no test part, the same one always."""

import numpy as np

from stopgrad.images.holdout import with_held_out
from stopgrad.images.sources import Splits, from_arrays


def source(labels: list[int] | None) -> Splits:
    images = np.arange(60, dtype=np.uint8)[:, None, None, None] * np.ones((1, 1, 2, 2), dtype=np.uint8)
    known = None if labels is None else np.array(labels)
    return Splits(from_arrays(images[:, 0], labels=known, classes=None if labels is None else ("a", "b")), None)


def test_parts_are_disjoint_and_stratified() -> None:
    train, test = with_held_out(source([0] * 40 + [1] * 20))
    assert test is not None
    assert test.labels is not None
    assert np.bincount(test.labels).tolist() == [4, 2]
    numbers = [int(part.array()[i, 0, 0, 0]) for part in (train, test) for i in range(len(part))]  # type: ignore[index]
    assert sorted(numbers) == list(range(60))
    assert train.labels is not None
    for part in (train, test):
        assert part.labels is not None
        for i in range(len(part)):
            assert part.labels[i] == (part.array()[i, 0, 0, 0] >= 40)  # type: ignore[index]


def test_the_same_images_are_held_out_every_time() -> None:
    a, b = (with_held_out(source([0] * 40 + [1] * 20)).test for _ in range(2))
    assert a is not None
    assert b is not None
    assert a.fingerprint() == b.fingerprint()


def test_the_pixels_of_arrays_are_in_the_fingerprint() -> None:
    images, labels = np.zeros((20, 4, 4), np.uint8), [0] * 20
    first, second = (with_held_out(Splits(from_arrays(images + i, labels), None)).train for i in range(2))
    assert first.fingerprint() != second.fingerprint()


def test_nothing_is_held_out_without_labels_or_beside_a_test_part() -> None:
    unlabelled = source(None)
    assert with_held_out(unlabelled) == unlabelled
    whole = source([0] * 60)
    own = Splits(whole.train, whole.train)
    assert with_held_out(own) == own
