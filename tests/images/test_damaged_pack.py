"""A damaged pack is refused by the name of the file, before anything is read outside its bounds."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from stopgrad.config import Data
from stopgrad.errors import UserError
from stopgrad.images.pack import pack
from stopgrad.images.sources import Splits, from_arrays, open_splits


def spoil_index(file: Path, column: str, value: int | None) -> None:
    table = pq.read_table(file)
    values = table[column].to_pylist()
    values[3] = value
    pq.write_table(table.set_column(table.schema.get_field_index(column), column, [values]), file)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda f: os.truncate(f / "train/pixels.bin", 100), r"train/pixels\.bin: 100 bytes, and pack\.json says \d+: truncated"),
        (lambda f: (f / "train/pixels.bin").unlink(), r"train/pixels\.bin: 0 bytes"),
        (lambda f: os.truncate(f / "train/index.parquet", 200), r"train/index\.parquet: cannot be read"),
        (lambda f: (f / "train/index.parquet").unlink(), r"train/index\.parquet: cannot be read"),
        (lambda f: spoil_index(f / "train/index.parquet", "offset", 10**12), r"train/index\.parquet: places an image outside pixels\.bin"),
        (lambda f: spoil_index(f / "train/index.parquet", "height", 2**62), r"train/index\.parquet: places an image outside pixels\.bin"),
        (lambda f: spoil_index(f / "train/index.parquet", "width", -3), r"train/index\.parquet: places an image outside pixels\.bin"),
        (lambda f: spoil_index(f / "train/index.parquet", "label", 2), r"train/index\.parquet: 40 images, or their labels, are not what"),
        (lambda f: spoil_index(f / "train/index.parquet", "label", None), r"train/index\.parquet: 40 images, or their labels, are not what"),
        (lambda f: pq.write_table(pq.read_table(f / "train/index.parquet").slice(1), f / "train/index.parquet"), "39 images"),
        (lambda f: pq.write_table(pq.read_table(f / "train/index.parquet").drop(["name"]), f / "train/index.parquet"), "columns"),
        (lambda f: (f / "pack.json").write_text("{"), r"pack\.json: cannot be read"),
        (lambda f: (f / "pack.json").write_text('{"form": 1}'), r"pack\.json: cannot be read"),
        (lambda f: (f / "pack.json").write_text('{"form": 2}'), r"pack\.json: cannot be read"),
        (lambda f: (f / "pack.json").write_text('{"form": 3}'), r"pack\.json: a pack of form 3, this version of stopgrad reads forms 1 and 2"),
        (lambda f: (f / "pack.json").write_text((f / "pack.json").read_text().replace("uint8", "float")), r"pack\.json: damaged"),
        (lambda f: (f / "pack.json").write_text((f / "pack.json").read_text().replace('"channels": 3', '"channels": -3')), r"pack\.json: damaged"),
    ],
)
def test_a_damaged_pack_names_the_file(tmp_path: Path, spoil: Any, said: str) -> None:
    folder = tmp_path / "packed"
    images = from_arrays(np.zeros((40, 9, 10, 3), np.uint8), np.arange(40) % 2)
    data = Data(source="", channels=3, mean=(0.0,), std=(1.0,), size=8, short_side=8)
    pack(Splits(images, None), folder, data, None, lambda done, total: None)
    assert open_splits(folder).train.labels is not None
    spoil(folder)
    with pytest.raises(UserError, match=said) as caught:
        open_splits(folder)
    assert "\n" not in str(caught.value)
    assert "pack the images again" in str(caught.value)
