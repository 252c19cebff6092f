"""A pack is its folder, decoded once: the same images, names, labels and parts, mapped and not copied; damage is named."""

import json
import pickle
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import stopgrad
from stopgrad.config import Data
from stopgrad.errors import UserError
from stopgrad.images.holdout import with_held_out
from stopgrad.images.pack import pack
from stopgrad.images.packed import PackedSource
from stopgrad.images.pool import Pool, load
from stopgrad.images.sources import Splits, from_arrays, open_splits
from stopgrad.images.survey import survey
from stopgrad.loader import Streaming, open_supply
from stopgrad.monitor import Listeners
from tests.images.corpus import hostile_folder, pixels, saved

CPU = torch.device("cpu")


def data(channels: int = 3, short_side: int | None = 8, **limits: Any) -> Data:
    return Data(source="", channels=channels, mean=(0.0,), std=(1.0,), size=8, short_side=short_side, **limits)


def packed(splits: Splits, out: Path, channels: int | None = None, **settings: Any) -> Splits:
    pack(splits, out, data(**settings), channels, lambda done, total: None)
    return open_splits(out)


def same(a: Pool, b: Pool) -> None:
    assert (len(a), a.channels, a.dtype) == (len(b), b.channels, b.dtype)
    for i in range(len(a)):
        assert torch.equal(a.image(i).to(torch.int32), b.image(i).to(torch.int32))


