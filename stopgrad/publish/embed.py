"""embeddings.parquet: name, class and features of every image, for any tool that reads Parquet."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stopgrad import __version__
from stopgrad.files import whole
from stopgrad.images.pool import Pool
from stopgrad.protocols.features import PART, Preparation, featurise, frozen

ROWS = 8192
"""Images in a row group, and held in memory at a time."""


class Named(NamedTuple):
    """A batch of images and who they are."""

    pool: Pool
    rows: Tensor
    """(N,) int64 on the CPU, rows of ``pool``."""
    names: Sequence[str]
    labels: Sequence[str | None]
    """Class names; None for an image without one."""


def in_order(pool: Pool, names: Sequence[str], labels: Sequence[str | None] | None, part: int = PART) -> Iterator[Named]:
    """Yield all images of a pool from first to last, ``part`` at a time; one name, and one label if any, a row."""
    assert len(pool) == len(names), "one name an image"
    assert labels is None or len(pool) == len(labels), "one label an image"
    known = labels or [None] * len(names)
    for rows in torch.split(torch.arange(len(pool)), part):
        here = slice(int(rows[0]), int(rows[-1]) + 1)
        yield Named(pool, rows, names[here], known[here])


def embed(featuriser: nn.Module, batches: Iterable[Named], prep: Preparation, out: Path, weights_sha256: str, device: torch.device) -> int:
    """Write the features of ``batches`` to ``out`` and return how many images that were.

    Columns: path (string), label (string, null without one), embedding (fixed-size list of F float32, not normalised). The schema's
    metadata, ``stopgrad``, is a JSON object: the version of stopgrad, ``weights_sha256``, and how images were prepared. ``featuriser``
    (N, C, H, W) → (N, F) is on ``device``. Raises UserError when the file cannot be written or features are not finite; nothing is left then.
    """
    about = json.dumps({"stopgrad": __version__, "weights_sha256": weights_sha256, **asdict(prep)})
    written = 0
    with whole(out) as temporary, frozen(featuriser):
        writer: pq.ParquetWriter | None = None
        try:
            for table in _tables(featuriser, batches, prep, device):
                table = table.replace_schema_metadata({"stopgrad": about})
                writer = writer or pq.ParquetWriter(temporary, table.schema, compression=_COMPRESSION, use_dictionary=["label"])
                writer.write_table(table, row_group_size=ROWS)
                written += len(table)
        finally:
            if writer is not None:
                writer.close()
        assert writer is not None, "no images"
    return written


_COMPRESSION = {"path": "zstd", "label": "zstd", "embedding.list.element": "none"}
"""Features are noise to a compressor: it would cost time and save nothing."""


def _tables(featuriser: nn.Module, batches: Iterable[Named], prep: Preparation, device: torch.device) -> Iterator[pa.Table]:
    """Yield tables of ROWS images or somewhat more, the last of what is left."""
    names: list[str] = []
    labels: list[str | None] = []
    parts: list[NDArray[np.float32]] = []
    for batch in batches:
        names += batch.names
        labels += batch.labels
        parts.append(featurise(featuriser, batch.pool, batch.rows, prep, device).cpu().numpy())
        if len(names) >= ROWS:
            yield _table(names, labels, np.concatenate(parts))
            names, labels, parts = [], [], []
    if names:
        yield _table(names, labels, np.concatenate(parts))


def _table(names: list[str], labels: list[str | None], vectors: NDArray[np.float32]) -> pa.Table:
    return pa.table(
        {
            "path": pa.array([_text(name) for name in names], pa.string()),
            "label": pa.array([None if label is None else _text(label) for label in labels], pa.string()),
            "embedding": pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1), pa.float32()), vectors.shape[1]),
        }
    )


def _text(name: str) -> str:
    """Return ``name`` with what is not Unicode (file names may be any bytes) written out as an escape: Parquet's strings are UTF-8."""
    return name.encode("utf-8", "backslashreplace").decode()
