"""Tables with a column of images, as Hugging Face's libraries write them: which column is what, and what the labels say."""

import json
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stopgrad.errors import UserError
from stopgrad.images.bad import Bad, BadImage, printable
from stopgrad.images.folder import LabelRule
from stopgrad.images.shards import UNLABELLED, labelled, order_of
from stopgrad.images.source import Labels, Names

if TYPE_CHECKING:
    import pyarrow

IMAGES = ("image", "img")
"""What the column of images is usually called."""
LABELS = ("label", "labels", "fine_label")
"""What the column of labels is called, the preferred first."""


@dataclass(frozen=True)
class Columns:
    """What the columns of a table are."""

    image: str
    nested: bool
    """Whether the column is a struct of bytes and path; else it is the bytes."""
    path: bool
    """Whether the struct has a path."""
    label: str | None
    classes: tuple[str, ...] | None
    """What the numbers of ``label`` stand for, where that is said."""


def columns_of(schema: "pyarrow.Schema", sure: bool = False) -> Columns | None:
    """Return what the columns are; None where none is of images: bytes, or a struct of bytes and path.

    One called image or img is; one of another name where it is the only one of bytes, but not if ``sure`` is asked for.
    """
    import pyarrow  # slow to import, and only tables need it

    able = [field for field in schema if _holds_bytes(field.type)]
    named = [field for name in IMAGES for field in able if field.name == name]
    found = named or ([] if sure or len(able) != 1 else able)
    if not found:
        return None
    kind = found[0].type
    label = next((name for name in LABELS if name in schema.names and _says_labels(schema.field(name).type)), None)
    nested = not _is_bytes(kind)
    path = nested and kind.get_field_index("path") >= 0
    numbers = label is not None and pyarrow.types.is_integer(schema.field(label).type)
    return Columns(found[0].name, nested, path, label, _class_names(schema, label) if label is not None and numbers else None)


def apart(images: "pyarrow.ChunkedArray", columns: Columns) -> tuple["pyarrow.ChunkedArray", list[str | None]]:
    """Return the bytes of a column of images, where they lie, and the paths."""
    import pyarrow.compute

    if not columns.nested:
        return images, [None] * len(images)
    content = pyarrow.compute.struct_field(images, "bytes")
    return content, pyarrow.compute.struct_field(images, "path").to_pylist() if columns.path else [None] * len(images)


def words(column: "pyarrow.ChunkedArray") -> list[str | None]:
    """Return what a column of labels says, row by row: text, or whole numbers as text; None for what is missing, empty or a number below 0."""
    values = column.to_pylist()
    return [None if value in (None, "") or (isinstance(value, int) and value < 0) else str(value) for value in values]


def names(shard: str, paths: list[str | None]) -> list[bytes]:
    """Return a name for every row: its path behind the file's name where all rows have one of their own, else its number."""
    own = [path for path in paths if path]
    if len(set(own)) == len(paths):
        return [f"{shard}/{path}".encode("utf-8", "surrogateescape") for path in own]
    return [f"{shard}/{row:06d}".encode("utf-8", "surrogateescape") for row in range(len(paths))]


def beside(folder: Path, path: str | None) -> Path:
    """Return the file that a row without bytes names, which must lie in or below ``folder``. Raises BadImage."""
    if not path:
        raise BadImage("its row holds neither bytes nor a path")
    place = folder / path
    try:
        if not place.resolve().is_relative_to(folder.resolve()):
            raise BadImage(f"its row holds no bytes, and its path {path} leads out of the folder")
        if not stat.S_ISREG(place.stat().st_mode):
            raise BadImage(f"its row holds no bytes, and its path {path} is no regular file")
    except (OSError, ValueError) as error:
        raise BadImage(f"its row holds no bytes, and its path {path} names no file ({_one_line(error)})") from None
    return place


