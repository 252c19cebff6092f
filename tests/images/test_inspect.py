"""The preflight tells what is there, and nothing else."""

from pathlib import Path

import numpy as np
import pytest

from stopgrad.images.inspect import describe, inspect
from stopgrad.images.sources import from_arrays, open_splits
from tests.images.corpus import hostile_folder, pixels, saved, upright


def test_a_folder_with_everything_in_it(tmp_path: Path) -> None:
    expected = hostile_folder(tmp_path)
    (tmp_path / "copy.png").write_bytes((tmp_path / "rgba.png").read_bytes())
    (tmp_path / "movie.mp4").write_bytes(b"")
    splits = open_splits(tmp_path)
    found = inspect(splits)
    assert found.images == len(expected.used) + 1
    assert {name for name, _ in found.bad} == set(expected.aside)
    assert found.short_side == (1, 12, 12)
    assert not found.equal_size
    assert found.channels == ((3, len(expected.used)), (1, 1))
    assert found.bits == 16
    assert (found.classes, found.duplicates, found.test_images) == (0, 2, 0)  # the picture under two odd names, and the copy


def test_the_numbers_of_a_small_set(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arrays = {f"train/{c}/{i}.png": rng.integers(0, 256, (6, 8, 3), dtype=np.uint8) for c in ("a", "b") for i in range(3)}
    arrays |= {f"test/{c}/0.png": rng.integers(0, 256, (5, 5, 3), dtype=np.uint8) for c in ("a", "b")}
    for name, array in arrays.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(saved(array, "PNG"))
    (tmp_path / "test/a/bad.jpg").write_bytes(b"")
    (tmp_path / "README.md").write_text("")
    splits = open_splits(tmp_path)
    found = inspect(splits)
    train = np.stack([array for name, array in arrays.items() if name.startswith("train")]) / 255
    assert found.mean == pytest.approx(train.mean((0, 1, 2)), abs=1e-12)
    assert found.std == pytest.approx(train.std((0, 1, 2)), abs=1e-12)
    assert (found.images, found.test_images, found.classes, found.equal_size) == (6, 2, 2, True)
    assert (found.decoded_bytes, found.bits, found.short_side) == (6 * 6 * 8 * 3, 8, (6, 6, 6))
    assert found.bad == (("test/a/bad.jpg", "empty file"),)
    lines = describe(found, splits.train.skipped)
    assert lines == [
        "images      6 usable to train on, 2 to test on",
        "classes     2",
        "sizes       shorter side 6 to 6 pixels, median 6, all equal",
        "channels    6 RGB",
        "depth       8 bits",
        "decoded     0.0 MB at full size",
        f"mean, std   {' '.join(f'{m:.4f}' for m in found.mean)}; {' '.join(f'{s:.4f}' for s in found.std)} (values 0 to 1, over a sample)",
        "duplicates  0",
        "bad files   1 (set aside):",
        "  test/a/bad.jpg: empty file",
        "not images  1 .md",
    ]


def test_every_image_weighs_the_same_and_16_bits_count_as_0_to_1() -> None:
    large, small = np.full((50, 50), 65535, np.uint16), np.zeros((2, 2), np.uint16)
    found = inspect(open_splits([large, small]))
    assert found.mean == (0.5,)
    assert found.std == (0.5,)
    assert found.decoded_bytes == 2 * 2504


def test_the_sample_is_spread_evenly_and_may_be_everything() -> None:
    images = np.arange(100, dtype=np.uint8).repeat(4).reshape(100, 2, 2)
    splits = open_splits(images)
    assert inspect(splits, sample=3).mean[0] * 255 == pytest.approx((0 + 50 + 99) / 3)
    assert inspect(splits, sample=None).mean[0] * 255 == pytest.approx(49.5)
    assert inspect(splits, sample=1).mean[0] == 0


def test_what_fails_to_decode_in_the_sample_is_bad(tmp_path: Path) -> None:
    for i in range(4):
        content = saved(pixels(9, 9, seed=i), "PNG", **upright(6))
        (tmp_path / f"{i}.png").write_bytes(content[:-30] if i == 2 else content)
    found = inspect(open_splits(tmp_path))
    assert found.images == 3
    assert [name for name, _ in found.bad] == ["2.png"]
    assert found.decoded_bytes == 3 * 9 * 9 * 3


def test_what_a_run_would_set_aside_for_its_channels_is_bad(tmp_path: Path) -> None:
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
        for i in range(3):
            (tmp_path / split / f"{i}.png").write_bytes(saved(pixels(9, 9, seed=i), "PNG"))
        np.save(tmp_path / split / "deep.npy", np.zeros((9, 9, 4), np.uint8))
    found = inspect(open_splits(tmp_path))
    assert (found.images, found.test_images, found.test_bad) == (3, 3, 1)
    assert [name for name, _ in found.bad] == ["train/deep.npy", "test/deep.npy"]
    assert "has 4 channels" in found.bad[0][1]
    assert found.channels == ((3, 3), (4, 1))


def test_the_limit_on_pixels_counts(tmp_path: Path) -> None:
    found = inspect(open_splits([pixels(4, 4), pixels(4, 5)]), max_pixels=16)
    assert found.images == 1
    assert found.bad == (("1", "5x4 pixels are more than data.max_pixels (16)"),)


def test_nothing_usable_is_said_without_falling_over(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(b"")
    splits = open_splits(tmp_path)
    found = inspect(splits)
    assert (found.images, found.short_side, found.channels, found.mean) == (0, (0, 0, 0), (), (0.0,))
    assert "  x.png: empty file" in describe(found, splits.train.skipped)


def test_many_bad_files_are_counted_after_the_first(tmp_path: Path) -> None:
    for i in range(30):
        (tmp_path / f"{i:02}.png").write_bytes(b"")
    lines = describe(inspect(open_splits(tmp_path)), {})
    assert lines[-1] == "  and 10 more"
    assert lines[-2] == "  19.png: empty file"


def test_duplicates_are_copies_not_lookalikes() -> None:
    a, b = pixels(4, 6), pixels(4, 6, seed=1)
    assert inspect(open_splits([a, b, a, a])).duplicates == 2
    assert inspect(open_splits([a, a.reshape(6, 4, 3)])).duplicates == 0
    assert inspect(open_splits(np.stack([a, b, a]))).duplicates == 1
    assert inspect(open_splits(from_arrays([a, a, b, b]))).duplicates == 2
