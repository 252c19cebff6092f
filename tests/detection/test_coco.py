"""COCO's layout, read from generated files: categories, crowds and outlines, and every way in which a file can be wrong."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as oracle

from stopgrad.detection.coco import is_coco, read_coco
from stopgrad.detection.masks import mask_of, packed
from stopgrad.errors import UserError
from tests.detection.made import coco, coco_record, thing


def written(folder: Path, **changes: Any) -> Path:
    return coco(folder, coco_record() | changes, coco_record())


def test_boxes_categories_and_crowds(tmp_path: Path) -> None:
    things = [
        thing(1, 10, 7, [4.5, 6, 20, 30.25], area=77.5),
        thing(2, 10, 3, [0, 0, 64, 48], iscrowd=1, segmentation={"size": [48, 64], "counts": [0, 48 * 64]}),
    ]
    folder = written(tmp_path, annotations=things)
    assert is_coco(folder)
    part = read_coco(folder, "train2017", masks=True)
    assert (part.classes, part.category_ids, part.told) == (("blue", "red"), (3, 7), "")
    first, second = part.pictures
    assert first.boxes.tolist() == [[4.5, 6, 24.5, 36.25], [0, 0, 64, 48]]
    assert (first.labels.tolist(), first.crowd.tolist(), first.areas.tolist()) == ([1, 0], [False, True], [77.5, 64 * 48])
    assert (second.number, len(second.boxes)) == (11, 0)  # an image without objects is one
    assert first.outlines[0] == things[0]["segmentation"]


def test_what_can_be_mended_is_mended_and_told_once(tmp_path: Path) -> None:
    things = [
        thing(1, 10, 7, [50, 40, 30, 30]),
        thing(2, 10, 7, [5, 5, 0, 10]),
        thing(3, 99, 7, [5, 5, 10, 10]),
        thing(4, 11, 3, [5, 5, 10, 10]),
        thing(5, 11, 3, [5, 5, 10, 10]),
    ]
    part = read_coco(written(tmp_path / "x", annotations=things), "train2017", masks=False)
    assert part.told == (
        "x train2017: 1 annotations of images that are not listed left out, 1 boxes cut at the image's edge, "
        "1 boxes without area left out, 1 objects said twice left out"
    )
    assert [p.boxes.tolist() for p in part.pictures] == [[[50, 40, 64, 48]], [[5, 5, 15, 15]]]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"annotations": [thing(1, 10, 5, [0, 0, 5, 5])]}, "annotation 1 is of category 5, which the file does not have"),
        ({"annotations": [thing(1, 10, 7, [0, 0, 5, 5], bbox=[0, 0, 5])]}, r"has bbox \[0, 0, 5\]"),
        ({"annotations": [thing(1, 10, 7, [0, 0, 5, 5], bbox=[0, 0, 5, "5"])]}, "has bbox"),
        ({"annotations": [thing(1, 10, 7, [0, 0, 5, 5], bbox=[0, 0, 5, float("nan")])]}, "has bbox"),
        ({"annotations": [{"image_id": 10}]}, "annotations: an entry without category_id"),
        ({"annotations": [thing(1, 10, 7, [0, 0, 5, 5], segmentation=[])]}, "annotation 1 has no outline that is read"),
        ({"annotations": [thing(1, 10, 7, [0, 0, 5, 5], segmentation=[[1, 2, 3, 4]])]}, "annotation 1 has no outline that is read"),
        ({"annotations": [thing(1, 10, 7, [0, 0, 5, 5], segmentation={"size": [9, 9], "counts": [81]})]}, "annotation 1 has no outline"),
        ({"images": [{"id": 1, "file_name": "0.png", "width": 64, "height": 48}] * 2}, "images: id 1 is there twice"),
        ({"images": [{"id": 10, "file_name": "0.png", "width": 0, "height": 48}]}, "has width 0 and height 48"),
        ({"images": [{"id": 10, "file_name": "../0.png", "width": 4, "height": 4}]}, "lies outside"),
        ({"images": []}, "no images"),
        ({"categories": [], "annotations": []}, "no categories"),
        ({"categories": [{"id": 1}], "annotations": []}, "category: an entry without name"),
        ({"categories": None}, "not COCO's instances"),
    ],
)
def test_a_broken_file_is_named(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    written(tmp_path)
    path = tmp_path / "annotations" / "instances_train2017.json"
    path.write_text(json.dumps(coco_record() | changes))
    with pytest.raises(UserError, match=message):
        read_coco(tmp_path, "train2017", masks=True)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    written(tmp_path)
    with pytest.raises(UserError, match=r"instances_test2017\.json: not there; there is train2017, val2017"):
        read_coco(tmp_path, "test2017", masks=False)
    (tmp_path / "train2017" / "1.png").unlink()
    with pytest.raises(UserError, match=r"1\.png: not there; .*instances_train2017\.json lists it"):
        read_coco(tmp_path, "train2017", masks=False)
    (tmp_path / "train2017").rename(tmp_path / "other")
    with pytest.raises(UserError, match=r"train2017: not there, nor .*images/train2017"):
        read_coco(tmp_path, "train2017", masks=False)
    (tmp_path / "annotations" / "instances_val2017.json").write_text("{")
    with pytest.raises(UserError, match="cannot be read as JSON"):
        read_coco(tmp_path, "val2017", masks=False)


def test_training_and_test_need_the_same_categories(tmp_path: Path) -> None:
    other = coco_record() | {"categories": [{"id": 7, "name": "red"}, {"id": 3, "name": "green"}]}
    coco(tmp_path, coco_record(), other)
    with pytest.raises(UserError, match="other categories than"):
        read_coco(tmp_path, "val2017", masks=False, like=read_coco(tmp_path, "train2017", masks=False))


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_masks_equal_pycocotools() -> None:
    g = np.random.default_rng(0)
    for _ in range(30):
        height, width = (int(v) for v in g.integers(5, 60, 2))
        polygons = [(g.random((int(g.integers(3, 9)), 2)) * [width, height]).ravel().tolist() for _ in range(2)]
        drawn = oracle.decode(oracle.merge(oracle.frPyObjects(polygons, height, width)))
        assert (mask_of(polygons, height, width) == drawn).all()
        noise = np.asfortranarray((g.random((height, width)) < g.choice([0.05, 0.5, 0.95])).astype(np.uint8))
        runs = oracle.encode(noise)
        assert (mask_of({"counts": runs["counts"].decode()}, height, width) == noise).all()
        flat = noise.ravel("F")
        edges = np.flatnonzero(np.diff(flat, prepend=0))
        counts = np.diff(edges, prepend=0, append=flat.size).tolist()
        assert (mask_of({"counts": counts}, height, width) == noise).all()
        assert (oracle.decode(packed(noise)) == noise).all()


@pytest.mark.parametrize(
    "outline",
    [
        {"counts": [5, 5]},
        {"counts": [-100, 200]},
        {"counts": "!!"},
        {"counts": "ooooooooooooo"},
        {"counts": "o"},
        {"counts": "é"},
        [[0, 0, 1e9, 1e9, 5, 5]],
    ],
)
def test_outlines_that_are_none_are_refused(outline: Any) -> None:
    with pytest.raises(ValueError, match=r"outline|run lengths"):
        mask_of(outline, 10, 10)
