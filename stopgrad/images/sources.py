"""Where images come from: one function for a folder, shards, a list, a pack, CIFAR, IDX, VOC, the bundled set, or arrays."""

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from stopgrad.errors import UserError
from stopgrad.images.arrays import from_arrays
from stopgrad.images.arrow import of_dataset, open_arrows
from stopgrad.images.bad import listed, printable
from stopgrad.images.bundled import open_bundled
from stopgrad.images.cifar import holds_cifar, open_cifar
from stopgrad.images.folder import LabelRule, open_folder
from stopgrad.images.idx import holds_idx, open_idx
from stopgrad.images.kept import open_kept
from stopgrad.images.listing import COMPRESSED, SHARDS, Listing, list_images
from stopgrad.images.lists import open_list
from stopgrad.images.packed import PackedSource, open_pack
from stopgrad.images.packs import DECODED, KEPT, form_of, holds_pack
from stopgrad.images.parquet import holds_images, open_parquets
from stopgrad.images.place import BUNDLED, existing
from stopgrad.images.shards import refuse_compressed, shards_of
from stopgrad.images.source import ArraySource, FileSource, Labels, Names, Source, Splits
from stopgrad.images.tar import open_tars
from stopgrad.images.voc import open_voc, voc_folder

__all__ = ["ArraySource", "FileSource", "LabelRule", "Labels", "Names", "PackedSource", "Source", "Splits", "from_arrays", "open_splits"]


def open_splits(spec: Any, labels: LabelRule = "auto") -> Splits:
    """Return the training part and, where there is one, the test part of ``spec``; no image is decoded yet.

    spec: ``bundled``; the path of a folder of images, of a list (.csv, .parquet), of what ``stopgrad pack`` wrote, of a .tar, .parquet or
    .arrow file with images in it, or a folder of such, or of a folder with CIFAR-10/100 (binary or Python version), IDX files or PASCAL VOC;
    a Source or Splits; or arrays, as ``from_arrays`` takes them. labels: ``none`` drops them, ``folders`` insists on them, ``auto`` takes
    them where they are obvious. Raises UserError naming what is missing or damaged; a folder without images is an error too.
    """
    if isinstance(spec, Splits | Source):
        splits = spec if isinstance(spec, Splits) else Splits(spec, None)
    elif isinstance(spec, str | os.PathLike):
        splits = _opened(os.fspath(spec), labels)
    else:
        splits = Splits(from_arrays(spec), None)
    if labels == "none":
        return Splits(*(None if part is None else replace(part, labels=None, presence=None, classes=None) for part in splits))  # type: ignore[arg-type]
    if labels == "folders" and splits.train.classes is None:
        raise UserError(f"{splits.train.name}: has no labels; pretrain without (--labels none)")
    return splits


def _opened(spec: str, labels: LabelRule) -> Splits:
    if spec == BUNDLED:
        return open_bundled()
    path = existing(spec)
    if path.is_file():
        return _with_images(_in_file(path, labels, spec))
    for folder in (path, *_only_folder(path)):
        opener = _array_opener(folder)
        if opener:
            return opener(folder, spec)
        if year := voc_folder(folder):
            return _with_images(open_voc(year, labels, spec))
    listing = list_images(path)
    if listing.files or not (listing.shards or listing.compressed):
        return _with_images(open_folder(path, listing, labels, spec))
    return _with_images(_in_shards(path, listing, labels, spec))


def _in_file(path: Path, labels: LabelRule, spec: str) -> Splits:
    """Return what one file holds or lists."""
    if path.name.lower().endswith(COMPRESSED):
        refuse_compressed(spec)
    ending = path.suffix.lower()
    if ending in SHARDS and (ending != ".parquet" or holds_images(path)):
        return _in_shards(path.parent, Listing(shards=[path.name]), labels, spec)
    if ending not in (".csv", ".parquet"):
        raise UserError(
            f"{spec}: is one file; give a folder of images, a list (.csv or .parquet), or a .tar, .parquet or .arrow file with images in it"
        )
    return open_list(path, labels, spec)


def _in_shards(root: Path, listing: Listing, labels: LabelRule, spec: str) -> Splits:
    """Return the images in the files of a folder that hold many each."""
    endings = sorted({os.path.splitext(shard)[1].lower() for shard in listing.shards})
    if listing.compressed and endings in ([], [".tar"]):
        refuse_compressed(f"{spec}: {printable(listing.compressed[0])}")
    if len(endings) > 1:
        raise UserError(f"{spec}: holds {' and '.join(endings)} files; give a folder, or a file, of one kind")
    kept = of_dataset(root, listing.shards) if endings == [".arrow"] else listing.shards
    skipped = Counter({kind: count for kind, count in listing.skipped.items() if kind not in endings})
    skipped[f"{endings[0]} not of the data set"] = len(listing.shards) - len(kept)
    shards = shards_of(root, kept, listing.aside, +skipped)
    return {".tar": open_tars, ".parquet": open_parquets, ".arrow": open_arrows}[endings[0]](shards, labels, spec)


def _array_opener(folder: Path) -> Callable[[Path, str], Splits] | None:
    """Return what opens the pack or the arrays in ``folder``; None when it holds none. Raises UserError for a pack of a form not known."""
    if holds_pack(folder):
        return {DECODED: open_pack, KEPT: open_kept}[form_of(folder)]
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
