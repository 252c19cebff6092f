"""Where images come from: folders, lists, arrays, and what is said when they do not."""

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import torch

from stopgrad.config import Data
from stopgrad.errors import UserError
from stopgrad.images.sources import Names, from_arrays, open_splits
from tests.images.corpus import pixels, saved


def fill(root: Path, *names: str) -> Path:
    """Make an image for every name; those of one class look the same."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(saved(pixels(4, 5, seed=len(name)), "PNG"))
    return root


def data(channels: int = 3) -> Data:
    return Data(source="", channels=channels, mean=(0.0,), std=(1.0,), size=8, short_side=None)


def test_names_survive_whatever_they_hold() -> None:
    odd = ["plain.png", "a b\n.png", "é图.png", "\\n", os.fsdecode(b"\xff\xfe"), "", "x" * 300]
    names = Names(odd)
    assert [names.exact(i) for i in range(len(odd))] == odd
    assert list(names) == ["plain.png", r"a b\n.png", "é图.png", r"\\n", r"\udcff\udcfe", "", "x" * 300]
    assert [pickle.loads(pickle.dumps(names)).exact(i) for i in range(len(odd))] == odd
    "".join(names).encode()
    assert "".join(names).isprintable()
    with pytest.raises(IndexError):
        names[len(odd)]


def test_a_million_names_are_cheap_to_send() -> None:
    names = Names(f"class{i % 10}/{i:07d}.jpg" for i in range(100_000))
    assert len(pickle.dumps(names)) < 100_000 * 28


def test_a_nested_folder_without_labels(tmp_path: Path) -> None:
    fill(tmp_path, "b/x.png", "a/deep/er/y.PNG", "z.png", "a/deep/w.png")
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "README").write_text("no image")
    (tmp_path / "._z.png").write_bytes(b"a Mac's")
    (tmp_path / ".git").mkdir()
    train, test = open_splits(tmp_path)
    assert list(train.names) == ["a/deep/er/y.PNG", "a/deep/w.png", "b/x.png", "z.png"]
    assert test is None
    assert train.labels is None
    assert train.skipped == {".txt": 1, "no ending": 1, "hidden": 2}
    assert train.read(3, data()).shape == (3, 4, 5)
    assert open_splits(str(tmp_path)).train.fingerprint() == train.fingerprint()


def test_the_fingerprint_tells_names_sizes_and_labels_apart_and_not_the_place(tmp_path: Path) -> None:
    names = ("a/1.png", "a/2.png", "b/1.png", "b/2.png")
    first = open_splits(fill(tmp_path / "one", *names)).train.fingerprint()
    assert open_splits(fill(tmp_path / "two", *names)).train.fingerprint() == first
    assert open_splits(tmp_path / "one", "none").train.fingerprint() != first
    (tmp_path / "two" / "a" / "1.png").write_bytes(b"shorter")
    assert open_splits(tmp_path / "two").train.fingerprint() != first
    (tmp_path / "one" / "b").rename(tmp_path / "one" / "c")
    assert open_splits(tmp_path / "one").train.fingerprint() != first


def test_class_folders_are_labels_where_obvious(tmp_path: Path) -> None:
    train, _ = open_splits(fill(tmp_path, "cat/1.png", "cat/2.png", "dog/1.png", "dog/2.png", "dog/3.png"))
    assert train.classes == ("cat", "dog")
    assert train.labels is not None
    assert train.labels.tolist() == [0, 0, 1, 1, 1]
    assert train.labels.dtype == np.int64
    assert open_splits(tmp_path, "none").train.labels is None


@pytest.mark.parametrize(
    "names",
    [
        ("only/1.png", "only/2.png"),  # one folder
        ("a/1.png", "a/2.png", "b/1.png", "b/2.png", "3.png"),  # one outside
        ("a/1.png", "a/2.png", "b/1.png", "b/c/2.png"),  # one deeper
        ("a/1.png", "b/2.png", "c/3.png"),  # one image a folder
    ],
)
def test_other_shapes_of_folders_are_no_labels(tmp_path: Path, names: tuple[str, ...]) -> None:
    assert open_splits(fill(tmp_path, *names)).train.labels is None


def test_labels_can_be_insisted_on(tmp_path: Path) -> None:
    fill(tmp_path, "a/1.png", "b/deep/2.png")
    train, _ = open_splits(tmp_path, "folders")
    assert (train.classes, train.labels is not None and train.labels.tolist()) == (("a", "b"), [0, 1])
    fill(tmp_path, "stray.png")
    with pytest.raises(UserError, match=r"stray\.png lies in no class folder"):
        open_splits(tmp_path, "folders")
    with pytest.raises(UserError, match="has no labels"):
        open_splits(pixels(channels=1)[None], "folders")


def test_parts_are_found_and_classes_meet_by_name(tmp_path: Path) -> None:
    fill(tmp_path, *(f"{part}/{c}/{i}.png" for part in ("train", "validation") for c in ("cat", "dog") for i in range(2)))
    fill(tmp_path, "test/dog/1.png")
    train, test = open_splits(tmp_path)
    assert test is not None
    assert (len(train), len(test)) == (4, 1)
    assert test.classes == train.classes == ("cat", "dog")
    assert test.labels is not None
    assert test.labels.tolist() == [1]
    assert train.skipped == {"validation/": 4}
    assert test.names[0] == "test/dog/1.png"
    fill(tmp_path, "test/cow/1.png")
    with pytest.raises(UserError, match="class 'cow' is not in the training part"):
        open_splits(tmp_path)
    assert open_splits(tmp_path, "none").test is not None


def test_an_unlabelled_test_part_stays_unlabelled(tmp_path: Path) -> None:
    fill(tmp_path, *(f"train/{c}/{i}.png" for c in "ab" for i in range(2)), "val/1.png", "val/2.png")
    train, test = open_splits(tmp_path)
    assert train.labels is not None
    assert test is not None
    assert test.labels is None
    with pytest.raises(UserError, match="lies in no class folder"):
        open_splits(tmp_path, "folders")


def test_a_folder_beside_the_parts_makes_them_ordinary_folders(tmp_path: Path) -> None:
    splits = open_splits(fill(tmp_path, "train/1.png", "train/2.png", "test/1.png", "extra/1.png"))
    assert len(splits.train) == 4
    assert splits.test is None


def test_links_are_followed_once(tmp_path: Path) -> None:
    root = fill(tmp_path / "set", "real/1.png", "real/2.png")
    fill(tmp_path, "outside/sub/3.png")
    (root / "a-link").symlink_to(root / "real")  # before "real" by name, and yet the real name wins
    (root / "out").symlink_to(tmp_path / "outside")
    (root / "out2").symlink_to(tmp_path / "outside" / "sub")
    (root / "up").symlink_to(tmp_path)
    (root / "real" / "self").symlink_to(root / "real")
    (root / "file.png").symlink_to(tmp_path / "outside" / "sub" / "3.png")
    train, _ = open_splits(root)
    assert list(train.names) == ["file.png", "out/sub/3.png", "real/1.png", "real/2.png"]
    reasons = dict(train.aside)
    assert reasons.keys() == {"a-link", "out2", "up", "real/self"}
    assert "circle" in reasons["up"]
    assert "another name" in reasons["a-link"]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda p: p / "absent", "no such folder or file"),
        (lambda p: fill(p, "1.png") / "1.png", "is one file"),
        (lambda p: p, "no images found; give a folder"),
        (lambda p: fill(p, "clip.mp4", "a/clip.MP4"), r"no images found \(but 2 .mp4\)"),
    ],
)
def test_what_is_no_source_is_answered(tmp_path: Path, make: Any, words: str) -> None:
    with pytest.raises(UserError, match=words) as caught:
        open_splits(make(tmp_path))
    assert "\n" not in str(caught.value)


def test_a_near_miss_is_pointed_out(tmp_path: Path) -> None:
    fill(tmp_path, "photos/1.png")
    with pytest.raises(UserError, match="did you mean 'photos'"):
        open_splits(tmp_path / "photo")


def write_list(folder: Path, form: str, columns: dict[str, list[Any]]) -> Path:
    """Write the columns as a list; in CSV with what spreadsheets add."""
    path = folder / f"list.{form}"
    if form == "parquet":
        pyarrow.parquet.write_table(pyarrow.table(columns), path)
    else:
        rows = [",".join(columns), *(",".join(f'"{v}"' for v in row) for row in zip(*columns.values(), strict=True))]
        path.write_text("\ufeff" + "\r\n".join(rows) + "\r\n\r\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_list_gives_paths_labels_and_parts(tmp_path: Path, form: str) -> None:
    fill(tmp_path, "x/1.png", "x/2.png", "y/3.png", "with, comma.png")
    columns = {
        "id": [1, 2, 3, 4],
        "path": ["x/2.png", str(tmp_path / "y/3.png"), "with, comma.png", "x/1.png"],
        "label": [10, 9, 10, 9],
        "split": ["train", "train", "train", "val"],
    }
    train, test = open_splits(write_list(tmp_path, form, columns))
    assert list(train.names) == ["x/2.png", str(tmp_path / "y/3.png"), "with, comma.png"]
    assert train.classes == ("9", "10")  # numbers by value
    assert train.labels is not None
    assert train.labels.tolist() == [1, 0, 1]
    assert test is not None
    assert test.labels is not None
    assert test.labels.tolist() == [0]
    assert train.read(1, data()).shape == (3, 4, 5)
    assert train.sizes()[0] == (tmp_path / "x/2.png").stat().st_size
    assert open_splits(tmp_path / f"list.{form}", "none").train.labels is None


@pytest.mark.parametrize("form", ["csv", "parquet"])
@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"file": ["1.png"]}, r"no column path \(there are: file\)"),
        ({"path": ["1.png", ""]}, "empty|no path"),
        ({"path": ["1.png", "2.png"], "split": ["train", "tset"]}, "split 'tset' is none of"),
        ({"path": ["1.png", "2.png"], "label": ["a", "b"], "split": ["train", "test"]}, "label 'b' is not in the training part"),
        ({"path": ["1.png"], "split": ["test"]}, "no images found"),
    ],
)
def test_a_list_with_a_fault_is_answered(tmp_path: Path, form: str, columns: dict[str, list[str]], words: str) -> None:
    with pytest.raises(UserError, match=words):
        open_splits(write_list(tmp_path, form, columns))


def test_a_list_that_is_none_is_answered(tmp_path: Path) -> None:
    for name, content in (("a.csv", b"path\n\xff\xfe"), ("b.csv", b""), ("c.parquet", b"PAR1"), ("d.csv", b'path\n"open')):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=name):
            open_splits(tmp_path / name)
    with pytest.raises(UserError, match="no column label"):
        open_splits(write_list(tmp_path, "csv", {"path": ["1.png"]}), "folders")


def test_a_listed_image_that_is_not_there_is_found_when_read(tmp_path: Path) -> None:
    train, _ = open_splits(write_list(tmp_path, "csv", {"path": ["gone.png"]}))
    assert train.sizes().tolist() == [-1]


@pytest.mark.parametrize("wrap", [np.asarray, torch.from_numpy], ids=["numpy", "torch"])
@pytest.mark.parametrize(
    ("shape", "axes"),
    [((4, 6, 5), None), ((4, 6, 5, 3), (0, 3, 1, 2)), ((4, 3, 6, 5), (0, 1, 2, 3)), ((4, 9, 8, 5), (0, 3, 1, 2)), ((4, 6, 5, 1), (0, 3, 1, 2))],
)
def test_arrays_in_any_layout(shape: tuple[int, ...], axes: tuple[int, ...] | None, wrap: Any) -> None:
    array = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    expected = array[:, None] if axes is None else array.transpose(axes)
    source = open_splits(wrap(array)).train
    images = source.array()
    assert images is not None
    assert np.array_equal(images, expected)
    assert np.array_equal(source.read(2, data(expected.shape[1])), expected[2])
    assert len(source) == 4


def test_arrays_of_many_sizes_with_labels() -> None:
    images = [pixels(6, 5), pixels(9, 8, 1), np.moveaxis(pixels(4, 7), -1, 0)]
    source = from_arrays(images, [1, 0, 1], ["cat", "dog"])
    assert [source.read(i, data()).shape for i in range(3)] == [(3, 6, 5), (3, 9, 8), (3, 4, 7)]
    assert source.array() is None
    assert source.classes == ("cat", "dog")
    assert source.sizes().tolist() == [90, 72, 84]
    assert from_arrays(images).fingerprint() != from_arrays(images[::-1]).fingerprint()
    assert from_arrays(pixels(channels=1)[None], [0]).classes == ("0",)


@pytest.mark.parametrize("labels", [[1, 0, 1, 2], np.array([1, 0, 1, 2], np.uint8), torch.tensor([1, 0, 1, 2])], ids=["list", "numpy", "torch"])
def test_arrays_with_labels_are_a_tuple(labels: Any) -> None:
    images = np.zeros((4, 6, 5, 3), np.uint8)
    train, test = open_splits((images, labels))
    assert test is None
    assert train.labels is not None
    assert train.labels.dtype == np.int64
    assert train.labels.tolist() == [1, 0, 1, 2]
    assert train.classes == ("0", "1", "2")
    assert open_splits((images, labels), "none").train.labels is None
    assert open_splits((list(images), labels)).train.classes == train.classes


def test_a_tuple_of_two_images_is_no_tuple_of_images_and_labels() -> None:
    assert len(open_splits((pixels(6, 5), pixels(9, 8, 1))).train) == 2


@pytest.mark.parametrize(
    ("images", "labels", "words"),
    [
        (np.zeros((2, 4, 4)), None, "float64"),
        (np.zeros((2, 3, 5, 3), np.uint8), None, "channels cannot be told"),
        (np.zeros((4, 4), np.uint8), None, "channels cannot be told|of shape"),
        (np.zeros((2, 0, 4), np.uint8), None, "no pixels"),
        ([[1, 2], [3]], None, "int64"),
        (object(), None, "object"),
        (np.zeros((2, 4, 4), np.uint8), [1], "labels are int64 of shape"),
        (np.zeros((2, 4, 4), np.uint8), [0.5, 1], "float64"),
        (np.zeros((2, 4, 4), np.uint8), [0, -1], "labels from -1"),
        ((np.zeros((2, 4, 4), np.uint8), [0, 1, 1]), None, r"labels are int64 of shape \(3,\); hand over 2 whole numbers from 0, one an image"),
        ((np.zeros((2, 4, 4), np.uint8), [0, -1]), None, "labels from -1 to 0 for 2 images; number the classes 0, 1, 2"),
        ((np.zeros((2, 4, 4), np.uint8), np.array([0.0, 1.0])), None, r"labels are float64 of shape \(2,\); hand over 2 whole numbers"),
        ((np.zeros((2, 4, 4, 3), np.uint8), np.zeros((2, 1), np.int64)), None, r"labels are int64 of shape \(2, 1\)"),
        ((np.zeros((2, 4, 4), np.uint8), ["cat", "dog"]), None, "labels are <U3"),
        ((np.zeros((2, 4, 4), np.uint8), [0, 10**9]), None, "labels from 0 to 1000000000 for 2 images"),
    ],
)
def test_arrays_that_cannot_be_taken_are_answered(images: Any, labels: Any, words: str) -> None:
    with pytest.raises(UserError, match=words):
        from_arrays(images, labels)
