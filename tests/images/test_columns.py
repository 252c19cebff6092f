"""Tables with a column of images, as Hugging Face's libraries write them: Parquet and Arrow, read and labelled alike."""

import json
import pickle
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import pyarrow
import pyarrow.ipc
import pyarrow.parquet
import pytest
import torch

from stopgrad.config import Data
from stopgrad.errors import UserError
from stopgrad.images.encoded import WithinFiles
from stopgrad.images.holdout import with_held_out
from stopgrad.images.inspect import inspect
from stopgrad.images.parquet import ParquetSource
from stopgrad.images.pool import load
from stopgrad.images.source import Encoded
from stopgrad.images.sources import FileSource, Source, open_splits
from stopgrad.loader import open_supply
from tests.images.corpus import pixels, saved

IMAGE = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
FORMS = ("parquet", "stream", "file")


def data(channels: int = 3, **settings: Any) -> Data:
    return Data(source="", channels=channels, mean=(0.0,), std=(1.0,), size=8, short_side=None, **settings)


def picture(seed: int = 0) -> bytes:
    return saved(pixels(4 + seed % 3, 5, seed=seed), "PNG")


def table(images: list[Any], kind: pyarrow.DataType = IMAGE, column: str = "image", **others: Any) -> pyarrow.Table:
    """Return a table; bytes become {bytes, path} where ``kind`` is a struct."""
    nested = pyarrow.types.is_struct(kind)
    rows = [{"bytes": image, "path": f"{i}.png"} if nested and isinstance(image, bytes) else image for i, image in enumerate(images)]
    return pyarrow.table({column: pyarrow.array(rows, kind), **others})


def named(found: pyarrow.Table, *classes: str, column: str = "label") -> pyarrow.Table:
    """Return a table that names its classes as the library ``datasets`` does."""
    said = {"info": {"features": {column: {"names": list(classes), "_type": "ClassLabel"}}}}
    return found.replace_schema_metadata({"huggingface": json.dumps(said)})


def write(path: Path, form: str, found: pyarrow.Table, rows: int = 3, **options: Any) -> Path:
    """Write a table in groups of ``rows``; return the file, whose ending is that of the form."""
    path = path.with_suffix(".parquet" if form == "parquet" else ".arrow")
    path.parent.mkdir(parents=True, exist_ok=True)
    if form == "parquet":
        pyarrow.parquet.write_table(found, path, row_group_size=rows, **options)
    else:
        with (pyarrow.ipc.new_stream if form == "stream" else pyarrow.ipc.new_file)(str(path), found.schema, **options) as writer:
            writer.write_table(found, max_chunksize=rows)
    return path


def contents(source: Source | None) -> list[bytes]:
    assert isinstance(source, Encoded)
    return [source.content(i) for i in range(len(source))]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", [IMAGE, pyarrow.struct([("bytes", pyarrow.large_binary())]), pyarrow.binary(), pyarrow.large_binary()], ids=str)
def test_images_are_those_of_the_column(tmp_path: Path, form: str, kind: pyarrow.DataType) -> None:
    images = [picture(i) for i in range(8)]
    rows = [{"bytes": image} if pyarrow.types.is_struct(kind) and kind != IMAGE else image for image in images]
    file = write(tmp_path / "x", form, table(rows, kind, label=[0, 1] * 4))
    train, test = open_splits(file)
    assert isinstance(train, ParquetSource if form == "parquet" else WithinFiles)
    assert (contents(train), test, train.aside) == (images, None, ())
    assert list(train.names) == [f"{file.name}/{i}.png" if kind == IMAGE else f"{file.name}/{i:06d}" for i in range(8)]
    assert (train.classes, train.labels is not None and train.labels.tolist()) == (("0", "1"), [0, 1] * 4)
    assert train.sizes().tolist() == [len(image) for image in images]
    loaded = load(train, data())
    for i, image in enumerate(images):
        (tmp_path / "one").mkdir(exist_ok=True)
        (tmp_path / "one" / "i.png").write_bytes(image)
        alone = open_splits(tmp_path / "one").train
        assert np.array_equal(loaded.pool.image(i).numpy(), alone.read(0, data()))
        assert (train.header(i), train.digest(i)) == (alone.header(0), alone.digest(0))
    assert open_splits(file, "none").train.labels is None
    again = pickle.loads(pickle.dumps(train))
    assert contents(again) == images


