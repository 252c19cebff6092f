"""PASCAL VOC folders as images of which each may show several classes: the devkit's classification task (Everingham et al., IJCV 2010)."""

import os
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from stopgrad.errors import UserError
from stopgrad.images.bad import printable
from stopgrad.images.folder import LabelRule
from stopgrad.images.listing import EXTENSIONS
from stopgrad.images.source import FileSource, Names, Presence, Splits
from stopgrad.images.voc_objects import objects

_IMAGES, _LISTS, _OBJECTS = "JPEGImages", Path("ImageSets", "Main"), "Annotations"

Said = dict[str, dict[str, int]]
"""Class to image to 1 (shown), 0 (all that is shown is difficult) or -1; images that are left out do not show it."""


def voc_folder(path: Path) -> Path | None:
    """Return the folder of one year that ``path`` is, or holds; None when there is none. Raises UserError when it holds several."""
    if _is_year(path):
        return path
    years = sorted(folder for folder in path.glob("VOC[0-9][0-9][0-9][0-9]") if _is_year(folder))
    if len(years) > 1:
        raise UserError(f"{path}: holds {' and '.join(year.name for year in years)}; name the one that is meant, such as {years[0]}")
    return years[0] if years else None


def open_voc(folder: Path, rule: LabelRule, name: str) -> Splits:
    """Return the images of a VOC folder, with what each of them shows.

    Parts are the lists of ImageSets/Main: trainval (else train) and test; without a list test, train and val; without any list all images
    are the training part. Labels are CLASS_PART.txt beside the lists (1, -1, and 0 for what only difficult objects show), else the objects
    of Annotations: a class is shown by any object that is not difficult. A part none of whose images has an annotation has no labels.
    Raises UserError for a list that cannot be read or contradicts another, and a missing or damaged annotation.
    """
    files = _files(folder)
    chosen, unused = _parts(folder)
    listed = [_lines(folder / _LISTS / f"{part}.txt") if part else sorted(files) for part in chosen]
    skipped = Counter({f"list {part}": 1 for part in unused})
    skipped["images in no list used"] = len(files.keys() - set().union(*listed))
    said = [None if rule == "none" else _said(folder, part, images) for part, images in zip(chosen, listed, strict=True)]
    classes = None if said[0] is None else tuple(sorted({label for part in said if part is not None for label in part}))
    sources: list[FileSource] = []
    for part, images, shown in zip(chosen, listed, said, strict=True):
        labels = None if classes is None or shown is None else _presence(images, shown, classes)
        names = [files.get(image, (f"{image}.jpg", -1)) for image in images]
        source = FileSource(
            name=name if not sources else f"{name} ({part})",
            names=Names(f"{_IMAGES}/{file}" for file, _ in names),
            labels=None,
            presence=labels,
            classes=None if labels is None or classes is None else tuple(map(printable, classes)),
            skipped=+skipped if not sources else {},
            root=folder,
            file_sizes=np.array([size for _, size in names], dtype=np.int64),
        )
        sources.append(source)
    return Splits(sources[0], sources[1] if len(sources) > 1 else None)


def _is_year(path: Path) -> bool:
    return (path / _IMAGES).is_dir() and ((path / _LISTS).is_dir() or (path / _OBJECTS).is_dir())


def _parts(folder: Path) -> tuple[list[str], list[str]]:
    """Return the lists of the training and the test part, and the others; an empty text stands for all images."""
    there = [part for part in ("trainval", "train", "val", "test") if (folder / _LISTS / f"{part}.txt").is_file()]
    if "test" in there:
        if there[0] not in ("trainval", "train"):
            raise UserError(f"{folder / _LISTS}: lists test and neither trainval nor train; add trainval.txt")
        chosen = [there[0], "test"]
    elif {"train", "val"} <= set(there):
        chosen = ["train", "val"]
    else:
        chosen = there[:1] or [""]
    covered = {"train", "val"} if chosen[0] == "trainval" else {"trainval"} if chosen == ["train", "val"] else set()
    return chosen, [part for part in there if part not in chosen and part not in covered]


def _files(folder: Path) -> dict[str, tuple[str, int]]:
    """Return the image files by their name without ending: name and size."""
    found: dict[str, tuple[str, int]] = {}
    try:
        for entry in os.scandir(folder / _IMAGES):
            stem, ending = os.path.splitext(entry.name)
            if ending.lower() in EXTENSIONS and not entry.name.startswith("."):
                found[stem] = (entry.name, entry.stat().st_size if entry.is_file() else -1)
    except OSError as error:
        raise UserError(f"{folder / _IMAGES}: cannot be listed ({error.strerror})") from None
    return found


def _said(folder: Path, part: str, images: Sequence[str]) -> Said | None:
    """Return what the images of a part show; None where nothing is said of any."""
    files = sorted((folder / _LISTS).glob(f"*_{part}.txt")) if part else []
    if files:
        return {file.name.removesuffix(f"_{part}.txt"): _of_class(file, images) for file in files}
    places = [folder / _OBJECTS / f"{image}.xml" for image in images]
    there = [place.is_file() for place in places]
    if not any(there):
        return None
    if not all(there):
        raise UserError(f"{places[there.index(False)]}: no such annotation, and other images have one; add it, or go on by --labels none")
    said: Said = {}
    for image, place in zip(images, places, strict=True):
        for label, difficult in objects(place):
            shown = said.setdefault(label, {})
            shown[image] = max(shown.get(image, 0), 0 if difficult else 1)
    return said


def _of_class(file: Path, images: Sequence[str]) -> dict[str, int]:
    """Return the values of a list ``IMAGE 1``, ``IMAGE -1`` or ``IMAGE 0``, one a line."""
    said: dict[str, int] = {}
    for number, line in enumerate(_read(file), start=1):
        words = line.split()
        if len(words) != 2 or words[1] not in ("1", "-1", "0") or words[0] in said:
            raise UserError(f"{file}: line {number} is {printable(line)!r}; every image has one line, its name and 1, -1 or 0")
        said[words[0]] = int(words[1])
    if odd := sorted(said.keys() ^ set(images)):
        raise UserError(f"{file}: {printable(odd[0])} is in this list or in that of its part, and not in both; take both from one devkit")
    return said


def _lines(file: Path) -> list[str]:
    """Return the images of a list, one a line."""
    found = [line.split()[0] for line in _read(file)]
    if twice := [image for image, after in pairwise(sorted(found)) if image == after]:
        raise UserError(f"{file}: {printable(twice[0])} stands there twice; remove one of the lines")
    if odd := [image for image in found if "/" in image or image.startswith(".")]:
        raise UserError(f"{file}: {printable(odd[0])!r} is no name of an image in {_IMAGES}; take the list from the devkit")
    return found


def _read(file: Path) -> list[str]:
    try:
        return [line for line in file.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: cannot be read ({error}); it must be text with an image a line") from None


def _presence(images: Sequence[str], said: Said, classes: Sequence[str]) -> Presence:
    """Return (images, classes) int8: 1 shown, -1 not, 0 not to be counted."""
    table = np.full((len(images), len(classes)), -1, dtype=np.int8)
    row = {image: i for i, image in enumerate(images)}
    for column, label in enumerate(classes):
        for image, value in said.get(label, {}).items():
            table[row[image], column] = value
    return table