def lies_in_the_map(pool: Pool, source: Any) -> bool:
    flat = source.mapped().buffer
    return bool(pool.buffer.data_ptr() == flat.ctypes.data and pool.buffer.nbytes == flat.nbytes)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two classes of larger and smaller photographs."""
    for i in range(40):
        name = tmp_path / "photos" / ("cats" if i % 2 else "dogs") / f"{i:02d}.png"
        name.parent.mkdir(parents=True, exist_ok=True)
        name.write_bytes(saved(pixels(10 + i % 3, 14, seed=i), "PNG"))
    return tmp_path / "photos"


@pytest.mark.parametrize("channels", [1, 3])
def test_a_pack_is_its_folder_bit_for_bit(tmp_path: Path, channels: int) -> None:
    (tmp_path / "hostile").mkdir()
    expected = hostile_folder(tmp_path / "hostile")
    folder = open_splits(tmp_path / "hostile", "none")
    wanted = data(channels)
    loaded = load(folder.train, wanted)
    with pytest.raises(UserError, match=r"set data\.max_bad="):
        packed(folder, tmp_path / "packed", channels)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["hostile"]
    train = packed(folder, tmp_path / "packed", channels, max_bad=0.9).train
    mine = load(train, wanted)
    same(mine.pool, loaded.pool)
    assert mine.pool.dtype == torch.uint16  # there is one of 16 bits
    assert [train.names.raw(i) for i in range(len(train))] == [folder.train.names.raw(int(i)) for i in loaded.rows]
    assert set(train.names) == expected.used.keys()
    aside = {r["name"]: r["reason"] for r in map(json.loads, (tmp_path / "packed" / "bad_images.jsonl").read_text().splitlines())}
    assert aside == dict(loaded.bad)
    for i in range(len(train)):
        assert np.array_equal(train.read(i, wanted), mine.pool.image(i).numpy())
        assert train.header(i) == tuple(train.headers()[i])


def test_labels_classes_and_parts_stay(photos: Path, tmp_path: Path) -> None:
    (photos / "train").mkdir()
    (photos / "test" / "dogs").mkdir(parents=True)
    for name in ("cats", "dogs"):
        (photos / name).rename(photos / "train" / name)
    (photos / "test" / "dogs" / "0.png").write_bytes(saved(pixels(channels=1, dtype=np.uint16), "PNG"))
    folder = open_splits(photos)
    splits = packed(folder, tmp_path / "packed")
    for mine, theirs in zip(splits, folder, strict=True):
        assert isinstance(mine, PackedSource)
        assert theirs is not None
        assert (list(mine.names), mine.classes) == (list(theirs.names), theirs.classes)
        assert np.array_equal(mine.labels, theirs.labels)  # type: ignore[arg-type]
        same(load(mine, data()).pool, load(theirs, data()).pool)
    assert [part.header(0).bits for part in splits if part] == [8, 16]  # each part as a pool of it would be
    assert open_splits(tmp_path / "packed", "none").train.labels is None
    assert open_splits(tmp_path / "packed", "none").train.fingerprint() != splits.train.fingerprint()
    with pytest.raises(UserError, match="has no labels"):
        open_splits(packed(open_splits(photos, "none"), tmp_path / "plain"), "folders")


def test_what_is_packed_is_mapped_and_not_copied(photos: Path, tmp_path: Path) -> None:
    splits = packed(open_splits(photos), tmp_path / "packed")
    for source in (*with_held_out(splits), splits.train):
        assert source is not None
        for wanted in (data(), data(short_side=None), data(short_side=9)):
            loaded = load(source, wanted)
            assert lies_in_the_map(loaded.pool, source)
            same(loaded.pool, Pool.from_arrays([source.read(i, wanted) for i in range(len(source))]))
        assert lies_in_the_map(load(source, data(), keep=[1, 3]).pool, source)
        for wanted in (data(channels=1), data(short_side=7)):
            loaded = load(source, wanted)
            assert not lies_in_the_map(loaded.pool, source)
            same(loaded.pool, Pool.from_arrays([source.read(i, wanted) for i in range(len(source))]))
    lines: list[str] = []
    open_supply(splits.train, data(), CPU, lines.append, lambda bad: None)
    assert lines[0].endswith(f"decoded images: mapped from {tmp_path / 'packed'}")
    written = load(splits.train, data()).pool
    written.buffer.fill_(7)  # stays in this process
    assert not (np.fromfile(tmp_path / "packed" / "train" / "pixels.bin", np.uint8) == 7).all()


def test_equal_images_are_gathered_whatever_lies_between_them(tmp_path: Path) -> None:
    images = [pixels(8, 8 + (i == 1), seed=i) for i in range(5)]
    train = packed(Splits(from_arrays(images), None), tmp_path / "packed").train
    some = load(train, data(), keep=[0, 2, 3, 4]).pool
    assert some.equal is None  # not one grid: a larger image lies between
    taken = some.take(torch.tensor([3, 0]))
    assert taken.equal == (8, 8)
    assert np.array_equal(taken.image(0).numpy(), np.moveaxis(images[4], -1, 0))
    even = packed(Splits(from_arrays(images[2:]), None), tmp_path / "even").train
    assert np.array_equal(load(even, data(), keep=[2]).pool.planes(torch.tensor([0]))[0].numpy(), np.moveaxis(images[4], -1, 0))


def test_a_pack_is_streamed_where_that_is_asked_and_travels_light(photos: Path, tmp_path: Path) -> None:
    train = packed(open_splits(photos), tmp_path / "packed").train
    supply, kind = open_supply(train, data(residence="stream", workers=1), CPU, lambda line: None, lambda bad: None)
    assert isinstance(supply, Streaming)
    assert kind == "stream"
    (batch,) = supply.fetch([torch.tensor([5, 2])])
    same(batch.pool, load(train, data(), keep=[5, 2]).pool)
    assert "_flat" in train.__dict__
    sent = pickle.dumps(train)
    assert len(sent) < 10_000
    assert np.array_equal(pickle.loads(sent).read(5, data()), train.read(5, data()))


def test_looking_at_the_headers_opens_nothing(photos: Path, tmp_path: Path) -> None:
    source = packed(open_splits(photos), tmp_path / "packed").train
    found = survey(source, 8 * 10)
    assert "_flat" not in source.__dict__
    large = np.flatnonzero(source.sizes() > 3 * 80).tolist()
    assert found.bad == dict.fromkeys(large, "11x8 pixels are more than data.max_pixels (80)")
    loaded = load(source, data(max_pixels=80))
    assert (len(loaded.pool), len(loaded.bad)) == (26, 14)
    assert lies_in_the_map(loaded.pool, source)


def test_other_pixels_names_or_labels_are_another_pack(photos: Path, tmp_path: Path) -> None:
    splits = packed(open_splits(photos), tmp_path / "a")
    again = packed(open_splits(photos), tmp_path / "b")
    assert splits.train.fingerprint() == again.train.fingerprint()
    assert with_held_out(splits).train.fingerprint() == with_held_out(again).train.fingerprint()
    (photos / "cats" / "01.png").write_bytes(saved(pixels(11, 14, seed=99), "PNG"))
    other = packed(open_splits(photos), tmp_path / "c")
    assert other.train.fingerprint() != splits.train.fingerprint()
    assert with_held_out(other).train.fingerprint() != with_held_out(splits).train.fingerprint()
    assert [other.train.digest(i) == splits.train.digest(i) for i in (0, 1)] == [False, True]


def test_what_is_refused_leaves_nothing(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = sorted(tmp_path.rglob("*"))
    splits = open_splits(photos)

    def full(*asked: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("stopgrad.images.pack.write_index", full)
    with pytest.raises(UserError, match=r"new/packed: cannot be written \(No space left"):
        packed(splits, tmp_path / "new" / "packed")
    monkeypatch.undo()
    monkeypatch.setattr("stopgrad.images.packs.shutil.disk_usage", lambda path: SimpleNamespace(free=10))
    with pytest.raises(UserError, match=r"0\.0 MB are needed, 0\.0 MB are free"):
        packed(splits, tmp_path / "packed")
    monkeypatch.undo()
    (photos / "cats" / "01.png").write_bytes((photos / "cats" / "01.png").read_bytes()[:-40])  # its header is whole
    with pytest.raises(UserError, match=r"1 of 40 images \(2\.5%\) cannot be used, data\.max_bad allows 1\.0%: cats/01\.png"):
        packed(open_splits(photos), tmp_path / "packed")
    assert sorted(tmp_path.rglob("*")) == before
    assert len(packed(open_splits(photos), tmp_path / "packed", max_bad=0.03).train) == 39


KILLED = """
import os, signal, sys
from pathlib import Path
from stopgrad.config import Data
from stopgrad.images.pack import pack
from stopgrad.images.sources import open_splits
data = Data(source="", channels=3, mean=(0,), std=(1,), size=8, short_side=8)
pack(open_splits(sys.argv[1]), Path(sys.argv[2]), data, None, lambda done, total: os.kill(os.getpid(), signal.SIGKILL) if done == 20 else None)
"""


@pytest.mark.whole
def test_a_pack_that_is_killed_is_not_there(photos: Path, tmp_path: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", KILLED, str(photos), str(tmp_path / "packed")], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert not (tmp_path / "packed").exists()
    assert len(packed(open_splits(photos), tmp_path / "packed").train) == 40


MEMORY = """
import resource, sys
import torch
from stopgrad.config import Data
from stopgrad.images.pool import load
from stopgrad.images.sources import open_splits
source = open_splits(sys.argv[1]).train
def own():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("RssAnon"))
before = own()
pool = load(source, Data(source="", channels=3, mean=(0,), std=(1,), size=8, short_side=None)).pool
pool.buffer.sum()
print(pool.buffer.numel() // 1024, own() - before)
"""


@pytest.mark.whole
@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc")
def test_a_mapped_pool_takes_no_memory_of_its_own(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (20, 1000, 1000, 3), dtype=np.uint8)
    packed(Splits(from_arrays(images), None), tmp_path / "packed", short_side=1000)
    out = subprocess.run([sys.executable, "-c", MEMORY, str(tmp_path / "packed")], capture_output=True, text=True, check=True).stdout
    pool, taken = map(int, out.split())
    assert pool == 20 * 3_000_000 // 1024
    assert taken < 0.3 * pool


SMALL: dict[str, Any] = {
    "net.backbone": "resnet10",
    "net.stem": "small",
    "net.width": 8,
    "method.projector": (32, 32),
    "method.predictor_hidden": 8,
    "views.size": 8,
    "data.size": 8,
    "data.short_side": 8,
    "data.channels": 3,
    "train.batch": 8,
    "train.epochs": 2,
    "train.threads": 1,
}


@pytest.mark.whole
def test_training_on_a_pack_is_training_on_its_folder(photos: Path, tmp_path: Path) -> None:
    packed(open_splits(photos), tmp_path / "packed")
    lines: dict[str, list[str]] = {}
    for name in ("photos", "packed"):
        lines[name] = []
        listeners = Listeners(line=lines[name].append)
        stopgrad.pretrain(tmp_path / name, tmp_path / f"run-{name}", recipe="demo", settings=SMALL, listeners=listeners, device="cpu")
    weights = [(tmp_path / f"run-{name}" / "backbone.safetensors").read_bytes() for name in ("photos", "packed")]
    assert weights[0] == weights[1]
    assert any("in RAM" in line for line in lines["photos"])
    assert any("mapped from" in line for line in lines["packed"])
    assert any("4 of 40 labelled images are held out" in line for line in lines["packed"])
