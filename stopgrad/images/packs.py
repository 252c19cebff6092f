"""What both kinds of pack have in common: pack.json, an index a part, and what was set aside. ``packed.py`` and ``kept.py`` say what else."""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from stopgrad.errors import UserError
from stopgrad.images.bad import Bad
from stopgrad.images.residence import megabytes
from stopgrad.images.source import Labels, Source

if TYPE_CHECKING:
    import pyarrow

DECODED, KEPT = 1, 2
"""The forms of packs: of pixels, and of files as they are. A form that changes gets another number."""
MANIFEST, INDEX, BAD = "pack.json", "index.parquet", "bad_images.jsonl"
PIXELS, FILES = "pixels.bin", "files.bin"
"""What lies in a part, by form."""
PARTS = ("train", "test")
NAMED = {"name": "binary", "label": "int64"}
"""Columns of every index, with their types; the labels are null where there are none."""
AGAIN = "pack the images again"

Step = Callable[[int, int], None]
"""Hears how many images are done, and of how many."""
Made = TypeVar("Made")


def holds_pack(folder: Path) -> bool:
    """Return whether a folder holds a pack, by its files' names."""
    return (folder / MANIFEST).is_file() and any((folder / PARTS[0] / name).exists() for name in (PIXELS, FILES, INDEX))


def form_of(folder: Path) -> int:
    """Return the form of a pack. Raises UserError for one that this version does not know."""
    file = folder / MANIFEST
    form: Any = from_record(file, lambda record: record["form"])
    if form not in (DECODED, KEPT):
        remedy = f"{AGAIN} with it, or use the version that wrote this"
        raise UserError(f"{file}: a pack of form {form!r}, this version of stopgrad reads forms {DECODED} and {KEPT}; {remedy}")
    return int(form)


def from_record(file: Path, make: Callable[[dict[str, Any]], Made]) -> Made:
    """Return what ``make`` makes of pack.json. Raises UserError where it cannot."""
    try:
        return make(json.loads(file.read_bytes()))
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"{file}: cannot be read ({type(error).__name__}: {error}); {AGAIN}") from None


def refuse_damaged(file: Path, parts: Mapping[str, Any], numbers: Iterable[object], texts: Iterable[object]) -> None:
    """Raise UserError where pack.json names other parts than a pack has, or numbers or texts that are none."""
    right = all(type(n) is int and n > 0 for n in numbers) and all(type(text) is str for text in texts)
    if not right or parts.keys() not in ({PARTS[0]}, set(PARTS)):
        raise UserError(f"{file}: damaged (it names other parts, types or numbers than a pack has); {AGAIN}")


def read_index(file: Path, places: Mapping[str, str]) -> "pyarrow.Table":
    """Return the index, with the columns and types it must have: ``NAMED`` and ``places``. Raises UserError."""
    import pyarrow  # slow to import, and only a pack needs it
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(file)
    except (OSError, pyarrow.ArrowException) as error:
        raise UserError(f"{file}: cannot be read ({' '.join(str(error).split())}); {AGAIN}") from None
    columns = {**NAMED, **places}
    found = {field.name: str(field.type) for field in table.schema}
    if found != columns or any(table[column].null_count for column in columns if column != "label"):
        raise UserError(f"{file}: its columns are not those of a pack ({', '.join(columns)}, all filled); {AGAIN}")
    return table


def read_labels(table: "pyarrow.Table", images: int, classes: tuple[str, ...] | None, file: Path) -> Labels | None:
    """Return the labels, None without. Raises UserError where they, or the number of ``images``, are not what pack.json says."""
    column = table["label"]
    labels = None if column.null_count == len(column) else numbers(column.fill_null(-1))
    if len(table) != images or (labels is not None and not 0 <= labels.min() <= labels.max() < len(classes or ())):
        raise UserError(f"{file}: {len(table)} images, or their labels, are not what {MANIFEST} says; {AGAIN}")
    return labels


def numbers(column: "pyarrow.ChunkedArray") -> NDArray[np.int64]:
    """Return a column without nulls; a copy, for Arrow's own memory must not be written, of which torch warns."""
    found: NDArray[np.int64] = column.to_numpy()
    return found.copy()


def after(before: int, total: int, step: Step) -> Callable[[int], None]:
    """Return what hears how many images of a part are done, where ``before`` of all ``total`` were done already."""
    return lambda done: step(before + done, total)


def refuse_full(out: Path, needed: int, advice: str = "make room") -> None:
    """Raise UserError where the disk has no ``needed`` bytes for the folder ``out``."""
    free = shutil.disk_usage(next(folder for folder in out.absolute().parents if folder.exists())).free
    if needed > free:
        raise UserError(f"{out}: {megabytes(needed)} are needed, {megabytes(free)} are free there; {advice}")


def write_index(file: Path, source: Source, kept: NDArray[np.int64], places: Mapping[str, NDArray[np.int64]]) -> str:
    """Write a row for each of the images ``kept`` (indices in ``source``): its name, its label, and where it lies. Return the SHA-256."""
    import pyarrow
    import pyarrow.parquet

    columns = {
        "name": pyarrow.array([source.names.raw(int(i)) for i in kept], pyarrow.binary()),
        "label": pyarrow.nulls(len(kept), pyarrow.int64()) if source.labels is None else pyarrow.array(source.labels[kept]),
    }
    pyarrow.parquet.write_table(pyarrow.table(columns | {name: pyarrow.array(place) for name, place in places.items()}), file)
    with open(file, "rb") as written:
        return hashlib.file_digest(written, "sha256").hexdigest()


def finish(folder: Path, manifest: Any, bad: Iterable[Bad]) -> None:
    """Write pack.json, a dataclass, and what was set aside."""
    (folder / MANIFEST).write_text(json.dumps(asdict(manifest), indent=2) + "\n")
    lines = (json.dumps({"name": name, "reason": reason}, ensure_ascii=False) + "\n" for name, reason in bad)
    (folder / BAD).write_text("".join(lines), encoding="utf-8")
