"""Packing: every image is decoded and reduced once, into files that later runs map into memory (packed.py says how they look)."""

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from stopgrad.config import Data
from stopgrad.files import whole_folder
from stopgrad.images.bad import Bad, BadImage, refuse_several, refuse_too_many
from stopgrad.images.decode import quiet_decoders
from stopgrad.images.packed import DTYPES, PLACES, Manifest, Part
from stopgrad.images.packs import DECODED, INDEX, PARTS, PIXELS, Step, after, finish, refuse_full, write_index
from stopgrad.images.planes import Planes, deepen
from stopgrad.images.residence import free_ram
from stopgrad.images.source import Source, Splits
from stopgrad.images.survey import Survey, survey
from stopgrad.images.threads import AHEAD, CHUNK, in_threads


def pack(splits: Splits, out: Path, data: Data, channels: int | None, step: Step) -> tuple[Manifest, tuple[Bad, ...]]:
    """Write the images of ``splits`` to the folder ``out``, whole or not at all, and return what it holds and what was set aside.

    Each is as ``data`` wants it (short_side, max_pixels), with ``channels``, or those that most have (3 for grey among colour); where an image
    of a part has 16 bits all of the part have. Labels and parts stay as they are; nothing is held out. Raises UserError when more than
    ``data.max_bad`` of a part cannot be used, before anything is written where the headers tell; and when the disk does not take it.
    """
    short_side = data.short_side
    assert short_side is not None
    refuse_several(splits, "pack")
    surveys = {name: (source, survey(source, data.max_pixels)) for name, source in zip(PARTS, splits, strict=True) if source is not None}
    data = replace(data, channels=channels or _usual(surveys[PARTS[0]][1]))
    parts = {name: _Planned(source, found, found.wanted(data)) for name, (source, found) in surveys.items()}
    for part in parts.values():
        refuse_too_many(part.source.name, len(part.wanted.usable()), part.bad(), data.max_bad)
    refuse_full(out, sum(part.wanted.decoded_bytes() for part in parts.values()), "make room, or take a smaller --short-side")
    total, done = sum(len(part.wanted.usable()) for part in parts.values()), 0
    bad: list[Bad] = []
    written: dict[str, Part] = {}
    with whole_folder(out) as folder:
        for name, part in parts.items():
            written[name], unusable = _write(part, data, folder / name, after(done, total, step))
            refuse_too_many(part.source.name, written[name].images, unusable, data.max_bad)
            done += len(part.wanted.usable())
            bad += unusable
        manifest = Manifest(form=DECODED, short_side=short_side, channels=data.channels, classes=splits.train.classes, parts=written)
        finish(folder, manifest, bad)
    return manifest, tuple(bad)


@dataclass(frozen=True)
class _Planned:
    """A part before it is written."""

    source: Source
    found: Survey
    wanted: Survey

    def bad(self) -> list[Bad]:
        """Return what the headers tell cannot be used."""
        return [*self.source.aside, *((self.source.names[i], reason) for i, reason in sorted(self.wanted.bad.items()))]

    def chunk(self, threads: int) -> int:
        """Return how many images a thread decodes at once, so that those that wait to be written take an eighth of the free RAM (or 1 GB)."""
        largest = int((self.wanted.heights * self.wanted.widths * self.wanted.channels).max(initial=1)) * (2 if self.wanted.deep() else 1)
        return max(1, min(CHUNK, max(10**9, free_ram() // 8) // (AHEAD * threads * largest)))


def _usual(headers: Survey) -> int:
    """Return the channels of most images; 3 where all are grey or RGB: grey among colour is read as colour."""
    counted = Counter(headers.channels[headers.usable()].tolist())
    return 3 if counted.keys() == {1, 3} else next((c for c, _ in counted.most_common()), 3)


def _write(part: _Planned, data: Data, folder: Path, step: Callable[[int], None]) -> tuple[Part, list[Bad]]:
    """Write a part's pixels, one image behind the other, and its index; return what to say of it, and everything of it that is set aside."""
    folder.mkdir()
    source, rows, deep = part.source, part.wanted.usable(), part.wanted.deep()
    bad, kept, shapes, digest = part.bad(), [], [], hashlib.sha256()
    threads = part.found.threads()
    with quiet_decoders(), open(folder / PIXELS, "wb") as file:
        images = in_threads(lambda i: _read(part, i, data, deep), rows.tolist(), threads, part.chunk(threads))
        for k, (i, image) in enumerate(zip(rows.tolist(), images, strict=True), start=1):
            step(k)
            if isinstance(image, str):
                bad.append((source.names[i], image))
                continue
            content = image.reshape(-1).data.cast("B")
            file.write(content)
            digest.update(content)
            kept.append(i)
            shapes.append(image.shape[1:])
        size = file.tell()
    sizes = data.channels * np.array(shapes, dtype=np.int64).reshape(-1, 2).prod(axis=1)
    lie = (np.cumsum(sizes) - sizes, *np.array(shapes, dtype=np.int64).reshape(-1, 2).T)
    index = write_index(folder / INDEX, source, np.array(kept, dtype=np.int64), dict(zip(PLACES, lie, strict=True)))
    dtype = "uint16" if deep else "uint8"
    return Part(images=len(kept), dtype=dtype, bytes=size, pixels_sha256=digest.hexdigest(), index_sha256=index), bad


def _read(part: _Planned, i: int, data: Data, deep: bool) -> Planes | str:
    """Return image ``i`` as it will lie in the file, or why it cannot."""
    try:
        image = part.source.read(i, data)
    except BadImage as bad:
        return str(bad)
    wanted = part.wanted
    if image.size != data.channels * wanted.heights[i] * wanted.widths[i] or (image.dtype == np.uint16 and not deep):
        return "is not what its header says"
    return deepen(image).astype(DTYPES["uint16"], copy=False) if deep else image