@dataclass(frozen=True)
class Rows:
    """What a file says of its images."""

    columns: Columns
    names: list[bytes]
    words: list[str | None]
    """Their labels."""


@dataclass(frozen=True)
class Settled:
    """A part with its labels."""

    name: str
    names: Names
    rows: NDArray[np.int64]
    """Which rows of all its files, one behind the other, are its images."""
    labels: Labels | None
    classes: tuple[str, ...] | None
    aside: list[Bad]


def settled(parts: Sequence[tuple[str, Sequence[Rows]]], rule: LabelRule) -> list[Settled]:
    """Return the parts, (name, what its files say), the training part first, with labels unless by rule ``none``.

    Rows without a label among others that have one are set aside. Raises UserError where files name other classes than the first.
    """
    known = {rows.columns.classes for _, files in parts for rows in files if any(word is not None for word in rows.words)}
    if rule != "none" and len(known) > 1:
        raise UserError(f"{parts[0][0]}: its files name different classes; give files of one set, or pretrain without labels (--labels none)")
    shown = known.pop() if rule != "none" and known else None
    order = tuple(map(str, range(len(shown)))) if shown else None
    if order is None and rule != "none":
        order = order_of(word for rows in parts[0][1] for word in rows.words)
    return [_settled(name, files, order, shown or order) for name, files in parts]


def _settled(name: str, files: Sequence[Rows], order: tuple[str, ...] | None, classes: tuple[str, ...] | None) -> Settled:
    found = [row for rows in files for row in rows.names]
    known = labelled([word for rows in files for word in rows.words], order, name)
    shown = None if known.labels is None or classes is None else tuple(map(printable, classes))
    aside = [(printable(found[i].decode("utf-8", "surrogateescape")), UNLABELLED) for i in known.bad]
    return Settled(name, Names(found[i] for i in known.rows), known.rows, known.labels, shown, aside)


def unreadable(file: Path, form: str, error: Exception) -> UserError:
    """Return what to raise for a table that cannot be read."""
    return UserError(f"{file}: cannot be read as {form} ({_one_line(error)}); mend, replace or remove it")


def checked(file: Path, schema: "pyarrow.Schema") -> Columns:
    """Return what the columns of a table of images are. Raises UserError where none is of images."""
    columns = columns_of(schema)
    if columns is None:
        there = ", ".join(f"{field.name}: {field.type}" for field in schema) or "none"
        raise UserError(f"{file}: no column of images (there are {there}); call one of bytes, or of a struct of bytes and path, image")
    return columns


def _one_line(error: Exception) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split())[:300] or type(error).__name__


def _is_bytes(kind: "pyarrow.DataType") -> bool:
    import pyarrow

    return bool(pyarrow.types.is_binary(kind) or pyarrow.types.is_large_binary(kind))


def _holds_bytes(kind: "pyarrow.DataType") -> bool:
    import pyarrow

    if pyarrow.types.is_struct(kind):
        return kind.get_field_index("bytes") >= 0 and _is_bytes(kind.field(kind.get_field_index("bytes")).type)
    return _is_bytes(kind)


def _says_labels(kind: "pyarrow.DataType") -> bool:
    import pyarrow

    kind = kind.value_type if pyarrow.types.is_dictionary(kind) else kind
    return bool(pyarrow.types.is_integer(kind) or pyarrow.types.is_string(kind) or pyarrow.types.is_large_string(kind))


def _class_names(schema: "pyarrow.Schema", label: str) -> tuple[str, ...] | None:
    """Return the names of the classes, as the library that wrote the file keeps them; None where it does not."""
    said: Any = (schema.metadata or {}).get(b"huggingface", b"{}")
    try:
        said = json.loads(said)
    except ValueError:
        return None
    for key in ("info", "features", label, "names"):
        said = said.get(key) if isinstance(said, dict) else None
    return tuple(said) if isinstance(said, list) and said and all(isinstance(name, str) for name in said) else None
