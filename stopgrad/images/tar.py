"""Tar shards as a source, webdataset's among them: members are read where they lie, by their places, and never taken out."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stopgrad.images.bad import Bad, printable
from stopgrad.images.encoded import WithinFiles
from stopgrad.images.folder import LabelRule, class_folders, class_labels, part_folders, strays
from stopgrad.images.listing import EXTENSIONS
from stopgrad.images.members import BLOCK, Damaged, Member, members
from stopgrad.images.shards import UNLABELLED, Shards, labelled, order_of, refuse_compressed
from stopgrad.images.source import Labels, Names, Splits
from stopgrad.images.threads import cores, in_threads

COMPRESSIONS = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd", b"\x04\x22\x4d\x18": "lz4"}
"""How files begin that are compressed, and by what."""
KINDS = {b"1": "a link", b"2": "a link", b"3": "a device", b"4": "a device", b"6": "a pipe"}
AGAIN = "another member of this name comes later and replaces it"


def open_tars(shards: Shards, rule: LabelRule, name: str) -> Splits:
    """Return the images in tar files.

    Labels, by rule ``auto``: what members ``KEY.cls`` say, where the training part has any (a key is a name up to the first dot of its last
    part; an image whose key has none is set aside); else, and by rule ``folders``, the folders in the archives as ``open_folder`` takes them.
    So are the parts, where the names of the shards tell none; folders that all images of a part lie in are passed over. Raises UserError
    for a compressed archive, and as ``open_folder`` does.
    """
    every = [*shards.train, *shards.test]
    found = dict(zip(every, in_threads(partial(_index, shards.root), every, 4 * cores(), 1), strict=True))
    train = _joined(name, shards.train, found)
    train = replace(train, aside=[*shards.aside, *train.aside], skipped=train.skipped + shards.skipped)
    parts = [train, _joined(f"{name} ({shards.test_name})", shards.test, found)] if shards.test else _parted(train)
    order = order_of(parts[0].words) if rule == "auto" else None
    sources = [_said(part, shards.root, order) for part in parts] if order is not None else _in_folders(parts, shards.root, rule)
    return Splits(sources[0], sources[1] if len(sources) > 1 else None)


@dataclass
class _Shard:
    """What lies in a shard."""

    images: dict[bytes, tuple[int, int]] = field(default_factory=dict)
    """Name → offset and bytes."""
    classes: dict[bytes, str | None] = field(default_factory=dict)
    """Key → what its .cls says; None where that is no word."""
    aside: list[Bad] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)


def _index(root: Path, shard: str) -> _Shard:
    """Return what lies in a shard; what cannot be used is set aside with its reason. Raises UserError for a compressed one."""
    found = _Shard()
    try:
        handle = os.open(root / shard, os.O_RDONLY)
        try:
            begin, length = os.pread(handle, 8, 0), os.fstat(handle).st_size
            for member in members(handle, length):
                _note(member, shard, found)
        finally:
            os.close(handle)
        if not length:
            found.aside.append((printable(shard), "empty file"))
    except OSError as error:
        found.aside.append((printable(shard), error.strerror or str(error)))
    except Damaged as damage:
        for magic, kind in COMPRESSIONS.items():
            if begin.startswith(magic) and not found.images:
                refuse_compressed(str(root / shard), f" ({kind})")
        found.aside.append((printable(shard), f"damaged behind {len(found.images)} images: {damage}"))
    return found


def _note(member: Member, shard: str, found: _Shard) -> None:
    """Take a member for an image or a label, or set it aside, or count it."""
    words = [word for word in member.name.split(b"/") if word not in (b"", b".")]
    if member.kind == b"5" or member.name.endswith(b"/") or not words:
        return
    name = b"/".join(words)
    ending = os.path.splitext(words[-1])[1].lower().decode("utf-8", "surrogateescape")
    if b".." not in words and (name.startswith(b".") or b"/." in name):
        found.skipped["hidden"] += 1
    elif ending == ".cls" and not _refusal(member, words):
        found.classes[_key(name)] = _word(member)
    elif ending not in EXTENSIONS and not member.missing:
        found.skipped[printable(ending) or "no ending"] += 1
    elif reason := _refusal(member, words):
        found.aside.append((_shown(shard, name), reason))
    else:
        if found.images.pop(name, None):
            found.aside.append((_shown(shard, name), AGAIN))
        found.images[name] = (member.offset, member.size)


def _shown(shard: str, name: bytes) -> str:
    return printable(f"{shard}/{name.decode('utf-8', 'surrogateescape')}")


def _refusal(member: Member, words: Sequence[bytes]) -> str | None:
    """Return why a member is no whole file."""
    if b".." in words:
        return "its name leads out of the archive"
    if member.kind != b"0":
        return f"{KINDS.get(member.kind, f'an entry of kind {member.kind!r}')}, not a file"
    if member.sparse:
        return "a sparse file, whose holes the archive leaves out"
    return _cut(member) if member.missing else None


def _cut(member: Member) -> str:
    return f"the archive is truncated: {member.size - member.missing} of its {member.size} bytes are there"


def _key(name: bytes) -> bytes:
    """Return what the members of one sample have in common: the name up to the first dot behind the last folder."""
    folder, slash, last = name.rpartition(b"/")
    return folder + slash + last.partition(b".")[0]


def _word(member: Member) -> str | None:
    """Return the label that a .cls is: a word, or a whole number without leading zeros."""
    try:
        word = member.first.decode().strip()
    except UnicodeDecodeError:
        return None
    if not word or member.size > BLOCK:
        return None
    return str(int(word)) if word.isdecimal() else word


@dataclass(frozen=True)
class _Part:
    """A part before its labels are settled: the images of some shards. What lies in the same place of every list belongs to one image."""

    name: str
    shards: list[str]
    names: list[bytes]
    inside: list[str]
    """Their names within the archives, without the folders that all have in common."""
    common: str
    """The last of these folders."""
    words: list[str | None]
    """What their .cls say."""
    places: NDArray[np.int64]
    """(images, 3): which shard, the bytes before it, its bytes."""
    aside: list[Bad]
    skipped: Counter[str]

    def take(self, rows: Sequence[int] | NDArray[np.int64]) -> "_Part":
        """Return the part with the images ``rows`` alone."""
        names, inside, words = ([column[i] for i in rows] for column in (self.names, self.inside, self.words))
        return replace(self, names=names, inside=inside, words=words, places=self.places[np.asarray(rows, dtype=np.int64)])  # type: ignore[arg-type]


def _joined(name: str, shards: list[str], found: dict[str, _Shard]) -> _Part:
    """Return the images of ``shards`` as one part."""
    encoded = [shard.encode("utf-8", "surrogateescape") for shard in shards]
    images = [(number, member, place) for number, shard in enumerate(shards) for member, place in found[shard].images.items()]
    inside = [member.decode("utf-8", "surrogateescape") for _, member, _ in images]
    common = os.path.commonpath([os.path.dirname(name) for name in inside]) if inside else ""
    return _Part(
        name=name,
        shards=shards,
        names=[encoded[number] + b"/" + member for number, member, _ in images],
        inside=[name[len(common) + 1 :] if common else name for name in inside],
        common=os.path.basename(common),
        words=[found[shards[number]].classes.get(_key(member)) for number, member, _ in images],
        places=np.array([(number, *place) for number, _, place in images], dtype=np.int64).reshape(-1, 3),
        aside=[bad for shard in shards for bad in found[shard].aside],
        skipped=sum((found[shard].skipped for shard in shards), Counter()),
    )


def _parted(whole: _Part) -> list[_Part]:
    """Return the parts that the folders in the archives are, or the whole."""
    prefixes = part_folders(whole.inside)
    if prefixes == [""]:
        return [whole]
    rows = [[i for i, name in enumerate(whole.inside) if name.startswith(prefix)] for prefix in prefixes]
    parts = [whole.take(chosen) for chosen in rows[:2]]
    inside = [[name.removeprefix(prefix) for name in part.inside] for part, prefix in zip(parts, prefixes, strict=False)]
    counted = whole.skipped + Counter({prefix: len(chosen) for prefix, chosen in zip(prefixes[2:], rows[2:], strict=True)})
    test = f"{whole.name} ({prefixes[1].rstrip('/')})"
    return [replace(parts[0], inside=inside[0], skipped=counted), replace(parts[1], name=test, inside=inside[1], aside=[], skipped=Counter())]


def _said(part: _Part, root: Path, order: tuple[str, ...]) -> WithinFiles:
    """Return the source of a part by what its .cls say."""
    known = labelled(part.words, order, part.name)
    aside = [(printable(part.names[i].decode("utf-8", "surrogateescape")), UNLABELLED) for i in known.bad]
    part = replace(part.take(known.rows), aside=[*part.aside, *aside])
    return _source(part, root, known.labels, order)


def _in_folders(parts: list[_Part], root: Path, rule: LabelRule) -> list[WithinFiles]:
    """Return the sources of the parts by the folders that their images lie in."""
    train = _with_class(parts[0], None) if rule == "folders" else parts[0]
    classes = class_folders(train.inside, "", rule)
    sources = []
    for part in (train, *(_with_class(part, classes or ()) for part in parts[1:])):
        known = classes if rule == "folders" or not strays(part.inside, "") else None
        labels = None if known is None else class_labels(part.inside, "", known, part.name)
        sources.append(_source(part, root, labels, known))
    return sources


def _with_class(part: _Part, classes: tuple[str, ...] | None) -> _Part:
    """Return the part with the one folder that all its images lie in before their names, where that is one of ``classes`` (None: any)."""
    flat = part.common and not any("/" in name for name in part.inside)
    if not flat or (classes is not None and part.common not in classes):
        return part
    return replace(part, inside=[f"{part.common}/{name}" for name in part.inside])


def _source(part: _Part, root: Path, labels: Labels | None, classes: tuple[str, ...] | None) -> WithinFiles:
    file, offsets, lengths = (column.copy() for column in part.places.T)
    return WithinFiles(
        name=part.name,
        names=Names(part.names),
        labels=labels,
        classes=None if labels is None or classes is None else tuple(map(printable, classes)),
        aside=tuple(part.aside),
        skipped=part.skipped,
        root=root,
        files=Names(part.shards),
        file=file,
        offsets=offsets,
        lengths=lengths,
    )
