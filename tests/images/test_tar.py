"""Tar shards: what lies in them is read where it lies, labelled as webdataset or by folders, and what cannot be used is named."""

import gzip
import io
import os
import pickle
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stopgrad.config import Data
from stopgrad.errors import UserError
from stopgrad.images.bad import BadImage
from stopgrad.images.encoded import WithinFiles, _Opened
from stopgrad.images.holdout import with_held_out
from stopgrad.images.inspect import inspect
from stopgrad.images.members import BLOCK
from stopgrad.images.pool import load
from stopgrad.images.sources import Source, open_splits
from stopgrad.loader import open_supply
from tests.images.corpus import hostile_folder, pixels, saved


def data(channels: int = 3, **settings: Any) -> Data:
    return Data(source="", channels=channels, mean=(0.0,), std=(1.0,), size=8, short_side=None, **settings)


def picture(seed: int = 0, channels: int = 3) -> bytes:
    return saved(pixels(4 + seed % 3, 5, channels, seed=seed), "PNG")


def tar(path: Path, *members: tuple[str, bytes], form: int = tarfile.PAX_FORMAT) -> Path:
    """Write an archive of files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=form) as archive:
        for name, content in members:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


def contents(source: Source) -> dict[str, bytes]:
    assert isinstance(source, WithinFiles)
    return {source.names.exact(i): source.content(i) for i in range(len(source))}


def opened(path: Path) -> Source | None:
    """Return the source, None where nothing usable is left and that is said."""
    try:
        return open_splits(path).train
    except UserError as error:
        if "no images found" not in str(error):
            raise
        return None


def sample(key: str, seed: int, label: bytes | None) -> list[tuple[str, bytes]]:
    """Return the members of one webdataset sample."""
    return [(f"{key}.png", picture(seed)), *([] if label is None else [(f"{key}.cls", label)]), (f"{key}.json", b"{}")]


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_members_are_read_where_they_lie(tmp_path: Path, form: int) -> None:
    long = "/".join(["folder" * 7] * 3) + "/" + "n" * 90 + ".png"
    wanted = {f"{k}.png": picture(k) for k in range(5)} | {long: picture(7)} | ({} if form == tarfile.USTAR_FORMAT else {"图 é.png": picture(8)})
    train = open_splits(tar(tmp_path / "a.tar", *wanted.items(), ("notes.txt", b"x"), ("README", b""), form=form)).train
    assert contents(train) == {f"a.tar/{name}": content for name, content in wanted.items()}
    assert (train.labels, train.aside, train.skipped) == (None, (), {".txt": 1, "no ending": 1})
    assert list(tmp_path.iterdir()) == [tmp_path / "a.tar"]
    for i, (name, content) in enumerate(wanted.items()):
        (tmp_path / "one.png").write_bytes(content)
        alone = open_splits(tmp_path).train
        assert train.names[i] == f"a.tar/{name}"
        assert np.array_equal(train.read(i, data()), alone.read(0, data()))
        assert (train.header(i), train.digest(i), train.sizes()[i]) == (alone.header(0), alone.digest(0), len(content))


def test_hostile_images_become_what_they_become_in_a_folder(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    expected = hostile_folder(tmp_path / "folder")
    with tarfile.open(tmp_path / "all.tar", "w") as archive:
        archive.add(tmp_path / "folder", arcname=".")
    folder, train = load(open_splits(tmp_path / "folder", "none").train, data()), open_splits(tmp_path / "all.tar", "none").train
    loaded = load(train, data())
    assert {name.removeprefix("all.tar/") for name in (train.names[int(i)] for i in loaded.rows)} == expected.used.keys()
    order = {open_splits(tmp_path / "folder", "none").train.names[int(i)]: k for k, i in enumerate(folder.rows)}
    for k, i in enumerate(loaded.rows):
        other = order[train.names[int(i)].removeprefix("all.tar/")]
        assert torch.equal(loaded.pool.image(k).to(torch.int32), folder.pool.image(other).to(torch.int32))
    bad = {name.removeprefix("all.tar/"): reason for name, reason in loaded.bad}
    assert bad.keys() - {"loop"} == expected.aside.keys() - {"loop"}
    assert bad["empty.png"] == "empty file"
    assert bad["nowhere.png"] == "a link, not a file"
    assert bad["pipe.jpg"] == "a pipe, not a file"


def test_labels_of_webdataset(tmp_path: Path) -> None:
    members = [*sample("0001", 1, b"10\n"), *sample("0002", 2, b"9"), *sample("sub.dir/0003.b", 3, b"x"), ("0002.seg.png", picture(4))]
    members[7:8] = [("sub.dir/0003.cls", b" 010 ")]
    train = open_splits(tar(tmp_path / "a.tar", *members)).train
    assert list(train.names) == ["a.tar/0001.png", "a.tar/0002.png", "a.tar/sub.dir/0003.b.png", "a.tar/0002.seg.png"]
    assert train.classes == ("9", "10")
    assert train.labels is not None
    assert train.labels.tolist() == [1, 0, 1, 0]
    assert train.skipped == {".json": 3}
    assert open_splits(tmp_path / "a.tar", "none").train.labels is None
    words = [
        part for key, word in (("1", b"dog"), ("2", "Kätzchen".encode()), ("3", None), ("4", b"\xff"), ("5", b"")) for part in sample(key, 1, word)
    ]
    train = open_splits(tar(tmp_path / "a.tar", *words)).train
    assert (train.classes, list(train.names)) == (("Kätzchen", "dog"), ["a.tar/1.png", "a.tar/2.png"])
    assert [name for name, reason in train.aside if reason.startswith("has no label")] == [f"a.tar/{key}.png" for key in "345"]
    assert len(open_splits(tmp_path / "a.tar", "none").train) == 5


def test_folders_in_archives_are_classes_as_in_folders(tmp_path: Path) -> None:
    names = [f"{part}/{c}/{i}.png" for part in ("train", "val") for c in ("cat", "dog") for i in range(2)]
    train, test = open_splits(tar(tmp_path / "set.tar", *((f"./set/{name}", picture()) for name in names)))
    assert test is not None
    assert (train.classes, test.classes, len(train), len(test)) == (("cat", "dog"), ("cat", "dog"), 4, 4)
    assert test.labels is not None
    assert (test.name, test.names[3], test.labels.tolist()) == (f"{tmp_path / 'set.tar'} (val)", "set.tar/set/val/dog/1.png", [0, 0, 1, 1])
    plain = tar(tmp_path / "plain.tar", ("a/1.png", picture()), ("a/2.png", picture()), ("b/c/3.png", picture()))
    assert open_splits(plain).train.labels is None
    assert open_splits(plain, "folders").train.classes == ("a", "b")
    tar(tmp_path / "plain.tar", ("a/1.png", picture()), ("2.png", picture()))
    with pytest.raises(UserError, match=r"2\.png lies in no class folder"):
        open_splits(plain, "folders")
    tar(tmp_path / "plain.tar", ("a/1.png", picture()), ("a/2.png", picture()))
    assert open_splits(plain, "folders").train.classes == ("a",)


def test_shards_say_which_part_they_are(tmp_path: Path) -> None:
    for k, shard in enumerate(("train-000001.tar", "train-000000.tar", "deep/imagenet-val-0003.tar", "test/0.tar")):
        tar(tmp_path / shard, *((f"{c}/{k}{i}.png", picture(k)) for c in ("cat", "dog") for i in range(2)))
    train, test = open_splits(tmp_path)
    assert test is not None
    assert list(train.names)[:5] == [
        f"train-00000{0 if i < 4 else 1}.tar/{n}.png" for i, n in enumerate(["cat/10", "cat/11", "dog/10", "dog/11", "cat/00"])
    ]
    assert (test.name, test.names[0], train.skipped) == (f"{tmp_path} (test)", "test/0.tar/cat/30.png", {"files of val": 1})
    assert train.classes == test.classes == ("cat", "dog")
    tar(tmp_path / "test/0.tar", ("dog/1.png", picture()), ("dog/2.png", picture()))  # one folder, and a class
    _, test = open_splits(tmp_path)
    assert test is not None
    assert test.labels is not None
    assert test.labels.tolist() == [1, 1]
    tar(tmp_path / "test/0.tar", ("images/1.png", picture()), ("images/2.png", picture()))  # one folder, and none
    _, test = open_splits(tmp_path)
    assert test is not None
    assert test.labels is None
    tar(tmp_path / "other.tar", ("dog/1.png", picture()))
    whole, none = open_splits(tmp_path)  # one that says nothing: then all are to train on
    assert (none, len(whole)) == (None, 15)


def test_images_beside_shards_are_the_images(tmp_path: Path) -> None:
    tar(tmp_path / "backup.tar", ("1.png", picture()))
    (tmp_path / "2.png").write_bytes(picture())
    train = open_splits(tmp_path).train
    assert (list(train.names), train.skipped) == (["2.png"], {".tar": 1})


def test_what_is_in_an_archive_and_no_image_file_is_named(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.PAX_FORMAT) as archive:

        def add(name: str, kind: bytes = tarfile.REGTYPE, content: bytes = b"", **said: Any) -> None:
            entry = tarfile.TarInfo(name)
            entry.type, entry.size, entry.pax_headers = kind, len(content), said
            entry.linkname = "good.png" if kind in (tarfile.LNKTYPE, tarfile.SYMTYPE) else ""
            archive.addfile(entry, io.BytesIO(content))

        add("twice.png", content=b"old")
        add("good.png", content=picture(1))
        add("hard.png", tarfile.LNKTYPE)
        add("soft.png", tarfile.SYMTYPE)
        add("device.png", tarfile.BLKTYPE)
        add("odd.png", b"M", content=b"x" * 700)
        add("folder.png", tarfile.DIRTYPE)
        add("../up.png", content=picture())
        add("a/../../up.png", content=picture())
        add("/etc/absolute.png", content=picture(2))
        add("._mac.png", content=b"x")
        add(".hidden/1.png", content=b"x")
        add("sparse.png", content=picture(), **{"GNU.sparse.major": "1"})
        add("empty.png")
        add("twice.png", content=picture(3))
    train = open_splits(tmp_path / "a.tar").train
    assert contents(train) == {
        "a.tar/good.png": picture(1),
        "a.tar/etc/absolute.png": picture(2),
        "a.tar/empty.png": b"",
        "a.tar/twice.png": picture(3),
    }
    assert dict(train.aside) == {
        "a.tar/hard.png": "a link, not a file",
        "a.tar/soft.png": "a link, not a file",
        "a.tar/device.png": "a device, not a file",
        "a.tar/odd.png": "an entry of kind b'M', not a file",
        "a.tar/../up.png": "its name leads out of the archive",
        "a.tar/a/../../up.png": "its name leads out of the archive",
        "a.tar/sparse.png": "a sparse file, whose holes the archive leaves out",
        "a.tar/twice.png": "another member of this name comes later and replaces it",
    }
    assert train.skipped == {"hidden": 2}
    assert dict(load(train, data()).bad)["a.tar/empty.png"] == "empty file"
    assert list(tmp_path.iterdir()) == [tmp_path / "a.tar"]


def test_an_archive_cut_anywhere_gives_what_is_whole(tmp_path: Path) -> None:
    whole = tar(tmp_path / "a.tar", *((f"{k}.png", picture(k)) for k in range(4)), ("long" * 40 + ".png", picture(4))).read_bytes()
    end = len(whole.rstrip(b"\0")) // BLOCK * BLOCK + BLOCK
    for cut in range(1, len(whole), 97):
        (tmp_path / "a.tar").write_bytes(whole[:cut])
        if (train := opened(tmp_path / "a.tar")) is not None:
            assert all(found == picture(k) for k, found in enumerate(contents(train).values()))
            assert (len(train.aside) == 0) == (len(train) == 5 and cut > end)
    (tmp_path / "a.tar").write_bytes(whole[: 3 * BLOCK + 20])
    train = open_splits(tmp_path / "a.tar").train
    assert "truncated" in dict(train.aside)[f"a.tar/{len(train)}.png"]


def test_damaged_bytes_are_no_crash(tmp_path: Path) -> None:
    whole = tar(tmp_path / "a.tar", *((f"{k}.png", picture(k)) for k in range(3)), ("é" * 120 + ".png", picture(4))).read_bytes()
    draw = np.random.default_rng(0)
    for _ in range(300):
        broken = bytearray(whole)
        for place in draw.integers(0, len(whole), 3):
            broken[place] = int(draw.integers(0, 256))
        (tmp_path / "a.tar").write_bytes(broken)
        if (train := opened(tmp_path / "a.tar")) is not None:
            assert len(contents(train)) == len(train)


def test_archives_behind_one_another_are_one_and_rubbish_is_named(tmp_path: Path) -> None:
    first, second = (tar(tmp_path / f"{k}.tar", (f"{k}.png", picture(k))).read_bytes() for k in range(2))
    (tmp_path / "0.tar").write_bytes(first + second + b"rubbish" * 200)
    (tmp_path / "1.tar").write_bytes(b"")
    (tmp_path / "2.tar").write_bytes(b"no archive, but text" * 100)
    train = open_splits(tmp_path).train
    assert contents(train) == {"0.tar/0.png": picture(0), "0.tar/1.png": picture(1)}
    reasons = {"0.tar": "damaged behind 2 images: no header", "1.tar": "empty file", "2.tar": "damaged behind 0 images: "}
    assert {name: reason[: len(reasons[name])] for name, reason in train.aside} == reasons


@pytest.mark.parametrize("name", ["a.tar.gz", "a.tgz", "a.TAR.ZST", "a.tar"])
def test_compressed_archives_are_refused(tmp_path: Path, name: str) -> None:
    content = tar(tmp_path / "a.tar", ("1.png", picture())).read_bytes()
    (tmp_path / "a.tar").unlink()
    (tmp_path / name).write_bytes(gzip.compress(content))
    for spec in (tmp_path / name, tmp_path):
        with pytest.raises(UserError, match=r"compressed archive.*decompress it") as caught:
            open_splits(spec)
        assert "\n" not in str(caught.value)


def test_other_images_or_labels_are_another_source(tmp_path: Path) -> None:
    def fingerprint(*members: tuple[str, bytes], rule: Any = "auto") -> str:
        return open_splits(tar(tmp_path / "a.tar", *members), rule).train.fingerprint()

    members = [part for k in range(4) for part in sample(str(k), k, b"%d" % (k % 2))]
    first = fingerprint(*members)
    assert fingerprint(*members) == first
    assert fingerprint(*members, rule="none") != first
    assert fingerprint(*members[:-3]) != first
    members[0] = ("0.png", picture(0) + b"longer")
    assert fingerprint(*members) != first


def test_archives_are_streamed_and_travel_light(tmp_path: Path) -> None:
    for k in range(3):
        tar(tmp_path / f"{k}.tar", *((f"{c}/{i}.png", picture(i)) for c in "ab" for i in range(10)))
    train = with_held_out(open_splits(tmp_path)).train
    assert len(train) == 54
    for workers in (0, 1):
        supply, kind = open_supply(train, data(residence="stream", workers=workers), torch.device("cpu"), lambda line: None, lambda bad: None)
        assert kind == "stream"
        (batch,) = supply.fetch([torch.tensor([50, 2])])
        assert np.array_equal(batch.pool.image(0).numpy(), train.read(50, data()))
    source = open_splits(tmp_path).train
    source.read(0, data())
    assert np.array_equal(pickle.loads(pickle.dumps(source)).read(7, data()), source.read(7, data()))
    assert inspect(open_splits(tmp_path)).duplicates == 50


def test_an_archive_that_becomes_shorter_or_goes_is_said_image_by_image(tmp_path: Path) -> None:
    source = open_splits(tar(tmp_path / "a.tar", ("1.png", picture(1)), ("2.png", picture(2)))).train
    os.truncate(tmp_path / "a.tar", BLOCK + 100)
    with pytest.raises(BadImage, match=r"a\.tar has become shorter"):
        source.read(0, data())
    source = pickle.loads(pickle.dumps(source))
    (tmp_path / "a.tar").unlink()
    for read in (lambda: source.read(0, data()), lambda: source.header(0), lambda: source.digest(0)):
        with pytest.raises(BadImage, match="No such file"):
            read()


def test_few_files_are_held_open(tmp_path: Path) -> None:
    opened = _Opened(2)
    for k in range(5):
        (tmp_path / str(k)).write_bytes(b"%d" % k)
    with opened.file(tmp_path / "0") as first:
        for k in range(1, 5):
            with opened.file(tmp_path / str(k)) as handle:
                assert os.pread(handle, 1, 0) == b"%d" % k
        assert os.pread(first, 1, 0) == b"0"
    assert [path.name for path in opened.handles] == ["0", "4"]
