"""A pack of files is its folder, byte for byte: the same images, names, labels, parts and weights; damage is named."""

import hashlib
import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

import stopgrad
from stopgrad.beforehand import packing
from stopgrad.cli import main
from stopgrad.errors import UserError
from stopgrad.images.encoded import WithinFiles
from stopgrad.images.holdout import with_held_out
from stopgrad.images.kept import keep
from stopgrad.images.pool import load
from stopgrad.images.sources import PackedSource, Source, Splits, from_arrays, open_splits
from stopgrad.loader import open_supply
from stopgrad.monitor import Listeners
from tests.images.corpus import hostile_folder, pixels, saved
from tests.images.test_columns import table, write
from tests.images.test_packed import SMALL, data, packed, same
from tests.images.test_tar import contents, tar


def kept(spec: Path, out: Path, max_bad: float = 0.01) -> Splits:
    keep(open_splits(spec), out, max_bad, lambda done, total: None)
    return open_splits(out)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two classes of larger and smaller photographs, some of 16 bits, one damaged."""
    for i in range(40):
        name = tmp_path / "photos" / ("cats" if i % 2 else "dogs") / f"{i:02d}.png"
        name.parent.mkdir(parents=True, exist_ok=True)
        name.write_bytes(saved(pixels(10 + i % 3, 14, 1 if i % 7 == 0 else 3, np.uint16 if i % 7 == 0 else np.uint8, seed=i), "PNG"))
    (tmp_path / "photos" / "cats" / "05.png").write_bytes(name.read_bytes()[:-40])
    return tmp_path / "photos"


def test_a_pack_of_files_is_its_folder_byte_for_byte(tmp_path: Path) -> None:
    (tmp_path / "hostile").mkdir()
    hostile_folder(tmp_path / "hostile")
    folder = open_splits(tmp_path / "hostile", "none").train
    with pytest.raises(UserError, match=r"4 of 22 images .*set data\.max_bad="):
        kept(tmp_path / "hostile", tmp_path / "kept")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["hostile"]
    train = kept(tmp_path / "hostile", tmp_path / "kept", max_bad=0.5).train
    assert isinstance(train, WithinFiles)
    assert contents(train) == {folder.names.exact(i): (tmp_path / "hostile" / folder.names.exact(i)).read_bytes() for i in range(len(folder))}
    aside = {r["name"]: r["reason"] for r in map(json.loads, (tmp_path / "kept" / "bad_images.jsonl").read_text().splitlines())}
    assert aside == dict(folder.aside)
    mine, theirs = load(train, data()), load(folder, data())
    same(mine.pool, theirs.pool)
    assert dict(mine.bad) == {name: reason for name, reason in theirs.bad if name not in aside}
    assert [train.digest(i) for i in range(len(train))] == [folder.digest(i) for i in range(len(folder))]
    said = json.loads((tmp_path / "kept" / "pack.json").read_text())
    assert (said["form"], said["classes"], said["parts"].keys()) == (2, None, {"train"})
    for name, digest in (("files.bin", "files_sha256"), ("index.parquet", "index_sha256")):
        assert hashlib.sha256((tmp_path / "kept" / "train" / name).read_bytes()).hexdigest() == said["parts"]["train"][digest]


def test_labels_classes_and_parts_stay_whatever_they_came_from(photos: Path, tmp_path: Path) -> None:
    (photos / "train").mkdir()
    (photos / "test" / "dogs").mkdir(parents=True)
    for name in ("cats", "dogs"):
        (photos / name).rename(photos / "train" / name)
    (photos / "test" / "dogs" / "0.png").write_bytes(saved(pixels(), "PNG"))
    archive = tar(tmp_path / "a.tar", *((str(p.relative_to(photos)), p.read_bytes()) for p in sorted(photos.rglob("*.png"))))
    parquet = write(tmp_path / "x", "parquet", table([saved(pixels(seed=i), "PNG") for i in range(9)], label=[0, 1, 2] * 3))
    for k, spec in enumerate((photos, archive, parquet, tmp_path / "kept0")):
        for mine, theirs in zip(kept(spec, tmp_path / f"kept{k}"), open_splits(spec), strict=True):
            assert (mine is None) == (theirs is None)
            if mine is not None and theirs is not None:
                assert (list(mine.names), mine.classes) == (list(theirs.names), theirs.classes)
                assert np.array_equal(mine.labels, theirs.labels)  # type: ignore[arg-type]
                same(load(mine, data()).pool, load(theirs, data()).pool)
    assert open_splits(tmp_path / "kept0", "none").train.labels is None
    assert isinstance(packed(open_splits(tmp_path / "kept0"), tmp_path / "packed", max_bad=0.1).train, PackedSource)


def test_it_is_known_by_its_content(photos: Path, tmp_path: Path) -> None:
    first, again = kept(photos, tmp_path / "a"), kept(photos, tmp_path / "b")
    assert first.train.fingerprint() == again.train.fingerprint()
    assert open_splits(tmp_path / "a", "none").train.fingerprint() != first.train.fingerprint()
    content = bytearray((photos / "cats" / "01.png").read_bytes())
    content[60] ^= 1  # of the same size
    (photos / "cats" / "01.png").write_bytes(content)
    other = kept(photos, tmp_path / "c")
    assert other.train.fingerprint() != first.train.fingerprint()
    assert with_held_out(other).train.fingerprint() != with_held_out(first).train.fingerprint()


def test_it_is_streamed(photos: Path, tmp_path: Path) -> None:
    train = kept(photos, tmp_path / "kept").train
    supply, kind = open_supply(train, data(residence="stream", workers=1), torch.device("cpu"), lambda line: None, lambda bad: None)
    assert kind == "stream"
    (batch,) = supply.fetch([torch.tensor([30, 3])])
    same(batch.pool, load(train, data(), keep=[30, 3]).pool)


def test_images_without_files_and_contradictions_are_refused(tmp_path: Path) -> None:
    arrays = from_arrays(pixels()[None])
    with pytest.raises(UserError, match=r"no files that could be kept.* without --as-files"):
        keep(Splits(arrays, None), tmp_path / "kept", 0, lambda done, total: None)
    assert list(tmp_path.iterdir()) == []
    for asked in ((64, None), (None, 3)):
        with pytest.raises(UserError, match=r"--(short-side 64|channels 3) and --as-files contradict"):
            packing(*asked, True, [])
    with pytest.raises(UserError, match=r"data\.max_pixels: is none of what a pack of files is made by; there is data\.max_bad"):
        packing(None, None, True, ["data.max_pixels=7"])
    assert (packing(None, None, False, []).short_side, packing(None, None, True, ["data.max_bad=0.5"]).max_bad) == (256, 0.5)


def test_what_is_refused_leaves_nothing(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.setattr("stopgrad.images.packs.shutil.disk_usage", lambda path: SimpleNamespace(free=10))
    with pytest.raises(UserError, match=r"0\.0 MB are needed, 0\.0 MB are free there; make room"):
        kept(photos, tmp_path / "kept")
    monkeypatch.undo()

    def full(*asked: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("stopgrad.images.kept.write_index", full)
    with pytest.raises(UserError, match=r"new/kept: cannot be written \(No space left"):
        kept(photos, tmp_path / "new" / "kept")
    monkeypatch.undo()
    assert sorted(tmp_path.rglob("*")) == before
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "1.png").touch()
    with pytest.raises(UserError, match="all 1 files are empty"):
        kept(tmp_path / "empty", tmp_path / "kept")


def spoil_index(file: Path, column: str, value: int | None) -> None:
    found = pq.read_table(file)
    values = found[column].to_pylist()
    values[3] = value
    pq.write_table(found.set_column(found.schema.get_field_index(column), column, [values]), file)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda f: os.truncate(f / "train/files.bin", 100), r"train/files\.bin: 100 bytes, and pack\.json says \d+: truncated"),
        (lambda f: (f / "train/files.bin").unlink(), r"train/files\.bin: 0 bytes"),
        (lambda f: (f / "train/index.parquet").unlink(), r"train/index\.parquet: cannot be read"),
        (lambda f: spoil_index(f / "train/index.parquet", "offset", 10**12), r"train/index\.parquet: places an image outside files\.bin"),
        (lambda f: spoil_index(f / "train/index.parquet", "offset", -1), r"train/index\.parquet: places an image outside files\.bin"),
        (lambda f: spoil_index(f / "train/index.parquet", "size", 2**62), r"train/index\.parquet: places an image outside files\.bin"),
        (lambda f: spoil_index(f / "train/index.parquet", "size", -1), r"train/index\.parquet: places an image outside files\.bin"),
        (lambda f: spoil_index(f / "train/index.parquet", "label", 2), r"train/index\.parquet: 40 images, or their labels, are not what"),
        (lambda f: pq.write_table(pq.read_table(f / "train/index.parquet").slice(1), f / "train/index.parquet"), "39 images"),
        (lambda f: pq.write_table(pq.read_table(f / "train/index.parquet").drop(["size"]), f / "train/index.parquet"), "columns"),
        (lambda f: (f / "pack.json").write_text((f / "pack.json").read_text().replace('"bytes"', '"pixels"')), r"pack\.json: cannot be read"),
        (lambda f: (f / "pack.json").write_text((f / "pack.json").read_text().replace('"train"', '"valid"')), r"pack\.json: damaged"),
        (lambda f: (f / "pack.json").write_text((f / "pack.json").read_text().replace('"images": 40', '"images": "40"')), r"pack\.json: damaged"),
    ],
)
def test_a_damaged_pack_names_the_file(photos: Path, tmp_path: Path, spoil: Any, said: str) -> None:
    assert kept(photos, tmp_path / "kept").train.labels is not None
    spoil(tmp_path / "kept")
    with pytest.raises(UserError, match=said) as caught:
        open_splits(tmp_path / "kept")
    assert "\n" not in str(caught.value)
    assert "pack the images again" in str(caught.value)


def test_files_are_kept_at_the_command_line(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pack", str(photos), str(tmp_path / "kept"), "--as-files"]) == 0
    assert f"{tmp_path / 'kept'}: images 40 to train on; files as they are, 0.0 MB\nnext: stopgrad pretrain" in capsys.readouterr().out
    assert main(["pack", str(photos), str(tmp_path / "other"), "--as-files", "--short-side", "9"]) == 2
    assert main(["inspect", str(tmp_path / "kept")]) == 0
    assert "images      35 usable to train on, 4 to test on" in capsys.readouterr().out


def whole(source: Source) -> list[bytes]:
    return [source.digest(i) for i in range(len(source))]


@pytest.mark.whole
def test_training_on_files_kept_or_in_an_archive_is_training_on_their_folder(photos: Path, tmp_path: Path) -> None:
    kept(photos, tmp_path / "kept")
    tar(tmp_path / "photos.tar", *((str(p.relative_to(photos)), p.read_bytes()) for p in sorted(photos.rglob("*.png"))))
    weights: dict[str, list[bytes]] = {"ram": [], "stream": []}  # where a damaged image is met on the way, another stands in for it
    for name in ("photos", "kept", "photos.tar"):
        assert whole(open_splits(tmp_path / name).train) == whole(open_splits(photos).train)
        for residence, workers in (("ram", 0), ("stream", 0), ("stream", 2)):
            out = tmp_path / f"run-{name}-{residence}-{workers}"
            settings = {**SMALL, "data.residence": residence, "data.workers": workers, "data.max_bad": 0.1}
            stopgrad.pretrain(tmp_path / name, out, recipe="demo", settings=settings, listeners=Listeners(), device="cpu")
            weights[residence].append((out / "backbone.safetensors").read_bytes())
            assert len((out / "bad_images.jsonl").read_text().splitlines()) == 1
    assert [len(set(found)) for found in weights.values()] == [1, 1]
