"""A list of image files: CSV or Parquet with the columns path[, label][, split]."""

import csv
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from stopgrad.errors import UserError
from stopgrad.images.folder import TESTS, LabelRule
from stopgrad.images.source import FileSource, Labels, Names, Splits

_COLUMNS = ("path", "label", "split")


def open_list(file: Path, rule: LabelRule, name: str) -> Splits:
    """Return the images that a list names; its paths are relative to its folder, or absolute.

    Labels are the column ``label`` (rule ``folders`` insists on it); parts the column ``split``, whose values are ``train`` and one of
    ``TESTS`` (the first of these that occurs is the test part, rows of a further one are counted as skipped). Raises UserError for a
    list that cannot be read, has no column ``path``, or leaves a field of a row empty; an image that is not there is found when it is read.
    """
    columns = _read_parquet(file) if file.suffix.lower() == ".parquet" else _read_csv(file)
    if rule == "folders" and "label" not in columns:
        raise UserError(f"{name}: no column label (there are: {', '.join(columns)}); add it, or pretrain without labels (--labels none)")
    if rule == "none":
        columns.pop("label", None)
    split = np.array(columns.get("split", ["train"] * len(columns["path"])), dtype=object)
    if unknown := sorted(set(split) - {"train", *TESTS}):
        raise UserError(f"{name}: split {unknown[0]!r} is none of train, {', '.join(TESTS)}")
    parts = ["train", *(part for part in TESTS if part in split)]
    skipped = {f"split {part}": int((split == part).sum()) for part in parts[2:]}
    classes = in_order({c for c, s in zip(columns["label"], split, strict=True) if s == "train"}) if "label" in columns else None
    sources = [_source(file, name if part == "train" else f"{name} ({part})", columns, split == part, classes, skipped) for part in parts[:2]]
    return Splits(sources[0], sources[1] if len(sources) > 1 else None)


def _source(
    file: Path, name: str, columns: dict[str, list[str]], chosen: np.ndarray, classes: tuple[str, ...] | None, skipped: dict[str, int]
) -> FileSource:
    rows = np.flatnonzero(chosen)
    paths = [columns["path"][i] for i in rows]
    return FileSource(
        name=name,
        names=Names(paths),
        labels=None if classes is None else numbered([columns["label"][i] for i in rows], classes, name),
        classes=classes,
        skipped=skipped,
        root=file.parent,
        file_sizes=np.array([_size(file.parent / path) for path in paths], dtype=np.int64),
    )


def _size(path: Path) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return -1


def in_order(classes: set[str]) -> tuple[str, ...]:
    """Return the classes in order: by value where all are whole numbers, else by name."""
    return tuple(sorted(classes, key=int) if all(c.isdecimal() for c in classes) else sorted(classes))


def numbered(found: Sequence[str], classes: tuple[str, ...], name: str) -> Labels:
    """Return the place of every label in ``classes``. Raises UserError for one that is not there."""
    index = {c: i for i, c in enumerate(classes)}
    if unknown := sorted(set(found) - index.keys()):
        raise UserError(f"{name}: label {unknown[0]!r} is not in the training part; mend it, or pretrain without labels (--labels none)")
    return np.array([index[c] for c in found], dtype=np.int64)


def _read_csv(file: Path) -> dict[str, list[str]]:
    try:
        with open(file, newline="", encoding="utf-8-sig") as text:
            rows = list(csv.reader(text, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{file}: cannot be read as CSV ({error}); it must be UTF-8 with the header path[,label][,split]") from None
    head = [column.strip() for column in rows[0]] if rows else []
    _need_path(file, head)
    body = [(number, row) for number, row in enumerate(rows[1:], start=2) if row]
    for number, row in body:
        if len(row) != len(head) or not all(row[head.index(c)] for c in _COLUMNS if c in head):
            raise UserError(f"{file}: line {number} has an empty or missing field; every row needs {', '.join(c for c in _COLUMNS if c in head)}")
    return {c: [row[head.index(c)] for _, row in body] for c in _COLUMNS if c in head}


def _read_parquet(file: Path) -> dict[str, list[str]]:
    import pyarrow  # slow to import, and only lists of this form need it
    import pyarrow.parquet

    try:
        head = pyarrow.parquet.read_schema(file).names
        _need_path(file, head)
        table = pyarrow.parquet.read_table(file, columns=[c for c in _COLUMNS if c in head])
    except (OSError, UnicodeDecodeError, pyarrow.ArrowException) as error:
        raise UserError(f"{file}: cannot be read as Parquet ({' '.join(str(error).split())})") from None
    columns = {c: table[c].to_pylist() for c in table.column_names}
    for column, values in columns.items():
        if None in values or "" in values:
            row = next(i for i, value in enumerate(values) if value in (None, ""))
            raise UserError(f"{file}: row {row} has no {column}; every row needs {', '.join(columns)}")
    return {c: [str(value) for value in values] for c, values in columns.items()}


def _need_path(file: Path, head: list[str]) -> None:
    if "path" not in head:
        raise UserError(f"{file}: no column path (there are: {', '.join(head) or 'none'}); the header is path[,label][,split]")
