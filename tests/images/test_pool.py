"""The pool holds what the source reads, in one buffer, whatever the sizes; bad images are named and counted."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stopgrad.config import Data
from stopgrad.errors import UserError
from stopgrad.images.bad import printable, refuse_too_many
from stopgrad.images.pool import Pool, load
from stopgrad.images.sources import from_arrays, open_splits
from stopgrad.images.survey import survey
from stopgrad.images.threads import in_threads
from tests.images.corpus import pixels, saved, upright


def data(channels: int = 3, short_side: int | None = None, **limits: int) -> Data:
    return Data(source="", channels=channels, mean=(0.0,), std=(1.0,), size=8, short_side=short_side, **limits)


def same(pool: Pool, row: int, image: np.ndarray) -> None:
    found = pool.image(row).numpy()
    assert found.dtype == image.dtype
    assert np.array_equal(found, image)


@settings(max_examples=30, deadline=None)
@given(sizes=st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6)), min_size=1, max_size=6), channels=st.integers(1, 5), deep=st.booleans())
def test_a_pool_gives_back_what_was_put_in(sizes: list[tuple[int, int]], channels: int, deep: bool) -> None:
    arrays = [np.moveaxis(pixels(h, w, 5, np.uint16 if deep else np.uint8, i), -1, 0)[:channels] for i, (h, w) in enumerate(sizes)]
    pool = Pool.from_arrays(arrays)
    assert len(pool) == len(sizes)
    assert pool.channels == channels
    assert pool.dtype == (torch.uint16 if deep else torch.uint8)
    assert list(zip(pool.heights.tolist(), pool.widths.tolist(), strict=True)) == sizes
    assert pool.equal == (sizes[0] if len(set(sizes)) == 1 else None)
    for i, array in enumerate(arrays):
        same(pool, i, array)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_equal_images_are_gathered_at_once(dtype: Any) -> None:
    array = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (7, 3, 4, 5), dtype=dtype)
    for pool in (Pool.of_array(array), Pool.from_arrays(list(array))):
        assert pool.equal == (4, 5)
        assert np.array_equal(pool.planes(torch.tensor([5, 0, 5])).numpy(), array[[5, 0, 5]])
        assert pool.to("cpu").planes(torch.tensor([1])).dtype == pool.dtype


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("equal", [True, False])
def test_some_images_make_a_pool_of_their_own(dtype: Any, equal: bool) -> None:
    arrays = [np.moveaxis(pixels(3, 4 if equal else 4 + i, 3, dtype, i), -1, 0) for i in range(5)]
    some = Pool.from_arrays(arrays).take(torch.tensor([4, 1, 1]))
    assert len(some) == 3
    for row, i in enumerate((4, 1, 1)):
        same(some, row, arrays[i])
    assert some.equal == ((3, 4) if equal else None)


def test_mixed_depths_become_16_bits() -> None:
    eight, sixteen = np.full((1, 1, 2), 255, np.uint8), np.array([[[7, 9]]], np.uint16)
    pool = Pool.from_arrays([eight, sixteen])
    assert pool.image(0).tolist() == [[[65535, 65535]]]
    assert pool.image(1).tolist() == [[[7, 9]]]


def test_a_whole_array_is_shared_not_copied() -> None:
    array = np.zeros((3, 1, 2, 2), np.uint8)
    assert Pool.of_array(array).buffer.data_ptr() == array.ctypes.data
    array.flags.writeable = False
    assert Pool.of_array(array).buffer.data_ptr() != array.ctypes.data


@pytest.mark.parametrize(("channels", "short_side"), [(3, None), (1, None), (3, 4), (1, 4)])
@pytest.mark.parametrize("keep", [None, [4, 0, 3]])
def test_loading_is_reading_every_image(tmp_path: Path, channels: int, short_side: int | None, keep: list[int] | None) -> None:
    for i in range(5):
        options = upright(6) if i == 2 else {}
        (tmp_path / f"{i}.png").write_bytes(saved(pixels(6 + i % 2, 9, 3 if i else 1, seed=i), "PNG", **options))
    equal = np.random.default_rng(0).integers(0, 255, (5, 3, 6, 7), dtype=np.uint8)
    for source in (open_splits(tmp_path).train, from_arrays(equal), from_arrays([pixels(5 + i, 6) for i in range(5)])):
        wanted = data(channels, short_side)
        for headers in (None, survey(source, wanted.max_pixels)):
            loaded = load(source, wanted, keep, headers)
            assert loaded.rows.tolist() == (keep or list(range(5)))
            assert loaded.bad == ()
            for row, i in enumerate(loaded.rows):
                same(loaded.pool, row, source.read(int(i), wanted))
            assert survey(source, wanted.max_pixels).wanted(wanted).decoded_bytes() == load(source, wanted).pool.buffer.numel()


@pytest.mark.parametrize("equal", [True, False])
def test_bad_images_are_named_and_leave_the_others_in_place(tmp_path: Path, equal: bool) -> None:
    good = {}
    for i in range(8):
        content = saved(pixels(6, 7 if equal else 7 + i, seed=i), "PNG")
        (tmp_path / f"{i}.png").write_bytes(content[:-25] if i in (0, 3) else content)
        good[i] = np.moveaxis(pixels(6, 7 if equal else 7 + i, seed=i), -1, 0)
    (tmp_path / "9.png").write_bytes(b"")
    (tmp_path / "a.npy").write_bytes(b"\x93NUMPY")
    np.save(tmp_path / "b.npy", pixels(channels=5))
    (tmp_path / "gone.png").symlink_to("nowhere")
    loaded = load(open_splits(tmp_path).train, data())
    assert [name for name, _ in loaded.bad] == ["gone.png", "9.png", "a.npy", "b.npy", "0.png", "3.png"]
    assert "data.channels is 3" in dict(loaded.bad)["b.npy"]
    assert loaded.rows.tolist() == [1, 2, 4, 5, 6, 7]
    for row, i in enumerate(loaded.rows.tolist()):
        same(loaded.pool, row, good[i])
    assert loaded.pool.equal == ((6, 7) if equal else None)
    if equal:
        assert np.array_equal(loaded.pool.planes(torch.tensor([5, 1, 0])).numpy(), np.stack([good[7], good[2], good[1]]))


def test_a_folder_of_8_and_16_bits_is_loaded_in_16(tmp_path: Path) -> None:
    (tmp_path / "8.png").write_bytes(saved(pixels(channels=1), "PNG"))
    (tmp_path / "16.png").write_bytes(saved(pixels(channels=1, dtype=np.uint16), "PNG"))
    source = open_splits(tmp_path).train
    pool = load(source, data(1)).pool
    assert list(source.names) == ["16.png", "8.png"]
    same(pool, 0, pixels(channels=1, dtype=np.uint16)[None])
    same(pool, 1, pixels(channels=1)[None].astype(np.uint16) * 257)
    assert survey(source, 10**6).decoded_bytes() == 2 * pool.buffer.numel()
    assert load(source, data(1), keep=[1]).pool.dtype == torch.uint8


def test_a_file_that_changes_after_its_header_was_read_is_set_aside(tmp_path: Path) -> None:
    for i in range(3):
        (tmp_path / f"{i}.png").write_bytes(saved(pixels(seed=i), "PNG"))
    source = open_splits(tmp_path).train
    headers = survey(source, 10**6)
    (tmp_path / "0.png").write_bytes(saved(pixels(channels=1, dtype=np.uint16), "PNG"))  # as large, but deeper than the buffer
    (tmp_path / "1.png").write_bytes(saved(pixels(20, 20), "PNG"))
    loaded = load(source, data(), headers=headers)
    assert loaded.bad == (("0.png", "is not what its header says"), ("1.png", "is not what its header says"))
    assert loaded.rows.tolist() == [2]


def test_nothing_usable_is_an_empty_pool(tmp_path: Path) -> None:
    (tmp_path / "1.png").write_bytes(b"")
    loaded = load(open_splits(tmp_path).train, data())
    assert (len(loaded.pool), loaded.pool.equal) == (0, None)
    with pytest.raises(UserError, match=r"photos: all 1 images are unreadable: 1\.png \(empty file\)"):
        refuse_too_many("photos", len(loaded.rows), loaded.bad, 1.0)


def test_too_many_bad_images_stop_the_run_with_their_names() -> None:
    bad = [(f"{i}.png", "empty file") for i in range(25)]
    refuse_too_many("photos", 2475, bad, 0.01)
    with pytest.raises(UserError) as caught:
        refuse_too_many("photos", 2474, bad, 0.01)
    message = str(caught.value)
    assert message.startswith("photos: 25 of 2499 images (1.0%) cannot be used, data.max_bad allows 1.0%: 0.png (empty file); 1.png (empty file);")
    assert "19.png (empty file); and 5 more" in message
    assert "20.png" not in message
    assert message.endswith("--set data.max_bad=0.02")
    refuse_too_many("photos", 2474, bad, 0.02)
    refuse_too_many("photos", 1, bad, 1.0)
    with pytest.raises(UserError, match="no images found"):
        refuse_too_many("photos", 0, [], 1.0)


ODD = st.text(st.sampled_from("a\\nx1b0\n\x1bé図\u3000\udcff"), max_size=6)


@given(ODD, ODD)
def test_a_name_is_shown_on_one_line_and_no_other_name_looks_so(name: str, other: str) -> None:
    shown = printable(name)
    assert shown.isprintable()
    shown.encode()  # no surrogate is left
    assert (shown == printable(other)) == (name == other)
    assert (shown == name) == (name.isprintable() and "\\" not in name)


def test_work_in_threads_keeps_its_order_and_raises_what_fails() -> None:
    assert list(in_threads(lambda i: i * i, range(1000), 3)) == [i * i for i in range(1000)]
    assert list(in_threads(str, [], 2)) == []

    def fails(i: int) -> int:
        if i == 500:
            raise KeyError(i)
        return i

    with pytest.raises(KeyError):
        list(in_threads(fails, range(10**6), 2))


def test_large_images_are_decoded_by_fewer_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stopgrad.images.survey.cores", lambda: 16)
    monkeypatch.setattr("stopgrad.images.survey.free_ram", lambda: 10**9)
    small, large = from_arrays([pixels(4, 4)]), from_arrays(np.lib.stride_tricks.as_strided(np.zeros(1, np.uint8), (1, 6000, 7000), (0, 0, 0)))
    assert survey(small, 10**9).threads() == 16
    assert survey(large, 10**9).threads() == 1


MEMORY = """
import resource, sys
from pathlib import Path
import torch
from stopgrad.config import Data
from stopgrad.images.pool import load
from stopgrad.images.sources import open_splits
source = open_splits(sys.argv[1]).train
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
pool = load(source, Data(source="", channels=3, mean=(0,), std=(1,), size=8, short_side=None)).pool
print(pool.buffer.numel() // 1024, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.whole
def test_loading_takes_the_memory_of_the_pool_and_little_more(tmp_path: Path) -> None:
    content = saved(np.zeros((1000, 1000, 3), np.uint8), "PNG")
    for i in range(20):
        (tmp_path / f"{i}.png").write_bytes(content)
    out = subprocess.run([sys.executable, "-c", MEMORY, str(tmp_path)], capture_output=True, text=True, check=True).stdout
    pool, taken = map(int, out.split())
    assert pool == 20 * 3_000_000 // 1024
    assert taken < 1.5 * pool
