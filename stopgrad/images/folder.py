"""A folder of image files as a source: its parts and its labels, where its shape shows them."""

from pathlib import Path
from typing import Literal

import numpy as np

from stopgrad.errors import UserError
from stopgrad.images.bad import printable
from stopgrad.images.listing import Listing, list_images
from stopgrad.images.source import FileSource, Labels, Names, Splits

LabelRule = Literal["auto", "folders", "none"]

TESTS = ("test", "val", "valid", "validation")
"""What a test part may be called, the preferred first."""
MOST_CLASSES = 10_000


def open_folder(root: Path, rule: LabelRule, name: str) -> Splits:
    """Return the images below ``root``.

    Where all images lie in a folder ``train`` and at least one of ``TESTS``, these are the parts: the first of ``TESTS`` that is there
    is the test part, a further one is counted as skipped. The first folder below a part is the class by rule ``folders``; by rule
    ``auto`` it is where every image of the training part lies exactly one folder deep, in 2 to 10,000 folders holding two images
    each on average. Raises UserError for an image outside any class folder (rule ``folders``), and for a class that only the test part has.
    """
    listing = list_images(root)
    prefixes = _prefixes(listing)
    for unused in prefixes[2:]:
        listing.skipped[unused] = len(listing.below(unused).files)
    train = listing.below(prefixes[0], outside=tuple(prefixes[1:]))
    classes = _classes(train, prefixes[0], rule, name)
    parts = [_source(train, root, name, prefixes[0], classes)]
    for prefix in prefixes[1:2]:
        test = listing.below(prefix)
        labelled = classes if rule == "folders" or not _strays(test, prefix) else None
        parts.append(_source(test, root, f"{name} ({prefix.rstrip('/')})", prefix, labelled))
    return Splits(parts[0], parts[1] if len(parts) > 1 else None)


def _prefixes(listing: Listing) -> list[str]:
    """Return how the names begin in the training part, the test part and those not used; one empty text when the folder is no set of parts."""
    tops = {file.partition("/")[0] if "/" in file else "" for file, _ in listing.files}
    if "train" not in tops or len(tops) < 2 or not tops <= {"train", *TESTS}:
        return [""]
    return ["train/", *(f"{part}/" for part in TESTS if part in tops)]


def _strays(part: Listing, prefix: str) -> list[str]:
    """Return the images that lie in no folder of the part."""
    return [file for file, _ in part.files if "/" not in file.removeprefix(prefix)]


def _classes(train: Listing, prefix: str, rule: LabelRule, name: str) -> tuple[str, ...] | None:
    """Return the class folders in order, where there are any."""
    if rule == "none" or not train.files:
        return None
    names = [file.removeprefix(prefix) for file, _ in train.files]
    classes = sorted({file.partition("/")[0] for file in names})
    one_deep = all(file.count("/") == 1 for file in names)
    if rule == "folders" or (one_deep and 2 <= len(classes) <= MOST_CLASSES and len(names) >= 2 * len(classes)):
        return tuple(classes)
    return None


def _source(part: Listing, root: Path, name: str, prefix: str, classes: tuple[str, ...] | None) -> FileSource:
    return FileSource(
        name=name,
        names=Names(file for file, _ in part.files),
        labels=None if classes is None else _labels(part, name, prefix, classes),
        classes=None if classes is None else tuple(map(printable, classes)),
        aside=tuple(part.aside),
        skipped=part.skipped,
        root=root,
        file_sizes=np.array([size for _, size in part.files], dtype=np.int64),
    )


def _labels(part: Listing, name: str, prefix: str, classes: tuple[str, ...]) -> Labels:
    without = "or go on without labels by --set data.labels=none"
    if strays := _strays(part, prefix):
        raise UserError(f"{name}: {printable(strays[0])} lies in no class folder; move it into one, {without}")
    index = {c: i for i, c in enumerate(classes)}
    found = [file.removeprefix(prefix).partition("/")[0] for file, _ in part.files]
    if unknown := sorted(set(found) - index.keys()):
        raise UserError(f"{name}: class {printable(unknown[0])!r} is not in the training part; rename its folder, {without}")
    return np.array([index[c] for c in found], dtype=np.int64)
