"""Tar shards as a source, webdataset's among them: members are read where they lie, by their places, and never taken out."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from stopgrad.errors import UserError
from stopgrad.images.bad import Bad, printable
from stopgrad.images.encoded import WithinFiles
from stopgrad.images.folder import LabelRule, class_folders, class_labels, part_folders, strays
from stopgrad.images.listing import EXTENSIONS
from stopgrad.images.members import BLOCK, Damaged, Member, members
from stopgrad.images.shards import Part, Shards, source_of
from stopgrad.images.source import Splits
from stopgrad.images.threads import cores, in_threads

COMPRESSIONS = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd", b"\x04\x22\x4d\x18": "lz4", b"\x1f\x9d": "compress"}
"""How files begin that are compressed, and by what."""
KINDS = {b"1": "a link", b"2": "a link", b"3": "a device", b"4": "a device", b"6": "a pipe"}


def open_tars(shards: Shards, rule: LabelRule, name: str) -> Splits:
    """Return the images in tar files.

    Labels, by rule ``auto``: what members ``KEY.cls`` say, where the training part has any (a key is a name up to the first dot of its last
    part; an image whose key has none is set aside); else, and by rule ``folders``, the folders in the archives, as ``open_folder`` takes them.
    So are the parts, where the shards' names tell none; a folder that all images of a part lie in is passed over. Raises UserError for a
    compressed archive, and as ``open_folder`` does.
    """
    every = [*shards.train, *shards.test]
    found = dict(zip(every, in_threads(partial(_index, shards.root), every, 4 * cores(), 1), strict=True))
    parts = [_part(shards.train, found, name, shards)]
    if shards.test:
        parts.append(_part(shards.test, found, f"{name} ({shards.test_name})", shards))
    else:
        parts = _parted(parts[0], name)
    words = rule == "auto" and any(part.words is not None for part in parts[:1])
    sources = [source_of(part, shards.root) for part in (_by_words(parts) if words else _by_folders(parts, rule))]
    return Splits(sources[0], sources[1] if len(sources) > 1 else None)
