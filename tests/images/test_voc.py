from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stopgrad.errors import UserError
from stopgrad.images.holdout import subset, with_held_out
from stopgrad.images.kept import keep
from stopgrad.images.sources import open_splits
from stopgrad.images.voc_objects import objects
from stopgrad.plan import labelled

IMAGES = {"000005": "chair", "000007": "car", "000009": "horse", "000012": "car", "000016": "horse"}


def annotation(*objects: tuple[str, int]) -> str:
    inside = "".join(
        f"<object><name>{name}</name><part><name>head</name></part><difficult>{difficult}</difficult><bndbox><xmin>1</xmin></bndbox></object>"
        for name, difficult in objects
    )
    return f'<?xml version="1.0"?><annotation><filename>x.jpg</filename><source><name>none</name></source>{inside}</annotation>'


@pytest.fixture
def year(tmp_path: Path) -> Path:
    """A devkit of five images, three to train on, labelled by annotations."""
    folder = tmp_path / "VOCdevkit" / "VOC2007"
    for below in ("JPEGImages", "ImageSets/Main", "Annotations"):
        (folder / below).mkdir(parents=True)
    for image, shown in IMAGES.items():
        Image.new("RGB", (8, 8), (int(image), 0, 0)).save(folder / "JPEGImages" / f"{image}.jpg")
        (folder / "Annotations" / f"{image}.xml").write_text(annotation((shown, 0)))
    (folder / "ImageSets/Main/trainval.txt").write_text("000005\n000007\n000009\n")
    (folder / "ImageSets/Main/test.txt").write_text("000016\n000012\n")
    return folder


def write(file: Path, *lines: str) -> None:
    file.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("above", [0, 1, 2])
def test_annotations_say_what_is_shown(above: int, year: Path) -> None:
    (year / "Annotations/000007.xml").write_text(annotation(("car", 1), ("car", 0), ("chair", 1)))
    train, test = open_splits(str([year, year.parent, year.parent.parent][above]))
    assert test is not None
    assert (train.labels, test.labels) == (None, None)
    assert train.classes == test.classes == ("car", "chair", "horse")
    assert train.presence is not None
    assert train.presence.tolist() == [[-1, 1, -1], [1, 0, -1], [-1, -1, 1]]
    assert train.presence.dtype == np.int8
    assert test.presence is not None
    assert test.presence.tolist() == [[-1, -1, 1], [1, -1, -1]]
    assert list(test.names) == ["JPEGImages/000016.jpg", "JPEGImages/000012.jpg"]  # in the list's order
    assert train.skipped == {}


def test_lists_of_classes_come_before_annotations(year: Path) -> None:
    for part, images in (("trainval", ("000005", "000007", "000009")), ("test", ("000016", "000012"))):
        write(year / f"ImageSets/Main/dog_{part}.txt", *(f"{image}  1" for image in images))
        write(year / f"ImageSets/Main/cat_{part}.txt", *(f"{image} {value}" for image, value in zip(images, (" 0", "-1", " 1"), strict=False)))
    train, test = open_splits(str(year))
    assert train.classes == ("cat", "dog")
    assert train.presence is not None
    assert train.presence.tolist() == [[0, 1], [-1, 1], [1, 1]]
    assert test is not None
    assert test.presence is not None
    assert test.presence.tolist() == [[0, 1], [-1, 1]]


def test_parts(year: Path) -> None:
    main = year / "ImageSets/Main"
    (main / "test.txt").unlink()
    alone = open_splits(str(year))
    assert (len(alone.train), alone.test) == (3, None)
    assert alone.train.skipped == {"images in no list used": 2}
    write(main / "train.txt", "000005", "000007")
    write(main / "val.txt", "000009")
    split = open_splits(str(year))
    assert (len(split.train), len(split.test or ())) == (2, 1)
    for file in main.iterdir():
        file.unlink()
    assert len(open_splits(str(year)).train) == 5


def test_a_test_part_without_annotations_has_no_labels(year: Path) -> None:
    for image in ("000012", "000016"):
        (year / f"Annotations/{image}.xml").unlink()
    train, test = open_splits(str(year))
    assert train.classes == ("car", "chair", "horse")
    assert test is not None
    assert (test.presence, test.classes) == (None, None)


def test_none_drops_the_labels_unread(year: Path) -> None:
    (year / "Annotations/000005.xml").write_text("not XML")
    train, test = open_splits(str(year), "none")
    assert (train.presence, train.classes, train.labels) == (None, None, None)
    assert len(train) + len(test or ()) == 5


def test_fingerprints_hold_what_is_shown(year: Path) -> None:
    before = open_splits(str(year)).train.fingerprint()
    (year / "Annotations/000007.xml").write_text(annotation(("car", 1)))
    assert open_splits(str(year)).train.fingerprint() != before


