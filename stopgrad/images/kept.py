"""A pack of files: what ``stopgrad pack --as-files`` wrote, the files of all images as they were, one behind the other, in one file a part.

The folder holds ``pack.json`` (``Kept``) and, for each part, ``files.bin`` and ``index.parquet``: name (bytes, as the file system has it),
label, offset and size (bytes).
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stopgrad.errors import UserError
from stopgrad.files import whole_folder
from stopgrad.images.bad import Bad, BadImage, refuse_several, refuse_too_many
from stopgrad.images.encoded import WithinFiles
from stopgrad.images.packs import (
    AGAIN,
    FILES,
    INDEX,
    KEPT,
    MANIFEST,
    PARTS,
    Step,
    after,
    finish,
    from_record,
    numbers,
    read_index,
    read_labels,
    refuse_damaged,
    refuse_full,
    write_index,
)
from stopgrad.images.source import Encoded, Names, Source, Splits
from stopgrad.images.threads import in_threads

PLACES = {"offset": "int64", "size": "int64"}
"""Columns of the index, with their types, besides the name and the label."""
READERS = 8
"""Threads that read: they wait for disks, and what they have read waits in memory."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """What pack.json says of a part."""

    images: int
    bytes: int
    """Of files.bin."""
    files_sha256: str
    index_sha256: str


@dataclass(frozen=True, kw_only=True)
class Kept:
    """pack.json."""

    form: int
    classes: tuple[str, ...] | None
    parts: Mapping[str, Part]
    """train and, where there is one, test."""


def keep(splits: Splits, out: Path, max_bad: float, step: Step) -> tuple[Kept, tuple[Bad, ...]]:
    """Write the files of all images to the folder ``out``, whole or not at all, and return what it holds and what could not be read.

    Nothing is decoded: a damaged image stays one, and is set aside by whoever opens it. Raises UserError for images that are no files, when
    more than ``max_bad`` of a part cannot be read, and when the disk does not take it.
    """
    refuse_several(splits, "pack")
    parts = {name: _files(source) for name, source in zip(PARTS, splits, strict=True) if source is not None}
    refuse_full(out, sum(part.total() for part in parts.values()))
    total, done = sum(len(part) for part in parts.values()), 0
    bad: list[Bad] = []
    written: dict[str, Part] = {}
    with whole_folder(out) as folder:
        for name, part in parts.items():
            written[name], unreadable = _write(part, folder / name, after(done, total, step))
            refuse_too_many(part.name, written[name].images, unreadable, max_bad)
            done += len(part)
            bad += unreadable
        manifest = Kept(form=KEPT, classes=splits.train.classes, parts=written)
        finish(folder, manifest, bad)
    return manifest, tuple(bad)


def open_kept(folder: Path, name: str) -> Splits:
    """Return the parts of a pack of files, with the labels it was packed with.

    The form, the sizes of the files and where images lie are checked, the digests are not, as with a pack of pixels. Raises UserError naming
    the file that is missing, damaged or of another form.
    """
    file = folder / MANIFEST
    manifest = from_record(file, _made)
    said = manifest.parts.values()
    refuse_damaged(file, manifest.parts, (n for part in said for n in (part.images, part.bytes)), (t for part in said for t in _digests(part)))
    train = _source(folder, PARTS[0], manifest, name)
    return Splits(train, _source(folder, PARTS[1], manifest, f"{name} (test)") if PARTS[1] in manifest.parts else None)


def _files(source: Source) -> Encoded:
    if not isinstance(source, Encoded):
        raise UserError(f"{source.name}: its images are arrays of pixels, no files that could be kept as they are; pack them without --as-files")
    return source


def _write(source: Encoded, folder: Path, step: Callable[[int], None]) -> tuple[Part, list[Bad]]:
    """Write the files of a part and its index; return what to say of it, and everything of it that is set aside."""
    folder.mkdir()
    bad, kept, sizes, digest = list(source.aside), [], [], hashlib.sha256()
    with open(folder / FILES, "wb") as file:
        for i, content in enumerate(in_threads(lambda i: _content(source, i), range(len(source)), READERS, chunk=1)):
            step(i + 1)
            if isinstance(content, str):
                bad.append((source.names[i], content))
                continue
            file.write(content)
            digest.update(content)
            kept.append(i)
            sizes.append(len(content))
        size = file.tell()
    if kept and not size:
        raise UserError(f"{source.name}: all {len(kept)} files are empty; give images")
    lengths = np.array(sizes, dtype=np.int64)
    places = dict(zip(PLACES, (np.cumsum(lengths) - lengths, lengths), strict=True))
    index = write_index(folder / INDEX, source, np.array(kept, dtype=np.int64), places)
    return Part(images=len(kept), bytes=size, files_sha256=digest.hexdigest(), index_sha256=index), bad


def _content(source: Encoded, i: int) -> bytes | str:
    """Return the file of image ``i``, or why there is none."""
    try:
        return source.content(i)
    except BadImage as bad:
        return str(bad)


def _made(record: dict[str, Any]) -> Kept:
    classes = None if record["classes"] is None else tuple(map(str, record["classes"]))
    return Kept(**{**record, "parts": {part: Part(**said) for part, said in record["parts"].items()}, "classes": classes})


def _digests(part: Part) -> tuple[str, str]:
    return part.files_sha256, part.index_sha256


def _source(folder: Path, part: str, manifest: Kept, name: str) -> WithinFiles:
    said = manifest.parts[part]
    files, index = folder / part / FILES, folder / part / INDEX
    size = files.stat().st_size if files.is_file() else 0
    if size != said.bytes:
        raise UserError(f"{files}: {size} bytes, and {MANIFEST} says {said.bytes}: truncated or replaced; {AGAIN}")
    table = read_index(index, PLACES)
    offsets, lengths = (numbers(table[column]) for column in PLACES)
    if not ((offsets >= 0) & (offsets <= size) & (lengths >= 0) & (lengths <= size - offsets.clip(0, size))).all():
        raise UserError(f"{index}: places an image outside {FILES}; {AGAIN}")
    labels = read_labels(table, said.images, manifest.classes, index)
    return WithinFiles(
        name=name,
        names=Names(table["name"].to_pylist()),
        labels=labels,
        classes=None if labels is None else manifest.classes,
        root=folder / part,
        files=Names([FILES]),
        file=np.zeros(len(table), dtype=np.int64),
        offsets=offsets,
        lengths=lengths,
        digests=_digests(said),
    )
