import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from torch import Tensor, nn

from stopgrad.errors import UserError
from stopgrad.images.pool import Pool
from stopgrad.protocols.features import Labelled, Preparation, features
from stopgrad.publish.embed import Named, embed, in_order
from stopgrad.report.embeddings import open_table, vectors

CPU = torch.device("cpu")
PREP = Preparation(6, 1.0, (0.5,), (0.25,))


class Flat(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)


def pool(images: int) -> Pool:
    rng = np.random.default_rng(0)
    return Pool.from_arrays([rng.integers(0, 256, (1, 6, 6 + i % 3), dtype=np.uint8) for i in range(images)])


def named(images: int) -> tuple[list[str], list[str | None]]:
    return [f"folder/{i:03}.png" for i in range(images)], [("cat", "dog", None)[i % 3] for i in range(images)]


def test_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stopgrad.publish.embed.ROWS", 20)
    images, (names, labels), out = pool(50), named(50), tmp_path / "deep" / "embeddings.parquet"
    assert embed(Flat(), in_order(images, names, labels, 8), PREP, out, "ab" * 32, CPU) == 50
    file = pq.ParquetFile(out)
    table = file.read()
    assert table.schema.field("path").type == pa.string()
    assert table.schema.field("label").type == pa.string()
    assert table.schema.field("embedding").type == pa.list_(pa.float32(), 36)
    assert table.column("path").to_pylist() == names
    assert table.column("label").to_pylist() == labels
    written = np.array(table.column("embedding").to_pylist(), dtype=np.float32)
    expected = features(Flat(), Labelled.resident(images, torch.zeros(50, dtype=torch.int64)), PREP, CPU)
    np.testing.assert_array_equal(written, expected.numpy())
    assert file.metadata.num_row_groups == 5  # 24 rows are 20 and 4
    about = json.loads(table.schema.metadata[b"stopgrad"])
    assert about["weights_sha256"] == "ab" * 32
    assert {"size": 6, "share": 1.0, "mean": [0.5], "std": [0.25]}.items() <= about.items()
    assert "stopgrad" in about


def test_the_report_reads_it(tmp_path: Path) -> None:
    names, labels = named(10)
    embed(Flat(), in_order(pool(10), names, labels), PREP, tmp_path / "e.parquet", "", CPU)
    table = open_table(tmp_path / "e.parquet")
    assert table.names == names
    assert table.labels == [label or "" for label in labels]
    assert vectors(table, [3, 1]).shape == (2, 36)


def test_without_labels_every_label_is_null(tmp_path: Path) -> None:
    embed(Flat(), in_order(pool(4), named(4)[0], None), PREP, tmp_path / "e.parquet", "", CPU)
    assert pq.read_table(tmp_path / "e.parquet").column("label").null_count == 4


def test_a_name_that_is_no_unicode_is_written_out(tmp_path: Path) -> None:
    name = b"caf\xe9 \xe6\x97\xa5.png".decode("utf-8", "surrogateescape")
    embed(Flat(), in_order(pool(1), [name], None), PREP, tmp_path / "e.parquet", "", CPU)
    assert pq.read_table(tmp_path / "e.parquet").column("path").to_pylist() == ["caf\\udce9 日.png"]


def test_the_same_images_give_the_same_file(tmp_path: Path) -> None:
    for out in ("a", "b"):
        embed(Flat(), in_order(pool(9), *named(9)), PREP, tmp_path / out, "", CPU)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_an_error_on_the_way_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stopgrad.publish.embed.ROWS", 4)
    out = tmp_path / "e.parquet"
    embed(Flat(), in_order(pool(3), *named(3)), PREP, out, "", CPU)
    before = out.read_bytes()

    def breaks() -> Iterator[Named]:
        yield from in_order(pool(9), *named(9), part=4)
        raise UserError("the source is gone")

    network = nn.Sequential(Flat()).train()
    with pytest.raises(UserError, match="the source is gone"):
        embed(network, breaks(), PREP, out, "", CPU)
    assert out.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["e.parquet"]
    assert network.training


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match=r"file/e\.parquet: cannot be written"):
        embed(Flat(), in_order(pool(3), *named(3)), PREP, tmp_path / "file" / "e.parquet", "", CPU)


def test_one_name_an_image() -> None:
    with pytest.raises(AssertionError, match="one name an image"):
        list(in_order(pool(3), ["a"], None))
