"""embeddings.parquet: which images are shown, their nearest neighbours, and their plane. Read in pieces, never as a whole.

What is shown is chosen by a digest of the image's name: not by hand, not by order, and the same for every run on the same images.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from stopgrad.errors import UserError

PIECE = 8192
"""Rows held in memory at a time."""
COLUMNS = ("path", "label", "embedding")

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Table:
    """The names and labels of an embeddings.parquet; the vectors stay in the file."""

    path: Path
    names: list[str]
    labels: list[str] | None
    """None when no image has a label; else "" for an image without one."""


def open_table(path: Path) -> Table:
    """Return the table at ``path``. Raises UserError when it is no such file."""
    try:
        file = pq.ParquetFile(path)
        missing = [name for name in COLUMNS if name not in file.schema_arrow.names]
        if missing:
            raise UserError(f"{path}: no column {missing[0]!r}; it takes {', '.join(COLUMNS)}; write it again or move it away")
        table = file.read(columns=["path", "label"])
    except pa.ArrowException as error:
        raise UserError(f"{path}: not readable as Parquet ({str(error).splitlines()[0]}); write it again or move it away") from None
    labels = ["" if label is None else str(label) for label in table.column("label").to_pylist()]
    return Table(path, [str(name) for name in table.column("path").to_pylist()], labels if any(labels) else None)


def digest(name: str) -> bytes:
    """Return the key by which images are chosen: small ones first."""
    return hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest()


def choose_queries(table: Table, count: int) -> list[int]:
    """Return ``count`` rows, smallest digest first, every class once before any class twice."""
    seen: dict[str, int] = {}
    turns: list[tuple[int, int, int]] = []
    for row in sorted(range(len(table.names)), key=lambda i: digest(table.names[i])):
        label = table.labels[row] if table.labels else ""
        turns.append((seen.setdefault(label, 0), len(turns), row))
        seen[label] += 1
    return [row for _, _, row in sorted(turns)[:count]]


def vectors(table: Table, rows: Sequence[int]) -> Floats:
    """Return the unit vectors of ``rows``, (len(rows), d), in their order. What is not finite, or zero, becomes NaN."""
    wanted = np.asarray(rows, dtype=np.int64)
    order = np.argsort(wanted, kind="stable")
    found = []
    for start, piece in _pieces(table.path):
        inside = order[(wanted[order] >= start) & (wanted[order] < start + len(piece))]
        found.append((inside, piece[wanted[inside] - start]))
    out = np.empty((len(rows), found[0][1].shape[1]), dtype=np.float32)
    for places, values in found:
        out[places] = values
    return out


def nearest(table: Table, queries: Sequence[int], count: int) -> tuple[Ints, Floats]:
    """Return rows and cosines, (len(queries), count), of the images most similar to each query, itself left out; -1 where there are fewer.

    Equal cosines are ordered by row, so that the answer does not depend on how the file is cut into pieces.
    """
    asked = vectors(table, queries)
    rows = np.full((len(queries), count), -1, dtype=np.int64)
    cosines = np.full((len(queries), count), -np.inf, dtype=np.float32)
    for start, piece in _pieces(table.path):
        similar = np.nan_to_num(asked @ piece.T, nan=-np.inf)
        for q, row in enumerate(queries):
            if start <= row < start + len(piece):
                similar[q, row - start] = -np.inf
        here = np.broadcast_to(np.arange(start, start + len(piece)), similar.shape)
        all_rows, all_cosines = np.concatenate([rows, here], axis=1), np.concatenate([cosines, similar], axis=1)
        best = np.lexsort((all_rows, -all_cosines), axis=1)[:, :count]
        rows, cosines = np.take_along_axis(all_rows, best, axis=1), np.take_along_axis(all_cosines, best, axis=1)
    rows[~np.isfinite(cosines)] = -1
    return rows, cosines


def plane(points: Floats) -> tuple[Floats, tuple[float, float]]:
    """Return the first two principal components of ``points`` (N, d) as (N, 2) within -1..1, and the share of the variance each holds.

    Signs are fixed by making the largest loading positive. Vectors that are NaN stay NaN and decide nothing.
    """
    known = np.isfinite(points).all(axis=1)
    flat = np.full((len(points), 2), np.nan, dtype=np.float32)
    centred = points[known].astype(np.float64)
    if len(centred) < 2:
        return flat, (0.0, 0.0)
    centred -= centred.mean(axis=0)
    variances, axes = np.linalg.eigh(centred.T @ centred)  # d x d: faster than the singular values of (N, d), and as exact as a drawing needs
    variances, axes = variances[::-1][:2], axes[:, ::-1][:, :2]
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
    placed, shares = np.zeros((len(centred), 2)), np.zeros(2)
    placed[:, : axes.shape[1]] = centred @ axes
    flat[known] = placed / max(float(np.abs(placed).max()), 1e-12)
    total = float(np.square(centred).sum())
    if total > 0:
        shares[: len(variances)] = variances / total
    return flat, (float(shares[0]), float(shares[1]))


def _pieces(path: Path) -> Iterator[tuple[int, Floats]]:
    """Yield (first row, unit vectors (rows, d)) through the whole file."""
    start = 0
    for batch in pq.ParquetFile(path).iter_batches(batch_size=PIECE, columns=["embedding"]):
        column = batch.column(0)
        values = np.asarray(column.flatten().to_numpy(zero_copy_only=False), dtype=np.float32).reshape(len(batch), -1)
        with np.errstate(invalid="ignore", divide="ignore"):
            unit = values / np.linalg.norm(values, axis=1, keepdims=True)
        unit[~np.isfinite(unit).all(axis=1)] = np.nan
        yield start, unit
        start += len(batch)
