"""Where images come from: one function for a folder, a list, a pack, CIFAR, IDX, the bundled set, or arrays."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from stopgrad.errors import UserError
from stopgrad.images.arrays import from_arrays
from stopgrad.images.bad import listed
from stopgrad.images.bundled import open_bundled
from stopgrad.images.cifar import holds_cifar, open_cifar
from stopgrad.images.folder import LabelRule, open_folder
from stopgrad.images.idx import holds_idx, open_idx
from stopgrad.images.lists import open_list
from stopgrad.images.packed import PackedSource, holds_pack, open_pack
from stopgrad.images.place import BUNDLED, existing
from stopgrad.images.source import ArraySource, FileSource, Labels, Names, Source, Splits

__all__ = ["ArraySource", "FileSource", "LabelRule", "Labels", "Names", "PackedSource", "Source", "Splits", "from_arrays", "open_splits"]


def open_splits(spec: Any, labels: LabelRule = "auto") -> Splits:
    """Return the training part and, where there is one, the test part of ``spec``; no image is decoded yet.

    spec: ``bundled``; the path of a folder of images, of a list (.csv, .parquet), of what ``stopgrad pack`` wrote, or of a folder with
    CIFAR-10/100 (binary or Python version) or IDX files; a Source or Splits; or arrays, as ``from_arrays`` takes them. labels: ``none``
    drops them, ``folders`` insists on them, ``auto`` takes them where they are obvious. Raises UserError naming what is missing or damaged;
    a folder without images is an error too.
    """
    if isinstance(spec, Splits | Source):
        splits = spec if isinstance(spec, Splits) else Splits(spec, None)
    elif isinstance(spec, str | os.PathLike):
        splits = _opened(os.fspath(spec), labels)
    else:
        splits = Splits(from_arrays(spec), None)
    if labels == "none":
        return Splits(*(None if part is None else replace(part, labels=None, classes=None) for part in splits))  # type: ignore[arg-type]
    if labels == "folders" and splits.train.labels is None:
        raise UserError(f"{splits.train.name}: has no labels; go on without by --set data.labels=none")
    return splits


def _opened(spec: str, labels: LabelRule) -> Splits:
    if spec == BUNDLED:
        return open_bundled()
    path = existing(spec)
    if path.is_file():
        if path.suffix.lower() not in (".csv", ".parquet"):
            raise UserError(f"{spec}: is one file; give a folder of images, or a list (.csv or .parquet)")
        return _with_images(open_list(path, labels, spec))
    for folder in (path, *_only_folder(path)):
        opener = _array_opener(folder)
        if opener:
            return opener(folder, spec)
    return _with_images(open_folder(path, labels, spec))


def _array_opener(folder: Path) -> Callable[[Path, str], Splits] | None:
    """Return what opens the arrays in ``folder``; None when it holds none."""
    if holds_pack(folder):
        return open_pack
    return open_cifar if holds_cifar(folder) else open_idx if holds_idx(folder) else None


def _only_folder(path: Path) -> list[Path]:
    """Return the folder in ``path`` when there is just one: an archive's own, such as cifar-10-batches-bin."""
    try:
        folders = [child for child in path.iterdir() if child.is_dir() and not child.name.startswith(".")]
    except OSError as error:
        raise UserError(f"{path}: cannot be listed ({error.strerror})") from None
    return folders if len(folders) == 1 else []


def _with_images(splits: Splits) -> Splits:
    train = splits.train
    if not len(train):
        found = [f"{count} {kind}" for kind, count in sorted(train.skipped.items())] + ([listed(train.aside)] if train.aside else [])
        others = f" (but {', '.join(found)})" if found else ""
        raise UserError(f"{train.name}: no images found{others}; give a folder with images in it or below it")
    return splits
