"""VOC's layout, read from generated folders: what a box becomes, and every way in which a folder can be wrong."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stopgrad.detection.voc import is_voc, read_voc, year_of
from stopgrad.errors import UserError
from tests.detection.made import photograph, voc, xml

DOG, CAT, HARD = ("dog", (1, 1, 64, 48), 0), ("cat", (11, 6, 30, 25), 0), ("dog", (40, 2, 50, 12), 1)


def test_boxes_classes_and_difficult_objects(tmp_path: Path) -> None:
    part = read_voc(voc(tmp_path, {"trainval": [[DOG, CAT], [HARD], []]}), ("trainval",))
    assert (part.classes, part.category_ids, part.told) == (("cat", "dog"), (1, 2), "")
    first, second, third = part.pictures
    assert first.boxes.tolist() == [[0, 0, 64, 48], [10, 5, 30, 25]]  # from 1 and inclusive to from 0 and continuous: 64 x 48 and 20 x 20 pixels
    assert (first.labels.tolist(), first.difficult.tolist(), first.areas.tolist()) == ([1, 0], [False, False], [64 * 48, 400])
    assert (second.difficult.tolist(), len(third.boxes), (third.width, third.height)) == ([True], 0, (64, 48))
    assert first.pixels(3).shape == (3, 48, 64)
    assert first.pixels(1).shape == (1, 48, 64)


def test_years_are_joined(tmp_path: Path) -> None:
    voc(tmp_path / "VOC2007", {"trainval": [[DOG]], "test": [[CAT]]})
    voc(tmp_path / "VOC2012", {"trainval": [[CAT], [CAT]]})
    assert is_voc(tmp_path)
    both = read_voc(tmp_path, ("2007/trainval", "2012/trainval"))
    assert [p.path.parts[-3] for p in both.pictures] == ["VOC2007", "VOC2012", "VOC2012"]
    assert [p.number for p in both.pictures] == [0, 1, 2]
    assert both.classes == ("cat", "dog")
    assert len(read_voc(tmp_path / "VOC2012", ("trainval",)).pictures) == 2
    assert (year_of(tmp_path, "2007/test"), year_of(tmp_path / "VOC2012", "trainval"), year_of(voc(tmp_path / "own", {"test": []}), "test")) == (
        "2007",
        "2012",
        "",
    )


def test_what_can_be_mended_is_mended_and_told_once(tmp_path: Path) -> None:
    over, flat, twice = ("dog", (50, 40, 90, 70), 0), ("dog", (30, 5, 29, 20), 0), CAT
    part = read_voc(voc(tmp_path / "x", {"trainval": [[over, flat, twice, twice]]}), ("trainval",))
    assert part.told == ("x trainval: 1 boxes cut at the image's edge, 1 boxes without area left out, 1 objects said twice left out")
    assert part.pictures[0].boxes.tolist() == [[49, 39, 64, 48], [10, 5, 30, 25]]


def test_a_box_wholly_outside_has_no_area_left(tmp_path: Path) -> None:
    part = read_voc(voc(tmp_path, {"trainval": [[("dog", (70, 5, 90, 20), 0)]]}), ("trainval",))
    assert len(part.pictures[0].boxes) == 0
    assert "1 boxes without area left out" in part.told


def test_parts_of_an_object_are_no_objects(tmp_path: Path) -> None:
    """VOC2007's persons have parts (head, hand) with names and boxes of their own."""
    voc(tmp_path, {"trainval": [[DOG]]})
    path = tmp_path / "Annotations" / "trainval_000.xml"
    inner = "<part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox></part></object>"
    path.write_text(path.read_text().replace("</object>", inner))
    assert read_voc(tmp_path, ("trainval",)).classes == ("dog",)


def test_without_a_size_the_file_is_asked(tmp_path: Path) -> None:
    voc(tmp_path, {"trainval": [[DOG]]})
    (tmp_path / "Annotations" / "trainval_000.xml").write_text(xml([DOG], size=None))
    part = read_voc(tmp_path, ("trainval",))
    assert (part.pictures[0].width, part.pictures[0].height) == (64, 48)
    assert part.told.endswith("1 images without a size in their XML")


