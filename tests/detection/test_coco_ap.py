"""COCO's average precision equals pycocotools', boxes and masks, crowds and all; without faster-coco-eval one line says what to install."""

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from stopgrad.config.detection import DETECTION
from stopgrad.detection.annotated import open_annotated
from stopgrad.detection.coco import read_coco
from stopgrad.detection.coco_ap import NAMES, coco_scores
from stopgrad.detection.masks import mask_of, packed
from stopgrad.detection.pictures import Part
from stopgrad.detection.voc_ap import Found
from stopgrad.errors import UserError
from tests.detection.made import coco, coco_record, thing

SIZE = (160, 120)


def random_part(folder: Path, seed: int) -> tuple[dict[str, Any], Part]:
    """Fifteen images with up to eight objects of three categories, a tenth of them crowds given as run lengths."""
    g = np.random.default_rng(seed)
    record = coco_record(15, SIZE)
    record["categories"] = [{"id": i, "name": str(i)} for i in (2, 5, 9)]
    things: list[dict[str, Any]] = []
    for image in record["images"]:
        for _ in range(int(g.integers(0, 9))):
            x, y, w, h = (float(v) for v in (*(g.random(2) * 60), *(g.random(2) * 55 + 3)))
            corners = [x, y, x + w, y, x + w * 0.8, y + h, x, y + h * 0.7]
            crowd = bool(g.random() < 0.1)
            outline: Any = packed(mask_of([corners], SIZE[1], SIZE[0])) if crowd else [corners]
            if crowd:
                outline["counts"] = outline["counts"].decode() if isinstance(outline["counts"], bytes) else outline["counts"]
            kind = [2, 5, 9][int(g.integers(3))]
            things.append(thing(len(things) + 1, image["id"], kind, [x, y, w, h], iscrowd=int(crowd), segmentation=outline, area=w * h * 0.75))
    record["annotations"] = things
    coco(folder, record, record)
    return record, read_coco(folder, "val2017", masks=True)


def random_finds(part: Part, seed: int) -> list[Found]:
    """Every object found twice, some way off, and as many wrong ones."""
    g = np.random.default_rng(seed + 100)
    finds = []
    for picture in part.pictures:
        boxes = np.concatenate([picture.boxes, picture.boxes, g.random((4, 4)) * 50 + np.array([0, 0, 55, 55])])
        boxes = boxes + g.normal(0, 3, boxes.shape)
        boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 1)
        labels = np.concatenate([picture.labels, picture.labels, g.integers(0, 3, 4)])
        masks = tuple(packed(mask_of([[a, b, c, b, c, d, a, d - 1]], SIZE[1], SIZE[0])) for a, b, c, d in boxes.tolist())
        finds.append(Found(boxes=boxes, scores=g.random(len(boxes)), labels=labels, masks=masks))
    return finds


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("seed", range(3))
def test_pycocotools_agrees(seed: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record, part = random_part(tmp_path, seed)
    finds = random_finds(part, seed)
    scores = coco_scores(part, finds, masks=True)
    assert capsys.readouterr().out == ""
    oracle = COCO()
    oracle.dataset = record | {"info": {}}
    oracle.createIndex()
    for kind, prefix in (("bbox", "box"), ("segm", "mask")):
        listed = []
        for picture, found in zip(part.pictures, finds, strict=True):
            for (a, b, c, d), score, label, mask in zip(found.boxes.tolist(), found.scores.tolist(), found.labels, found.masks, strict=True):
                shape = {"bbox": [a, b, c - a, d - b]} if kind == "bbox" else {"segmentation": mask}
                listed.append({"image_id": picture.number, "category_id": part.category_ids[label], "score": score, **shape})
        evaluation = COCOeval(oracle, oracle.loadRes(listed), kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
        for name, value in zip(NAMES, evaluation.stats[:6], strict=True):
            assert scores.get(f"{prefix}_{name}", -1) == pytest.approx(value, abs=1e-6), (prefix, name)
    assert 0.05 < scores["box_ap"] < 0.95
    assert 0.05 < scores["mask_ap"] < 0.95


def test_nothing_found_is_zero(tmp_path: Path) -> None:
    part = read_coco(coco(tmp_path, coco_record(), coco_record()), "val2017", masks=True)
    nothing = [Found(boxes=np.zeros((0, 4)), scores=np.zeros(0), labels=np.zeros(0, np.int64))] * 2
    assert coco_scores(part, nothing, masks=True) == {f"{p}_{n}": 0.0 for p in ("box", "mask") for n in ("ap", "ap50", "ap75")}


def test_what_is_right_is_one(tmp_path: Path) -> None:
    part = read_coco(coco(tmp_path, coco_record(), coco_record()), "val2017", masks=True)
    right = [
        Found(boxes=p.boxes, scores=np.ones(1), labels=p.labels, masks=(packed(mask_of(p.outlines[0], p.height, p.width)),)) for p in part.pictures
    ]
    scores = coco_scores(part, right, masks=True)
    assert scores["box_ap"] == scores["mask_ap"] == scores["box_ap_small"] == 1


def test_the_metric_that_is_not_installed_is_named_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    coco(tmp_path, coco_record(), coco_record())
    real = importlib.util.find_spec
    monkeypatch.setattr("stopgrad.detection.masks.find_spec", lambda name: None if name == "faster_coco_eval" else real(name))
    with pytest.raises(UserError, match=r"needs faster-coco-eval: pip install 'stopgrad\[detect\]'"):
        open_annotated(tmp_path, DETECTION["small"])