def test_subsets_and_held_out_images_keep_their_rows(year: Path) -> None:
    train = open_splits(str(year)).train
    some = subset(train, np.array([2, 0]), ())
    assert some.presence is not None
    assert some.presence.tolist() == [[-1, -1, 1], [-1, 1, -1]]
    many = subset(train, np.arange(30) % 3, ())
    held = with_held_out(open_splits(many))
    assert (len(held.train), len(held.test or ())) == (27, 3)
    assert held.test is not None
    assert held.test.presence is not None
    assert held.test.presence.shape == (3, 3)
    assert with_held_out(open_splits(many)).test is not None


def test_an_image_that_is_listed_and_missing_is_found_when_it_is_read(year: Path) -> None:
    (year / "JPEGImages/000007.jpg").unlink()
    train = open_splits(str(year)).train
    assert list(train.names) == ["JPEGImages/000005.jpg", "JPEGImages/000007.jpg", "JPEGImages/000009.jpg"]
    assert train.sizes()[1] == -1


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('<!DOCTYPE annotation [<!ENTITY a "car">]><annotation><object><name>&a;</name></object></annotation>', "declares a document type"),
        ('<!DOCTYPE annotation SYSTEM "file:///etc/passwd"><annotation/>', "declares a document type"),
        ("<annotation><object><name>car</name></annotation>", "is damaged"),
        ("<annotation><object><difficult>0</difficult></object></annotation>", "an object has no name"),
        ("<annotation><object><name>car</name><difficult>2</difficult></object></annotation>", "difficult '2'"),
        ("<other/>", "is no annotation of VOC"),
        ("", "is damaged"),
    ],
)
def test_annotations_that_are_refused(content: str, reason: str, tmp_path: Path) -> None:
    file = tmp_path / "000001.xml"
    file.write_text(content)
    with pytest.raises(UserError, match=f"000001.xml: .*{reason}"):
        objects(file)


def test_an_object_without_the_word_is_not_difficult(tmp_path: Path) -> None:
    file = tmp_path / "1.xml"
    file.write_text("<annotation><object><name> dining\ntable </name></object><object><name>cat</name><difficult>1</difficult></object></annotation>")
    assert objects(file) == [("dining\ntable", False), ("cat", True)]
    file.write_bytes('<?xml version="1.0" encoding="utf-16"?><!DOCTYPE a><annotation/>'.encode("utf-16"))
    with pytest.raises(UserError, match="declares a document type"):
        objects(file)


def test_what_contradicts_itself_is_refused(year: Path) -> None:
    main = year / "ImageSets/Main"
    write(main / "dog_trainval.txt", "000005 1", "000007 1")
    with pytest.raises(UserError, match=r"dog_trainval.txt: 000009 is in this list or in that of its part, and not in both"):
        open_splits(str(year))
    write(main / "dog_trainval.txt", "000005 1", "000007 2", "000009 1")
    with pytest.raises(UserError, match=r"dog_trainval.txt: line 2 is '000007 2'; every image has one line"):
        open_splits(str(year))
    (main / "dog_trainval.txt").unlink()
    (year / "Annotations/000009.xml").unlink()
    with pytest.raises(UserError, match=r"000009.xml: no such annotation, and other images have one"):
        open_splits(str(year))
    write(main / "trainval.txt", "000005", "000005")
    with pytest.raises(UserError, match=r"trainval.txt: 000005 stands there twice"):
        open_splits(str(year))
    write(main / "trainval.txt", "../000005")
    with pytest.raises(UserError, match=r"trainval.txt: '../000005' is no name of an image"):
        open_splits(str(year))
    (main / "trainval.txt").unlink()
    with pytest.raises(UserError, match="lists test and neither trainval nor train"):
        open_splits(str(year))


def test_two_years_are_not_guessed_between(year: Path) -> None:
    (year.parent / "VOC2012/JPEGImages").mkdir(parents=True)
    (year.parent / "VOC2012/Annotations").mkdir()
    with pytest.raises(UserError, match="VOCdevkit: holds VOC2007 and VOC2012; name the one that is meant"):
        open_splits(str(year.parent))


def test_what_needs_one_class_an_image_refuses_it(year: Path, tmp_path: Path) -> None:
    splits = open_splits(str(year))
    with pytest.raises(UserError, match=r"supervised: needs one class an image, and those of .*VOC2007 may show several"):
        labelled("supervised/images", splits)
    with pytest.raises(UserError, match="pack: needs one class an image"):
        keep(splits, tmp_path / "pack", 0.0, lambda done, total: None)
    labelled("images", splits)
    keep(open_splits(str(year), "none"), tmp_path / "pack", 0.0, lambda done, total: None)
