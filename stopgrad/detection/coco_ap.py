"""COCO's average precision of boxes and masks, computed by faster-coco-eval (arXiv:1405.0312; 101 recalls, 10 overlaps, 100 detections an image)."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from stopgrad.detection.masks import mask_of, packed
from stopgrad.detection.pictures import Part, Picture
from stopgrad.detection.voc_ap import Found

Kind = Literal["bbox", "segm"]

NAMES = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large")
"""Of the first six of COCO's figures."""


def coco_scores(truth: Part, found: Sequence[Found], masks: bool) -> dict[str, float]:
    """Return box_ap, box_ap50, … of what was ``found`` in the images of ``truth``, 0..1; with ``masks`` also mask_ap, ….

    A figure is left out where no object counts for it (no small ones, say).
    """
    scores: dict[str, float] = {}
    kinds: tuple[tuple[Kind, str], ...] = (("bbox", "box"), ("segm", "mask"))
    for kind, prefix in kinds if masks else kinds[:1]:
        record = _truth(truth, masks)
        detected = [
            thing for picture, here in zip(truth.pictures, found, strict=True) for thing in _detections(picture, here, truth.category_ids, kind)
        ]
        for name, value in zip(NAMES, _evaluated(record, detected, kind), strict=True):
            if value >= 0:  # -1: none to be found
                scores[f"{prefix}_{name}"] = value
    return scores


def _evaluated(record: dict[str, Any], detected: list[dict[str, Any]], kind: Kind) -> list[float]:
    from faster_coco_eval import COCO, COCOeval_faster

    if not detected:
        any_object = any(not thing["iscrowd"] for thing in record["annotations"])
        return [0.0 if any_object else -1.0] * 3 + [-1.0] * 3
    truth = COCO(record)
    evaluation = COCOeval_faster(truth, truth.loadRes(detected), kind, print_function=lambda line: None)
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return [float(value) for value in evaluation.stats[: len(NAMES)]]


def _truth(part: Part, masks: bool) -> dict[str, Any]:
    """Return a part as COCO's record, its boxes as the reader mended them."""
    things: list[dict[str, Any]] = []
    for picture in part.pictures:
        for row, (box, label) in enumerate(zip(picture.boxes, picture.labels.tolist(), strict=True)):
            thing = {
                "id": len(things) + 1,
                "image_id": picture.number,
                "category_id": part.category_ids[label],
                "bbox": _sides(box),
                "area": float(picture.areas[row]),
                "iscrowd": int(picture.crowd[row]),
            }
            outline = {"segmentation": packed(mask_of(picture.outlines[row], picture.height, picture.width))} if masks else {}
            things.append(thing | outline)
    return {
        "info": {},
        "images": [{"id": p.number, "height": p.height, "width": p.width} for p in part.pictures],
        "annotations": things,
        "categories": [{"id": number, "name": name} for number, name in zip(part.category_ids, part.classes, strict=True)],
    }


def _detections(picture: Picture, found: Found, category_ids: tuple[int, ...], kind: Kind) -> list[dict[str, Any]]:
    """Return what was found in an image as COCO's results. With masks no box is given: their area decides what is small."""
    shapes = list(map(_sides, found.boxes)) if kind == "bbox" else list(found.masks)
    key = "bbox" if kind == "bbox" else "segmentation"
    return [
        {"image_id": picture.number, "category_id": category_ids[label], "score": score, key: shape}
        for label, score, shape in zip(found.labels.tolist(), found.scores.tolist(), shapes, strict=True)
    ]


def _sides(box: np.ndarray[Any, np.dtype[np.float64]]) -> list[float]:
    left, top, right, bottom = box.tolist()
    return [left, top, right - left, bottom - top]