def test_images_may_have_any_ending(tmp_path: Path) -> None:
    voc(tmp_path, {"trainval": [[DOG]]})
    (tmp_path / "JPEGImages" / "trainval_000.jpg").unlink()
    photograph(tmp_path / "JPEGImages" / "trainval_000.png", [DOG])
    assert read_voc(tmp_path, ("trainval",)).pictures[0].path.suffix == ".png"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (xml([DOG], head='<!DOCTYPE a [<!ENTITY b "c">]>'), r"has a document type \(DTD\)"),
        (xml([DOG], head='<!DOCTYPE annotation SYSTEM "file:///etc/passwd">'), r"has a document type \(DTD\)"),
        ('<?xml version="1.0" encoding="UTF-16"?>' + xml([DOG]), "cannot be read as XML"),
        (xml([DOG])[:-5], "cannot be read as XML"),
        (xml([DOG]).replace("<xmin>1<", "<xmin>one<"), "xmin is 'one', not a number"),
        (xml([DOG]).replace("<xmin>1<", "<xmin>nan<"), "xmin is 'nan', not a number"),
        (xml([DOG]).replace("<xmin>1</xmin>", ""), "<bndbox> without xmin"),
        (xml([DOG]).replace("<name>dog</name>", ""), "<object> without name"),
        (xml([DOG]).replace("bndbox", "polygon"), "an object without bndbox"),
    ],
)
def test_broken_xml_is_named(text: str, message: str, tmp_path: Path) -> None:
    voc(tmp_path, {"trainval": [[DOG]]})
    (tmp_path / "Annotations" / "trainval_000.xml").write_text(text)
    with pytest.raises(UserError, match=rf"trainval_000\.xml: {message}"):
        read_voc(tmp_path, ("trainval",))


def test_a_document_type_in_another_encoding_is_seen_too(tmp_path: Path) -> None:
    voc(tmp_path, {"trainval": [[DOG]]})
    bomb = xml([DOG], head='<?xml version="1.0" encoding="UTF-16"?><!DOCTYPE a [<!ENTITY b "c">]>')
    (tmp_path / "Annotations" / "trainval_000.xml").write_bytes(bomb.encode("utf-16"))
    with pytest.raises(UserError, match="document type"):
        read_voc(tmp_path, ("trainval",))


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    voc(tmp_path, {"trainval": [[DOG]], "test": [[DOG]]})
    with pytest.raises(UserError, match=r"train\.txt: not there; there is test, trainval"):
        read_voc(tmp_path, ("train",))
    (tmp_path / "JPEGImages" / "trainval_000.jpg").unlink()
    with pytest.raises(UserError, match=r"trainval_000\.jpg: not there; its set in ImageSets/Main names it"):
        read_voc(tmp_path, ("trainval",))
    (tmp_path / "Annotations" / "test_000.xml").unlink()
    with pytest.raises(UserError, match=r"test_000\.xml: not there"):
        read_voc(tmp_path, ("test",))
    (tmp_path / "ImageSets" / "Main" / "test.txt").write_text("../../secret\n")
    with pytest.raises(UserError, match="is a path"):
        read_voc(tmp_path, ("test",))
    (tmp_path / "ImageSets" / "Main" / "test.txt").write_text("\n")
    with pytest.raises(UserError, match="no images in test"):
        read_voc(tmp_path, ("test",))


def test_another_year_is_not_taken_for_the_one_asked_for(tmp_path: Path) -> None:
    for year in ("VOC2007", "VOC2012"):
        voc(tmp_path / year, {"trainval": [[DOG]]})
    with pytest.raises(UserError, match="is VOC2012, and 2007/trainval is asked for"):
        read_voc(tmp_path / "VOC2012", ("2007/trainval",))
    with pytest.raises(UserError, match="has VOC2007, VOC2012; name one"):
        read_voc(tmp_path, ("trainval",))
    with pytest.raises(UserError, match=r"no VOC2010/ImageSets/Main in it, .*; there is VOC2007, VOC2012"):
        read_voc(tmp_path, ("2010/trainval",))


def test_pixels_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    picture = read_voc(voc(tmp_path, {"trainval": [[DOG]]}), ("trainval",)).pictures[0]
    picture.path.write_bytes(picture.path.read_bytes()[:200])
    with pytest.raises(UserError, match=r"trainval_000\.jpg: cannot be read .*; mend it, or take it out"):
        picture.pixels(3)
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(picture.path)
    with pytest.raises(UserError, match=r"is 30 x 20 pixels, its annotations are for 64 x 48"):
        picture.pixels(3)
