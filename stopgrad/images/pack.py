"""Packing: every image is decoded and reduced once, into files that later runs map into memory (packed.py says how they look)."""

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stopgrad.config import Data
from stopgrad.errors import UserError
from stopgrad.files import whole_folder
from stopgrad.images.bad import Bad, BadImage, refuse_too_many
from stopgrad.images.decode import quiet_decoders
from stopgrad.images.packed import BAD, DTYPES, FORM, INDEX, MANIFEST, PARTS, PIXELS, Manifest, Part
from stopgrad.images.planes import Planes, deepen
from stopgrad.images.residence import free_ram, megabytes
from stopgrad.images.source import Source, Splits
from stopgrad.images.survey import Survey, survey
from stopgrad.images.threads import AHEAD, CHUNK, in_threads

Step = Callable[[int, int], None]
"""Hears how many images are done, and of how many."""


def pack(splits: Splits, out: Path, data: Data, channels: int | None, step: Step) -> tuple[Manifest, tuple[Bad, ...]]:
    """Write the images of ``splits`` to the folder ``out``, whole or not at all, and return what it holds and what was set aside.

    Each is as ``data`` wants it (short_side, max_pixels), with ``channels``, or those that most have (3 for grey among colour); where an image
    of a part has 16 bits all of the part have. Labels and parts stay as they are; nothing is held out. Raises UserError when more than
    ``data.max_bad`` of a part cannot be used, before anything is written where the headers tell; and when the disk does not take it.
    """
    short_side = data.short_side
    assert short_side is not None
    surveys = {name: (source, survey(source, data.max_pixels)) for name, source in zip(PARTS, splits, strict=True) if source is not None}
    data = replace(data, channels=channels or _usual(surveys[PARTS[0]][1]))
    parts = {name: _Planned(source, found, found.wanted(data)) for name, (source, found) in surveys.items()}
    for part in parts.values():
        refuse_too_many(part.source.name, len(part.wanted.usable()), part.bad(), data.max_bad)
    _refuse_full(out, sum(part.wanted.decoded_bytes() for part in parts.values()))
    total, done = sum(len(part.wanted.usable()) for part in parts.values()), 0
    bad: list[Bad] = []
    written: dict[str, Part] = {}
    with whole_folder(out) as folder:
        for name, part in parts.items():
            written[name], unusable = _write(part, data, folder / name, _after(done, total, step))
            refuse_too_many(part.source.name, written[name].images, unusable, data.max_bad)
            done += len(part.wanted.usable())
            bad += unusable
        manifest = Manifest(form=FORM, short_side=short_side, channels=data.channels, classes=splits.train.classes, parts=written)
        (folder / MANIFEST).write_text(json.dumps(asdict(manifest), indent=2) + "\n")
        lines = (json.dumps({"name": name, "reason": reason}, ensure_ascii=False) + "\n" for name, reason in bad)
        (folder / BAD).write_text("".join(lines), encoding="utf-8")
    return manifest, tuple(bad)


def _after(before: int, total: int, step: Step) -> Callable[[int], None]:
    return lambda done: step(before + done, total)


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


def _refuse_full(out: Path, needed: int) -> None:
    free = shutil.disk_usage(next(folder for folder in out.absolute().parents if folder.exists())).free
    if needed > free:
        raise UserError(f"{out}: {megabytes(needed)} are needed, {megabytes(free)} are free there; make room, or take a smaller --short-side")


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
    _write_index(folder / INDEX, source, np.array(kept, dtype=np.int64), np.array(shapes, dtype=np.int64).reshape(-1, 2), data.channels)
    with open(folder / INDEX, "rb") as file:
        index = hashlib.file_digest(file, "sha256").hexdigest()
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


def _write_index(file: Path, source: Source, kept: NDArray[np.int64], shapes: NDArray[np.int64], channels: int) -> None:
    """Write a row for each of the images ``kept`` (indices in ``source``), whose shapes (H, W) are ``shapes``."""
    import pyarrow
    import pyarrow.parquet

    sizes = channels * shapes.prod(axis=1)
    columns = {
        "name": pyarrow.array([source.names.raw(int(i)) for i in kept], pyarrow.binary()),
        "label": pyarrow.nulls(len(kept), pyarrow.int64()) if source.labels is None else pyarrow.array(source.labels[kept]),
        "offset": pyarrow.array(np.cumsum(sizes) - sizes),
        "height": pyarrow.array(shapes[:, 0]),
        "width": pyarrow.array(shapes[:, 1]),
    }
    pyarrow.parquet.write_table(pyarrow.table(columns), file)
