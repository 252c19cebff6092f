"""Arrow files with a column of images: looked through to find where the bytes of every image lie, then read like the members of an archive."""

import json
import mmap
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stopgrad.errors import UserError
from stopgrad.images.bad import Bad, BadImage, printable
from stopgrad.images.columns import Columns, Rows, Settled, apart, beside, checked, names, settled, unreadable, words
from stopgrad.images.encoded import WithinFiles
from stopgrad.images.folder import LabelRule
from stopgrad.images.shards import Shards
from stopgrad.images.source import Names, Splits

if TYPE_CHECKING:
    import pyarrow

Numbers = NDArray[np.int64]


def open_arrows(shards: Shards, rule: LabelRule, name: str) -> Splits:
    """Return the images in Arrow files (streams or files), with the labels in them unless by rule ``none``.

    A row without bytes is the file that its path names in the folder, or is set aside. Raises UserError for a file that cannot be read, is
    compressed, or has no column of images.
    """
    parts = [(name, [_index(shards.root, shard) for shard in shards.train])]
    if shards.test:
        parts.append((f"{name} ({shards.test_name})", [_index(shards.root, shard) for shard in shards.test]))
    known = settled([(name, [index.rows for index in found]) for name, found in parts], rule)
    sources = [_source(part, found, shards if k == 0 else None, shards.root) for k, (part, (_, found)) in enumerate(zip(known, parts, strict=True))]
    return Splits(sources[0], sources[1] if len(sources) > 1 else None)


def of_dataset(root: Path, shards: list[str]) -> list[str]:
    """Return ``shards`` without what a folder's ``state.json`` does not name: results that were kept beside a data set."""
    named: dict[str, set[str] | None] = {}
    for shard in shards:
        folder = str(PurePosixPath(shard).parent)
        if folder not in named:
            named[folder] = _named(root / folder / "state.json")
    kept = {shard: named[str(PurePosixPath(shard).parent)] for shard in shards}
    return [shard for shard, said in kept.items() if said is None or PurePosixPath(shard).name in said]


def _named(file: Path) -> set[str] | None:
    """Return the files that a data set says it is; None where nothing says so."""
    try:
        found = {entry["filename"] for entry in json.loads(file.read_bytes())["_data_files"]}
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return found or None


class _Index(NamedTuple):
    """The images of a file."""

    rows: Rows
    files: list[str]
    """The file itself, and behind it those that rows without bytes name."""
    places: Numbers
    """(images, 3): which of ``files``, the bytes before it, its bytes."""
    aside: list[Bad]


def _index(root: Path, shard: str) -> _Index:
    import pyarrow
    import pyarrow.ipc

    file = root / shard
    try:
        with open(file, "rb") as opened:
            whole = pyarrow.py_buffer(mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ))
        reader = pyarrow.ipc.open_file(whole) if whole[:6].to_pybytes() == b"ARROW1" else pyarrow.ipc.open_stream(whole)
        columns = checked(file, reader.schema)
        wanted = [column for column in (columns.image, columns.label) if column is not None]
        table = reader.read_all().select(wanted)
        table.validate(full=True)
        return _located(root, shard, table, columns, whole)
    except UserError:
        raise
    except (OSError, ValueError, pyarrow.ArrowException) as error:
        raise unreadable(file, "Arrow", error) from None


def _located(root: Path, shard: str, table: "pyarrow.Table", columns: Columns, whole: "pyarrow.Buffer") -> _Index:
    """Return the places of the images of ``table``, whose memory is ``whole``."""
    content, paths = apart(table[columns.image], columns)
    places = np.concatenate([np.zeros((0, 3), dtype=np.int64), *(_places(chunk, whole, root / shard) for chunk in content.chunks)])
    shown = names(shard, paths)
    said: list[str | None] = [None] * len(table) if columns.label is None else words(table[columns.label])
    files, aside, used = [shard], [], np.ones(len(table), dtype=bool)
    for row in np.flatnonzero(places[:, 0] < 0).tolist():
        try:
            other = beside((root / shard).parent, paths[row])
        except BadImage as bad:
            aside.append((printable(shown[row].decode("utf-8", "surrogateescape")), str(bad)))
            used[row] = False
        else:
            places[row] = len(files), 0, other.stat().st_size
            files.append(str(PurePosixPath(shard).parent / str(paths[row])))
    kept = np.flatnonzero(used).tolist()
    return _Index(Rows(columns, [shown[i] for i in kept], [said[i] for i in kept]), files, places[kept], aside)


def _places(values: "pyarrow.Array", whole: "pyarrow.Buffer", file: Path) -> Numbers:
    """Return (rows, 3): 0, offset in the file, bytes; the first is -1 where the row holds none."""
    import pyarrow

    if not len(values):
        return np.zeros((0, 3), dtype=np.int64)
    _, ends, content = values.buffers()
    kind = np.int64 if pyarrow.types.is_large_binary(values.type) else np.int32
    bounds = np.frombuffer(ends, kind)[values.offset : values.offset + len(values) + 1].astype(np.int64)
    before = 0 if content is None or not content.size else content.address - whole.address
    if before < 0 or before + (content.size if content is not None else 0) > whole.size:
        raise UserError(f"{file}: its columns are compressed, so that no image lies there as it is; write it uncompressed, or as Parquet")
    there = values.is_valid().to_numpy(zero_copy_only=False)
    return np.stack([np.where(there, 0, -1), before + bounds[:-1], np.diff(bounds)], axis=1).astype(np.int64)


def _source(part: Settled, found: list[_Index], shards: Shards | None, root: Path) -> WithinFiles:
    """Return the source of a part; ``shards`` where what was set aside on the way to it counts in it."""
    first = np.cumsum([0, *(len(index.files) for index in found)])
    none = np.zeros((0, 3), dtype=np.int64)  # a data set may name no file that is there
    places = np.concatenate([none, *(index.places + np.array([begin, 0, 0]) for index, begin in zip(found, first[:-1], strict=True))])[part.rows]
    file, offsets, lengths = (column.copy() for column in places.T)
    return WithinFiles(
        name=part.name,
        names=part.names,
        labels=part.labels,
        classes=part.classes,
        aside=(*(shards.aside if shards else ()), *(bad for index in found for bad in index.aside), *part.aside),
        skipped=shards.skipped if shards else {},
        root=root,
        files=Names(file for index in found for file in index.files),
        file=file,
        offsets=offsets,
        lengths=lengths,
    )
