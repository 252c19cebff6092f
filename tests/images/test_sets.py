"""CIFAR, IDX and the bundled set: read byte for byte, and nothing that came with them is run."""

import gzip
import hashlib
import io
import os
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stopgrad.errors import UserError
from stopgrad.images.bundled import CLASSES, FOLDER, SHA256, open_bundled
from stopgrad.images.sources import Splits, open_splits


def images(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 3, 32, 32), dtype=np.uint8)


def write_binary(folder: Path, fine: int) -> dict[str, np.ndarray]:
    """Write a CIFAR of ``fine`` classes in its binary version; returns the images by part."""
    coarse = [0] if fine == 100 else []
    batches = (
        {"train": ["train.bin"], "test": ["test.bin"]}
        if fine == 100
        else {"train": ["data_batch_1.bin", "data_batch_2.bin"], "test": ["test_batch.bin"]}
    )
    parts = {}
    for part, files in batches.items():
        parts[part] = images(4 * len(files), seed=len(part))
        for k, file in enumerate(files):
            rows = [bytes([*coarse, (3 * i) % fine]) + parts[part][4 * k + i].tobytes() for i in range(4)]
            (folder / file).write_bytes(b"".join(rows))
    names = "fine_label_names.txt" if fine == 100 else "batches.meta.txt"
    (folder / names).write_text("".join(f"class{i}\n" for i in range(fine)) + "\n")
    return parts


@pytest.mark.parametrize("fine", [10, 100])
@pytest.mark.parametrize("below", ["", "cifar-binary"])
def test_the_binary_version(tmp_path: Path, fine: int, below: str) -> None:
    (tmp_path / below).mkdir(exist_ok=True)
    parts = write_binary(tmp_path / below, fine)
    check(open_splits(tmp_path), parts, [0, 3, 6, 9] * (1 if fine == 100 else 2), [f"class{i}" for i in range(fine)])


def check(splits: Splits, parts: dict[str, np.ndarray], labels: list[int], classes: list[str]) -> None:
    train, test = splits
    assert test is not None
    assert np.array_equal(train.array(), parts["train"])
    assert np.array_equal(test.array(), parts["test"])
    assert train.labels is not None
    assert train.labels.tolist() == labels
    assert list(train.classes or ()) == list(test.classes or ()) == classes


def test_a_damaged_binary_is_answered(tmp_path: Path) -> None:
    write_binary(tmp_path, 10)
    (tmp_path / "data_batch_2.bin").write_bytes(b"\0" * 3000)
    with pytest.raises(UserError, match=r"data_batch_2\.bin: 3000 bytes are no whole number of records"):
        open_splits(tmp_path)


class _Pickler(pickle._Pickler):  # type: ignore[name-defined]  # the one in Python, whose byte strings can be changed
    """Writes as Python 2 did, whose byte strings CIFAR's makers used."""

    def save_bytes(self, value: bytes) -> None:
        self.write(b"T" + struct.pack("<i", len(value)) + value)  # BINSTRING
        self.memoize(value)

    dispatch = {**pickle._Pickler.dispatch, bytes: save_bytes}  # type: ignore[attr-defined]  # noqa: RUF012


def python_2(value: Any) -> bytes:
    stream = io.BytesIO()
    _Pickler(stream, 2).dump(value)
    return stream.getvalue().replace(b"numpy._core.multiarray", b"numpy.core.multiarray")


