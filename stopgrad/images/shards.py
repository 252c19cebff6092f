"""Files that hold many images each (.tar, .parquet, .arrow): which of them are the parts, and labels that are said by a word an image."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray

from stopgrad.errors import UserError
from stopgrad.images.bad import Bad
from stopgrad.images.folder import TESTS
from stopgrad.images.lists import in_order, numbered
from stopgrad.images.source import Labels

UNLABELLED = "has no label, and others have one (--labels none takes it too)"
"""Why an image is set aside that has no label among others that have."""


@dataclass(frozen=True)
class Shards:
    """The files of a source, in the order of their names, which are relative to ``root``."""

    root: Path
    train: list[str]
    test: list[str]
    """Empty where the names tell no parts."""
    test_name: str
    """What the test part is called."""
    aside: list[Bad]
    skipped: Counter[str]


def shards_of(root: Path, names: Sequence[str], aside: Iterable[Bad] = (), skipped: Mapping[str, int] | None = None) -> Shards:
    """Return ``names`` parted: where each says train or one of ``TESTS`` (``train-0001.tar``, ``val/0001.tar``), and some say train and some not.

    Of several such words in a name the last counts. The first of ``TESTS`` that is there is the test part; a further one is counted as skipped.
    """
    said: dict[str, list[str]] = {}
    for name in names:
        words = [word for word in re.split("[^a-z]+", name.lower()) if word in ("train", *TESTS)]
        said.setdefault(words[-1] if words else "", []).append(name)
    counted = Counter(skipped or {})
    tests = [part for part in TESTS if part in said]
    if "" in said or "train" not in said or not tests:
        return Shards(root, list(names), [], "", list(aside), counted)
    for unused in tests[1:]:
        counted[f"files of {unused}"] = len(said[unused])
    return Shards(root, said["train"], said[tests[0]], tests[0], list(aside), counted)


class Labelled(NamedTuple):
    """The labels of a part."""

    rows: NDArray[np.int64]
    """Indices of its images that are used."""
    labels: Labels | None
    """One for each of ``rows``; None without labels."""
    bad: list[int]
    """Indices of those set aside, because only others have a label."""


def labelled(words: Sequence[str | None], order: tuple[str, ...] | None, name: str) -> Labelled:
    """Return the labels of a part whose images say ``words``, numbered as in ``order``; without an order, or any word, there are none.

    Raises UserError for a word that is not in ``order``.
    """
    if order is None or all(word is None for word in words):
        return Labelled(np.arange(len(words), dtype=np.int64), None, [])
    rows = [i for i, word in enumerate(words) if word is not None]
    bad = [i for i, word in enumerate(words) if word is None]
    return Labelled(np.array(rows, dtype=np.int64), numbered([word for word in words if word is not None], order, name), bad)


def order_of(words: Iterable[str | None]) -> tuple[str, ...] | None:
    """Return the classes that the words of the training part are, in order; None where there is no word."""
    found = {word for word in words if word is not None}
    return in_order(found) if found else None


def refuse_compressed(name: str, how: str = "") -> NoReturn:
    """Raise UserError for a compressed archive."""
    raise UserError(f"{name}: a compressed archive{how}, whose images cannot be read where they lie; decompress it, .tar files are read as they are")