@pytest.mark.parametrize("form", FORMS)
def test_labels_are_named_in_order_and_missing_ones_set_aside(tmp_path: Path, form: str) -> None:
    images = [picture(i) for i in range(6)]
    numbers = named(table(images, label=pyarrow.array([2, 0, None, 1, -1, 2])), "dog", "cat", "ant")
    train = open_splits(write(tmp_path / "x", form, numbers)).train
    assert (train.classes, train.labels is not None and train.labels.tolist()) == (("dog", "cat", "ant"), [2, 0, 1, 2])
    assert contents(train) == [images[i] for i in (0, 1, 3, 5)]
    assert [name for name, reason in train.aside if "has no label" in reason] == [f"{train.names[0].partition('/')[0]}/{i}.png" for i in (2, 4)]
    assert train.sizes().tolist() == [len(images[i]) for i in (0, 1, 3, 5)]
    words = table(images, fine_label=pyarrow.array(["dog", "cat", "dog", "ant", "cat", "ant"]).dictionary_encode(), coarse_label=[0] * 6)
    train = open_splits(write(tmp_path / "x", form, words)).train
    assert (train.classes, train.labels is not None and train.labels.tolist()) == (("ant", "cat", "dog"), [2, 1, 2, 0, 1, 0])
    for unlabelled in (table(images), table(images, label=[-1] * 6), table(images, label=[[0], [1]] * 3)):
        assert open_splits(write(tmp_path / "x", form, unlabelled)).train.labels is None
        with pytest.raises(UserError, match="has no labels"):
            open_splits(write(tmp_path / "x", form, unlabelled), "folders")
    with pytest.raises(UserError, match="label '3' is not in the training part"):
        open_splits(write(tmp_path / "x", form, named(table(images, label=[0, 1, 2, 3, 0, 1]), "a", "b", "c")))


@pytest.mark.parametrize("form", FORMS)
def test_files_of_a_folder_are_its_parts(tmp_path: Path, form: str) -> None:
    for k, shard in enumerate(("train-00000-of-00002", "train-00001-of-00002", "test-00000-of-00001", "validation-00000-of-00001")):
        rows = named(table([picture(10 * k + i) for i in range(4)], label=[k % 2, 1, 1, 0]), "a", "b")
        write(tmp_path / "set" / "data" / shard, form, rows)
    (tmp_path / "set" / "README.md").write_text("# A set")
    train, test = open_splits(tmp_path / "set")
    assert contents(train) == [picture(10 * k + i) for k in range(2) for i in range(4)]
    assert contents(test) == [picture(20 + i) for i in range(4)]
    assert test is not None
    assert (train.classes, test.classes, train.skipped) == (("a", "b"), ("a", "b"), {".md": 1, "files of validation": 1})
    assert train.labels is not None
    assert train.labels.tolist() == [0, 1, 1, 0, 1, 1, 1, 0]
    write(tmp_path / "set" / "data" / "test-00000-of-00001", form, table([picture()] * 2, label=[-1, -1]))
    assert open_splits(tmp_path / "set").test.labels is None  # type: ignore[union-attr]
    write(tmp_path / "set" / "data" / "test-00000-of-00001", form, named(table([picture()] * 2, label=[0, 1]), "b", "a"))
    with pytest.raises(UserError, match="different classes"):
        open_splits(tmp_path / "set")
    assert open_splits(tmp_path / "set", "none").test is not None