@pytest.mark.parametrize("write", [python_2, *(lambda v, p=p: pickle.dumps(v, p) for p in (2, 3, 4))], ids=["python 2", "2", "3", "4"])
@pytest.mark.parametrize("fine", [10, 100])
def test_the_python_version(tmp_path: Path, write: Any, fine: int) -> None:
    parts = {"train": images(8), "test": images(4, 1)}
    key = b"fine_labels" if fine == 100 else b"labels"
    names = {"train": ["train"], "test": ["test"]} if fine == 100 else {"train": ["data_batch_1", "data_batch_2"], "test": ["test_batch"]}
    for part, files in names.items():
        size = len(parts[part]) // len(files)
        for k, file in enumerate(files):
            batch = {
                b"data": parts[part][k * size : (k + 1) * size].reshape(size, -1),
                key: [(3 * i) % fine for i in range(size)],
                b"filenames": [b"x"],
            }
            (tmp_path / file).write_bytes(write(batch))
    classes = [f"class{i}" for i in range(fine)]
    meta = {b"fine_label_names" if fine == 100 else b"label_names": [c.encode() for c in classes]}
    (tmp_path / ("meta" if fine == 100 else "batches.meta")).write_bytes(write(meta))
    check(open_splits(tmp_path), parts, [(3 * i) % fine for i in range(8 // len(names["train"]))] * len(names["train"]), classes)


class Poison:
    """Unpickled in the ordinary way it makes a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.target),)


def test_a_poisoned_pickle_is_refused_and_nothing_runs(tmp_path: Path) -> None:
    for poison in (Poison(tmp_path / "ran"), {b"data": Poison(tmp_path / "ran"), b"labels": [0]}):
        (tmp_path / "data_batch_1").write_bytes(pickle.dumps(poison, 2))
        with pytest.raises(UserError, match=r"data_batch_1: refused: it asks for posix\.mkdir, and stopgrad runs no code that comes with data"):
            open_splits(tmp_path)
    assert not (tmp_path / "ran").exists()
    pickle.loads((tmp_path / "data_batch_1").read_bytes())
    assert (tmp_path / "ran").exists()  # the poison works


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no pickle",
        pickle.dumps([1, 2]),
        pickle.dumps({b"data": b"", b"labels": [0]}),
        pickle.dumps({b"data": np.zeros((1, 3072), np.uint8)}),
        pickle.dumps({b"data": np.zeros((1, 3071), np.uint8), b"labels": [0]}),
        pickle.dumps({b"data": np.zeros((1, 3072), np.float32), b"labels": [0]}, 2),
        pickle.dumps({b"data": np.array([[print]], dtype=object), b"labels": [0]}, 2),
        pickle.dumps({b"data": np.zeros((1, 3072), np.uint8), b"labels": ["x"]}),
        pickle.dumps({b"data": np.zeros((1, 3072), np.uint8), b"labels": [200]}),
        b"cnumpy\nndarray\n(I10\ntR.",
        b"cbuiltins\neval\n(S'1'\ntR.",
        b"cnumpy\ndtype\n(S'O8'\nI0\nI1\ntR.",
    ],
)
def test_a_pickle_that_is_no_batch_is_answered(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "data_batch_1").write_bytes(content)
    with pytest.raises(UserError):
        open_splits(tmp_path)


def write_idx(file: Path, array: np.ndarray) -> None:
    content = bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()
    file.write_bytes(gzip.compress(content) if file.suffix == ".gz" else content)


@pytest.mark.parametrize("ending", ["", ".gz"])
@pytest.mark.parametrize("names", ["{}-images-idx3-ubyte", "emnist-letters-{}-images-idx3-ubyte", "{}-images.idx3-ubyte"])
def test_idx_files(tmp_path: Path, names: str, ending: str) -> None:
    arrays = {part: np.random.default_rng(len(part)).integers(0, 256, (6, 7, 5), dtype=np.uint8) for part in ("train", "t10k")}
    for part, array in arrays.items():
        file = names.format(part if not names.startswith("emnist") or part == "train" else "test") + ending
        write_idx(tmp_path / file, array)
        write_idx(tmp_path / file.replace("images", "labels").replace("idx3", "idx1"), np.array([1, 2, 4, 4, 2, 1], np.uint8))
    train, test = open_splits(tmp_path)
    assert test is not None
    assert np.array_equal(train.array(), arrays["train"][:, None])
    assert np.array_equal(test.array(), arrays["t10k"][:, None])
    assert train.classes == ("1", "2", "4")
    assert train.labels is not None
    assert train.labels.tolist() == [0, 1, 2, 2, 1, 0]
    assert open_splits(tmp_path, "none").train.labels is None


def test_idx_files_with_a_fault_are_answered(tmp_path: Path) -> None:
    file = tmp_path / "train-images-idx3-ubyte"
    good = bytes((0, 0, 8, 3)) + struct.pack(">3I", 2, 2, 2)
    for content, words in {
        good + bytes(7): "23 bytes for sizes",
        b"\x89PNG": "no IDX file",
        good[:9]: "9 bytes",
        good[:4] + bytes(12): "sizes",
    }.items():
        file.write_bytes(content)
        with pytest.raises(UserError, match=words):
            open_splits(tmp_path)
    file.write_bytes(good + bytes(8))
    assert open_splits(tmp_path).train.labels is None
    write_idx(tmp_path / "train-labels-idx1-ubyte", np.zeros(3, np.uint8))
    with pytest.raises(UserError, match="2 images but 3 labels"):
        open_splits(tmp_path)
    (tmp_path / "t10k-images-idx3-ubyte.gz").write_bytes(b"\x1f\x8b\x08broken")
    (tmp_path / "train-labels-idx1-ubyte").unlink()
    with pytest.raises(UserError, match="t10k"):
        open_splits(tmp_path)
    (tmp_path / "other-train-images-idx3-ubyte").write_bytes(good + bytes(8))
    with pytest.raises(UserError, match="several sets lie here"):
        open_splits(tmp_path)


def test_the_bundled_set_is_what_was_made() -> None:
    assert {file.name for file in FOLDER.iterdir()} == {*SHA256, "LICENSE"}
    for name, digest in SHA256.items():
        assert hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() == digest
    notice = (FOLDER / "LICENSE").read_text()
    assert "Zalando SE" in notice
    assert "Permission is hereby granted, free of charge" in notice


def test_the_bundled_set_is_stratified() -> None:
    train, test = open_bundled()
    assert test is not None
    for part, count in ((train, 1000), (test, 200)):
        assert part.labels is not None
        assert np.bincount(part.labels).tolist() == [count] * 10
        assert part.classes == CLASSES
        assert part.header(0) == (28, 28, 1, 8)
    assert open_splits("bundled").train.fingerprint() == train.fingerprint()
    images = train.array()
    assert images is not None
    assert abs(images.mean() / 255 - 0.2860) < 0.01  # the official mean of all 60,000
