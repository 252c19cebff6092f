"""A folder of image files as a source: its parts and its labels, where its shape shows them."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from stopgrad.errors import UserError
from stopgrad.images.bad import printable
from stopgrad.images.listing import Listing
from stopgrad.images.source import FileSource, Labels, Names, Splits

LabelRule = Literal["auto", "folders", "none"]

TESTS = ("test", "val", "valid", "validation")
"""What a test part may be called, the preferred first."""
MOST_CLASSES = 10_000


def open_folder(root: Path, listing: Listing, rule: LabelRule, name: str) -> Splits:
    """Return the images that ``list_images`` found below ``root``.

    Where all images lie in a folder ``train`` and at least one of ``TESTS``, these are the parts: the first of ``TESTS`` that is there
    is the test part, a further one is counted as skipped. The first folder below a part is the class by rule ``folders``; by rule
    ``auto`` it is where every image of the training part lies exactly one folder deep, in 2 to 10,000 folders holding two images
    each on average. Raises UserError for an image outside any class folder (rule ``folders``), and for a class that only the test part has.
    """
    parts = part_folders(file for file, _ in listing.files)
    for unused in parts[2:]:
        listing.skipped[unused] = len(listing.below(unused).files)
    train = listing.below(parts[0], outside=tuple(parts[1:]))
    classes = class_folders([file for file, _ in train.files], parts[0], rule)
    sources = [_source(train, root, name, parts[0], classes)]
    for part in parts[1:2]:
        test = listing.below(part)
        labelled = classes if rule == "folders" or not strays([file for file, _ in test.files], part) else None
        sources.append(_source(test, root, f"{name} ({part.rstrip('/')})", part, labelled))
    return Splits(sources[0], sources[1] if len(sources) > 1 else None)


def part_folders(names: Iterable[str]) -> list[str]:
    """Return how the names begin in the training part, the test part and those not used; one empty text when the folder is no set of parts."""
    tops = {name.partition("/")[0] if "/" in name else "" for name in names}
    if "train" not in tops or len(tops) < 2 or not tops <= {"train", *TESTS}:
        return [""]
    return ["train/", *(f"{part}/" for part in TESTS if part in tops)]


def strays(names: Iterable[str], part: str) -> list[str]:
    """Return the names, all beginning with ``part``, that lie in no folder of it."""
    return [name for name in names if "/" not in name.removeprefix(part)]


def class_folders(names: Sequence[str], part: str, rule: LabelRule) -> tuple[str, ...] | None:
    """Return the class folders of the training part in order, where there are any; its ``names`` all begin with ``part``."""
    if rule == "none" or not names:
        return None
    inside = [name.removeprefix(part) for name in names]
    classes = sorted({name.partition("/")[0] for name in inside})
    one_deep = all(name.count("/") == 1 for name in inside)
    if rule == "folders" or (one_deep and 2 <= len(classes) <= MOST_CLASSES and len(inside) >= 2 * len(classes)):
        return tuple(classes)
    return None


def class_labels(names: Sequence[str], part: str, classes: tuple[str, ...], name: str) -> Labels:
    """Return the class of every image by its folder. Raises UserError, ``name`` in front, for one outside any, and one of a class not known."""
    without = "or pretrain without labels (--labels none)"
    if outside := strays(names, part):
        raise UserError(f"{name}: {printable(outside[0])} lies in no class folder; move it into one, {without}")
    index = {c: i for i, c in enumerate(classes)}
    found = [file.removeprefix(part).partition("/")[0] for file in names]
    if unknown := sorted(set(found) - index.keys()):
        raise UserError(f"{name}: class {printable(unknown[0])!r} is not in the training part; rename its folder, {without}")
    return np.array([index[c] for c in found], dtype=np.int64)


def _source(listed: Listing, root: Path, name: str, part: str, classes: tuple[str, ...] | None) -> FileSource:
    names = [file for file, _ in listed.files]
    return FileSource(
        name=name,
        names=Names(names),
        labels=None if classes is None else class_labels(names, part, classes, name),
        classes=None if classes is None else tuple(map(printable, classes)),
        aside=tuple(listed.aside),
        skipped=listed.skipped,
        root=root,
        file_sizes=np.array([size for _, size in listed.files], dtype=np.int64),
    )