def test_a_saved_data_set_is_what_it_says_it_is(tmp_path: Path) -> None:
    for part in ("train", "test"):
        write(tmp_path / part / "data-00000-of-00001", "stream", table([picture(i) for i in range(4)], label=[0, 0, 1, 1]))
        write(tmp_path / part / "cache-1f2e", "stream", table([picture(9)], label=[0]))
        (tmp_path / part / "state.json").write_text(json.dumps({"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}))
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    train, test = open_splits(tmp_path)
    assert test is not None
    assert (len(train), len(test)) == (4, 4)
    assert train.skipped == {".json": 3, ".arrow not of the data set": 2}


@pytest.mark.parametrize("form", FORMS)
def test_rows_without_bytes_are_files_beside(tmp_path: Path, form: str) -> None:
    (tmp_path / "set" / "more").mkdir(parents=True)
    (tmp_path / "set" / "more" / "1.png").write_bytes(picture(1))
    (tmp_path / "out.png").write_bytes(picture(2))
    (tmp_path / "set" / "link.png").symlink_to(tmp_path / "out.png")
    paths = ["more/1.png", "gone.png", "../out.png", str(tmp_path / "out.png"), "link.png", "more", None, "a\0b"]
    rows = [picture(0), *({"bytes": None, "path": path} for path in paths), None]
    loaded = load(open_splits(write(tmp_path / "set" / "x", form, table(rows))).train, data())
    assert len(loaded.pool) == 2
    assert np.array_equal(loaded.pool.image(1).numpy(), np.moveaxis(pixels(5, 5, seed=1), -1, 0))
    reasons = [reason for _, reason in loaded.bad]
    words = ["names no file", "leads out", "leads out", "leads out", "no regular file", "neither bytes", "names no file", "neither bytes"]
    assert len(reasons) == len(words)
    assert all(word in reason for word, reason in zip(words, reasons, strict=True)), reasons


def test_a_list_stays_a_list(tmp_path: Path) -> None:
    (tmp_path / "1.png").write_bytes(picture(1))
    columns = {"path": ["1.png", "1.png"], "label": ["a", "b"]}
    for more in ({}, {"thumbnail": [b"x", b"y"]}):
        pyarrow.parquet.write_table(pyarrow.table({**columns, **more}), tmp_path / "list.parquet")
        assert isinstance(open_splits(tmp_path / "list.parquet").train, FileSource)
    pyarrow.parquet.write_table(table([picture(1)], path=["elsewhere.png"]), tmp_path / "list.parquet")
    assert contents(open_splits(tmp_path / "list.parquet").train) == [picture(1)]
    pyarrow.parquet.write_table(table([picture(1)], pyarrow.binary(), "photo"), tmp_path / "list.parquet")
    assert contents(open_splits(tmp_path / "list.parquet").train) == [picture(1)]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (
            lambda p: write(p / "x", "parquet", table([picture()], pyarrow.binary(), "a", b=[b"x"])),
            r"x\.parquet: no column of images",
        ),
        (lambda p: write(p / "x", "stream", pyarrow.table({"a": [1]})), r"x\.arrow: no column of images \(there are a: int64\)"),
        (lambda p: (p / "x.parquet").write_bytes(b"PAR1 no"), r"x\.parquet: cannot be read as Parquet"),
        (lambda p: (p / "x.arrow").write_bytes(b"no table" * 9), r"x\.arrow: cannot be read as Arrow"),
        (lambda p: (p / "x.arrow").write_bytes(b""), r"x\.arrow: cannot be read as Arrow"),
        (lambda p: write(p / "y", "stream", table([picture()])), r"holds \.arrow and \.parquet files"),
        (
            lambda p: write(p / "x", "file", table([picture()] * 9), options=pyarrow.ipc.IpcWriteOptions(compression="zstd")),
            r"x\.arrow: its columns are compressed",
        ),
    ],
)
def test_what_cannot_be_read_names_the_file(tmp_path: Path, spoil: Any, said: str) -> None:
    spoil(tmp_path)
    if "holds" in said:
        write(tmp_path / "x", "parquet", table([picture()]))
    with pytest.raises(UserError, match=said) as caught:
        open_splits(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("form", FORMS)
def test_damaged_bytes_are_no_crash(tmp_path: Path, form: str) -> None:
    whole = write(tmp_path / "x", form, table([picture(i) for i in range(9)], label=[0, 1, 2] * 3))
    content, draw, said = whole.read_bytes(), np.random.default_rng(0), []
    for k in range(60):
        broken = bytearray(content if k % 2 else content[: int(draw.integers(1, len(content)))])
        for place in draw.integers(0, len(broken), 4):
            broken[place] = int(draw.integers(0, 256))
        whole.write_bytes(broken)
        try:
            loaded = load(open_splits(whole).train, data())
        except UserError as error:
            said.append(str(error))
        else:
            assert len(loaded.pool) + len(loaded.bad) > 0
    assert said
    assert not any("\n" in line for line in said)


def test_every_group_is_decoded_once_by_however_many_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train = open_splits(write(tmp_path / "x", "parquet", table([picture(i) for i in range(500)], label=[0, 1] * 250), rows=50)).train
    assert isinstance(train, ParquetSource)
    read, counted, lock = ParquetSource._group, [0] * 10, Lock()

    def counting(self: ParquetSource, number: int) -> Any:
        with lock:
            counted[number] += 1
        return read(self, number)

    monkeypatch.setattr(ParquetSource, "_group", counting)
    monkeypatch.setattr("stopgrad.images.threads.cores", lambda: 8)
    assert len(load(train, data()).pool) == 500
    assert counted == [1] * 10
    train._kept.most = 0  # then two are kept
    train._kept.groups.clear()
    for i in range(500):
        train.header(i)
    assert counted == [2] * 10
    assert len(train._kept.groups) == 2


def test_parquet_is_not_streamed_and_arrow_is(tmp_path: Path) -> None:
    rows = table([picture(i) for i in range(40)], label=[0, 1] * 20)
    for form in FORMS:
        train = with_held_out(open_splits(write(tmp_path / form, form, rows))).train
        streamed = data(residence="stream", workers=0)
        if form == "parquet":
            with pytest.raises(UserError, match=r"cannot be streamed from Parquet.*stopgrad pack .*parquet PACK"):
                open_supply(train, streamed, torch.device("cpu"), lambda line: None, lambda bad: None)
            assert open_supply(train, data(), torch.device("cpu"), lambda line: None, lambda bad: None)[1] == "ram"
            continue
        supply, _ = open_supply(train, streamed, torch.device("cpu"), lambda line: None, lambda bad: None)
        (batch,) = supply.fetch([torch.tensor([30, 2])])
        assert np.array_equal(batch.pool.image(0).numpy(), train.read(30, data()))


@pytest.mark.parametrize("form", FORMS)
def test_other_images_or_labels_are_another_source(tmp_path: Path, form: str) -> None:
    def fingerprint(images: list[bytes], labels: list[int]) -> str:
        return open_splits(write(tmp_path / "x", form, table(images, label=labels))).train.fingerprint()

    images = [picture(i) for i in range(4)]
    first = fingerprint(images, [0, 1, 0, 1])
    assert fingerprint(images, [0, 1, 0, 1]) == first
    assert fingerprint([*images[:3], images[3] + b"longer"], [0, 1, 0, 1]) != first
    assert fingerprint(images, [0, 1, 1, 1]) != first
    assert inspect(open_splits(tmp_path / f"x.{'parquet' if form == 'parquet' else 'arrow'}")).duplicates == 0


def test_groups_too_large_to_be_read_at_once_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stopgrad.images.parquet.MOST_IN_A_GROUP", 100)
    with pytest.raises(UserError, match=r"x\.parquet: a group of rows holds .*row_group_size=1000"):
        open_splits(write(tmp_path / "x", "parquet", table([picture()] * 3)))
