"""Few labels: which images of every class are used, and the list of their names.

As many of every class (SimCLR, arXiv:2002.05709, Sec. 4.2: 1 % and 10 % "in a class-balanced way"). Which ones is a function of the labels and
a seed, and those of a smaller share are among those of a larger one.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from stopgrad.errors import UserError
from stopgrad.files import write_whole
from stopgrad.images.bad import printable
from stopgrad.keys import generator

FEW = 5
"""Names or classes that a message gives."""


def balanced(labels: Tensor, share: float, seed: int) -> Tensor:
    """Return rows (n,) int64, ascending, of ``labels`` (N,) int64 from 0: ``share`` · N / classes of every class that there is, at least 1.

    A class with fewer gives all that it has. Raises UserError for a share out of range.
    """
    if not 0 < share <= 1:
        raise UserError(f"share: of the labels, above 0 and at most 1, not {share}")
    there = labels.bincount().nonzero().flatten().tolist()
    each = max(1, round(share * len(labels) / max(len(there), 1)))
    if share == 1:
        return torch.arange(len(labels))
    chosen = [generator("subset", seed, label).permutation(np.flatnonzero(labels.numpy() == label))[:each] for label in there]
    return torch.from_numpy(np.sort(np.concatenate(chosen)))


def remarks(labels: Tensor, rows: Tensor, share: float) -> list[str]:
    """Return what a reader should know of ``rows`` beside the share asked for: that it could not be met, or not in every class alike."""
    counts = labels[rows].bincount()
    counts = counts[counts > 0]
    said = []
    if abs(len(rows) - share * len(labels)) > 0.05 * share * len(labels):
        said.append(f"{len(rows)} labels are used, {len(rows) / len(labels):.2%} of {len(labels)}: at least one a class, and as many of each")
    if counts.min() < counts.max():
        said.append(f"the classes have {counts.min()} to {counts.max()} labelled images: some have no more")
    return said


def write_list(path: Path, name: Callable[[int], str], rows: Tensor) -> None:
    """Write the names of images ``rows`` (n,), one a line, UTF-8. Raises UserError for a name of several lines, or where nothing can be written."""
    names = [name(row) for row in rows.tolist()]
    for one in names:
        if len(one.splitlines()) != 1 or one != one.strip():
            raise UserError(
                f"{path}: the image {printable(one)} has a line break, or a space at an end, in its name, which no list can hold; rename it"
            )
    write_whole(path, "".join(f"{one}\n" for one in names).encode("utf-8", "surrogateescape"))


def read_list(path: Path, name: Callable[[int], str], labels: Tensor, classes: int) -> Tensor:
    """Return the rows (n,) int64, ascending, of the images that a list names, one a line; empty lines are passed over.

    name: of each of the images, whose classes are ``labels`` (N,), from 0 to ``classes`` - 1. Raises UserError when the list cannot be read, names
    an image that is not there or one twice, or leaves a class without an image.
    """
    try:
        text = path.read_bytes().decode("utf-8", "surrogateescape")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); give a text file of image names, one a line") from None
    listed = [line.strip() for line in text.splitlines() if line.strip()]
    rows = {name(row): row for row in range(len(labels))}
    if missing := [one for one in listed if one not in rows]:
        raise UserError(f"{path}: {_few(missing)} not among the {len(labels)} training images; a line is an image's name, such as {name(0)}")
    if twice := [one for one, count in Counter(listed).items() if count > 1]:
        raise UserError(f"{path}: {_few(twice)} listed more than once; name every image once")
    found = torch.tensor(sorted(rows[one] for one in listed), dtype=torch.int64)
    if empty := [str(label) for label in range(classes) if not (labels[found] == label).any()]:
        raise UserError(
            f"{path}: no image of {len(empty)} of the {classes} classes is listed (classes {', '.join(empty[:FEW])}); list one at least of each"
        )
    return found


def digest(rows: Tensor) -> str:
    """Return the SHA-256 (hex) of rows (n,) int64, which a record keeps."""
    return hashlib.sha256(rows.numpy().astype("<i8").tobytes()).hexdigest()


def _few(names: Sequence[str]) -> str:
    shown = ", ".join(map(printable, names[:FEW]))
    return f"{shown}{f' and {len(names) - FEW} more' if len(names) > FEW else ''} {'is' if len(names) == 1 else 'are'}"
