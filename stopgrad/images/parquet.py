"""Parquet files with a column of images. Their bytes lie compressed in groups of rows, so that a group is read as a whole or not at all."""

import sys
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stopgrad.errors import UserError
from stopgrad.images.bad import BadImage
from stopgrad.images.columns import Columns, Rows, Settled, apart, beside, checked, columns_of, names, settled, unreadable, words
from stopgrad.images.folder import LabelRule
from stopgrad.images.residence import free_ram, megabytes
from stopgrad.images.shards import Shards
from stopgrad.images.source import Encoded, Splits, regular
from stopgrad.images.threads import in_threads

if TYPE_CHECKING:
    import pyarrow

MOST_IN_A_GROUP = 2**31 - 1
"""Bytes of a group: of more, pyarrow makes no one column of structs."""
FEWEST_KEPT = 2
"""Groups kept decoded, however large."""


def holds_images(file: Path) -> bool:
    """Return whether a Parquet file holds images, and is no list of paths; False for one that cannot be read."""
    import pyarrow
    import pyarrow.parquet

    try:
        schema = pyarrow.parquet.read_schema(file)
    except (OSError, ValueError, pyarrow.ArrowException):
        return False
    return columns_of(schema, sure="path" in schema.names) is not None


def open_parquets(shards: Shards, rule: LabelRule, name: str) -> Splits:
    """Return the images in Parquet files, with the labels in them unless by rule ``none``.

    A row without bytes is the file that its path names in the folder; that there is none is found when it is read. Raises UserError for a
    file that cannot be read, has no column of images, or groups of rows that are too large.
    """
    parts = [(name, shards.train)]
    if shards.test:
        parts.append((f"{name} ({shards.test_name})", shards.test))
    most = min(MOST_IN_A_GROUP, max(10**9, free_ram() // 4))
    found = [[_looked_at(shards.root, shard, most) for shard in files] for _, files in parts]
    known = settled([(part, [file.rows for file in files]) for (part, _), files in zip(parts, found, strict=True)], rule)
    sources = [_source(part, files, shards, k == 0) for k, (part, files) in enumerate(zip(known, found, strict=True))]
    return Splits(sources[0], sources[1] if len(sources) > 1 else None)


@dataclass(frozen=True, eq=False, kw_only=True)
class ParquetSource(Encoded):
    """Images in groups of rows. A group is decoded once while images are read in order, by however many threads."""

    root: Path
    files: tuple[str, ...]
    """Relative to ``root``."""
    columns: tuple[Columns, ...]
    """Of every file."""
    groups: NDArray[np.int64]
    """(groups, 5): which of ``files``, which group of it, its first row (over all files), its rows, its bytes uncompressed."""
    rows: NDArray[np.int64]
    """(images,): its row over all files."""

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in ("_kept", "_sizes")}

    def in_order(self) -> bool:
        """Return True: an image by itself costs its whole group."""
        return True

    def sizes(self) -> NDArray[np.int64]:
        """Return the bytes of every image, -1 for rows without; all files are read for it, once."""
        return self._sizes

    def total(self) -> int:
        """Return the bytes of all images, as the files tell without being read."""
        return int(self.groups[:, 4].sum())

    def content(self, i: int) -> bytes:
        """Return the bytes of image ``i``."""
        row = int(self.rows[i])
        number = int(np.searchsorted(self.groups[:, 2], row, side="right")) - 1
        group, within = self._kept.get(number), row - int(self.groups[number, 2])
        content: bytes | None = group.content[within].as_py()
        if content is not None:
            return content
        return regular(beside((self.root / self.files[int(self.groups[number, 0])]).parent, group.paths[within]))

    @cached_property
    def _kept(self) -> "_Kept":
        return _Kept(self._group, max(10**9, free_ram() // 8))

    @cached_property
    def _sizes(self) -> NDArray[np.int64]:
        def lengths(number: int) -> NDArray[np.int64]:
            import pyarrow.compute

            try:
                found = pyarrow.compute.binary_length(self._group(number).content).fill_null(-1).to_numpy()
            except BadImage:
                return np.full(self.groups[number, 3], -1, dtype=np.int64)
            return np.asarray(found, dtype=np.int64)

        every = in_threads(lengths, range(len(self.groups)), chunk=1)
        return np.concatenate([np.zeros(0, dtype=np.int64), *every])[self.rows]

    def _group(self, number: int) -> "_Group":
        """Return a group, decoded. Raises BadImage where the file does not give it."""
        import pyarrow
        import pyarrow.parquet

        file, group = int(self.groups[number, 0]), int(self.groups[number, 1])
        columns = self.columns[file]
        try:
            with pyarrow.parquet.ParquetFile(self.root / self.files[file]) as opened:
                table = opened.read_row_group(group, columns=[columns.image], use_threads=False)
            content, paths = apart(table[columns.image], columns)
            if len(content) != self.groups[number, 3]:
                raise ValueError(f"it has {len(content)} rows of {self.groups[number, 3]}")
        except (OSError, ValueError, pyarrow.ArrowException) as error:
            raise BadImage(f"its group of rows cannot be read: {error}") from error
        return _Group(content, paths)


class _Group(NamedTuple):
    """The images of a group."""

    content: "pyarrow.ChunkedArray"
    paths: list[str | None]


class _Kept:
    """The groups used last, for all threads: one reads a group, the others wait for it. Old ones go when together they have ``most`` bytes."""

    def __init__(self, read: Callable[[int], _Group], most: int) -> None:
        self.read, self.most = read, most
        self.lock = Lock()
        self.groups: OrderedDict[int, Future[_Group]] = OrderedDict()

    def get(self, number: int) -> _Group:
        """Return a group. Raises BadImage, again as long as it is kept that it cannot be read."""
        with self.lock:
            mine = number not in self.groups
            waited = self.groups.setdefault(number, Future())
            self.groups.move_to_end(number)
        if mine:
            try:
                waited.set_result(self.read(number))
            except BadImage as bad:
                waited.set_exception(bad)
            finally:
                if not waited.done():  # something else went wrong: nobody must wait for ever, and all are told what it was
                    with self.lock:
                        self.groups.pop(number, None)
                    waited.set_exception(sys.exc_info()[1])
            self._drop_old()
        return waited.result()

    def _drop_old(self) -> None:
        with self.lock:
            done = [number for number, group in self.groups.items() if group.done()]
            taken = {number: _bytes(self.groups[number]) for number in done}
            for number in done[:-FEWEST_KEPT]:
                if sum(taken.values()) <= self.most:
                    return
                del self.groups[number], taken[number]


def _bytes(group: Future[_Group]) -> int:
    return 0 if group.exception() else int(group.result().content.nbytes)


class _Looked(NamedTuple):
    """A file, looked at."""

    shard: str
    rows: Rows
    groups: list[tuple[int, int]]
    """Rows and bytes, uncompressed, of every group."""


def _looked_at(root: Path, shard: str, most: int) -> _Looked:
    """Return what a file says, its images unread; a group of more than ``most`` bytes is refused."""
    import pyarrow.compute
    import pyarrow.parquet

    file = root / shard
    try:
        with pyarrow.parquet.ParquetFile(file) as opened:
            columns = checked(file, opened.schema_arrow)
            groups = [(group.num_rows, group.total_byte_size) for group in map(opened.metadata.row_group, range(opened.num_row_groups))]
            wanted = [*([f"{columns.image}.path"] if columns.path else []), *([columns.label] if columns.label else [])]
            table = opened.read(columns=wanted, use_threads=False) if wanted else None
        count = sum(rows for rows, _ in groups)
        paths: list[str | None] = [None] * count
        said: list[str | None] = [None] * count
        if table is not None and columns.path:
            paths = pyarrow.compute.struct_field(table[columns.image], "path").to_pylist()
        if table is not None and columns.label is not None:
            said = words(table[columns.label])
        if not len(paths) == len(said) == count:
            raise ValueError("its columns are of different lengths")
    except UserError:
        raise
    except (OSError, ValueError, pyarrow.ArrowException) as error:
        raise unreadable(file, "Parquet", error) from None
    if large := [size for _, size in groups if size > most]:
        how = "which is too much to be read at once; write it with row_group_size=1000"
        raise UserError(f"{file}: a group of rows holds {megabytes(large[0])}, {how}")
    return _Looked(shard, Rows(columns, names(shard, paths), said), groups)


def _source(part: Settled, files: list[_Looked], shards: Shards, first: bool) -> ParquetSource:
    """Return the source of a part; what was set aside or skipped on the way to the files counts in the ``first``."""
    groups = [(number, k, 0, rows, size) for number, file in enumerate(files) for k, (rows, size) in enumerate(file.groups)]
    table = np.array(groups, dtype=np.int64).reshape(-1, 5)
    table[:, 2] = np.cumsum(table[:, 3]) - table[:, 3]
    return ParquetSource(
        name=part.name,
        names=part.names,
        labels=part.labels,
        classes=part.classes,
        aside=(*(shards.aside if first else ()), *part.aside),
        skipped=shards.skipped if first else {},
        root=shards.root,
        files=tuple(file.shard for file in files),
        columns=tuple(file.rows.columns for file in files),
        groups=table,
        rows=part.rows,
    )
