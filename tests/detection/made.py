"""Generated data sets in VOC's and COCO's layouts: coloured rectangles on noise, and backbones small enough for a test."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from stopgrad.config import Net
from stopgrad.config.detection import Detection
from stopgrad.detection.transfer import Start
from stopgrad.nets.backbones import Backbone, build

TOY = Detection(
    name="toy",
    iterations=4,
    drops=(3,),
    warmup=2,
    batch=2,
    short_sides=(64, 80),
    test_side=64,
    max_side=128,
    proposals_train=(50, 20),
    proposals_test=(50, 10),
    pyramid=16,
    regions=8,
    detections=10,
    precise_bn=4,
    checkpoint_every=2,
)

COLOURS = {"blue": (20, 40, 220), "red": (220, 40, 20)}

Box = tuple[int, int, int, int]
"""xmin, ymin, xmax, ymax, counted from 1, inside the object."""


def small(name: str = "resnet10", width: int = 8, channels: int = 3, seed: int = 0) -> Backbone:
    torch.manual_seed(seed)
    return build(Net(backbone=name, width=width, zero_init_residual=False), channels, 64)


def start(width: int = 8, seed: int = 0) -> Start:
    return Start(small(width=width, seed=seed), (0.5,), (0.25,))


def xml(objects: list[tuple[str, Box, int]], size: tuple[int, int] | None = (64, 48), head: str = "") -> str:
    things = "".join(
        f"<object><name>{name}</name><difficult>{difficult}</difficult><bndbox><xmin>{a}</xmin><ymin>{b}</ymin><xmax>{c}</xmax><ymax>{d}</ymax></bndbox>"
        f"</object>"
        for name, (a, b, c, d), difficult in objects
    )
    told = f"<size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>" if size else ""
    return f"{head}<annotation>{told}{things}</annotation>"


def photograph(path: Path, objects: list[tuple[str, Box, int]], size: tuple[int, int] = (64, 48), seed: int = 0) -> None:
    pixels = np.random.default_rng(seed).integers(100, 140, (size[1], size[0], 3), dtype=np.uint8)
    for name, (a, b, c, d), _ in objects:
        pixels[max(b - 1, 0) : d, max(a - 1, 0) : c] = COLOURS.get(name, (0, 0, 0))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def voc(folder: Path, parts: dict[str, list[list[tuple[str, Box, int]]]]) -> Path:
    """Write one year: for every set, the objects of each of its images."""
    for name, images in parts.items():
        names = [f"{name}_{i:03d}" for i in range(len(images))]
        for i, (image, objects) in enumerate(zip(names, images, strict=True)):
            photograph(folder / "JPEGImages" / f"{image}.jpg", objects, seed=i)
            (folder / "Annotations").mkdir(parents=True, exist_ok=True)
            (folder / "Annotations" / f"{image}.xml").write_text(xml(objects))
        (folder / "ImageSets" / "Main").mkdir(parents=True, exist_ok=True)
        (folder / "ImageSets" / "Main" / f"{name}.txt").write_text("".join(f"{image}\n" for image in names))
    return folder


def rectangles(images: int, seed: int) -> list[list[tuple[str, Box, int]]]:
    """One rectangle an image, red or blue, at a random place."""
    g = np.random.default_rng(seed)
    found: list[list[tuple[str, Box, int]]] = []
    for _ in range(images):
        width, height = (int(v) for v in g.integers(16, 30, 2))
        left, top = int(g.integers(1, 64 - width)), int(g.integers(1, 48 - height))
        found.append([(["blue", "red"][int(g.integers(2))], (left, top, left + width, top + height), 0)])
    return found


def coco_record(images: int = 2, size: tuple[int, int] = (64, 48)) -> dict[str, Any]:
    """One object an image, a rectangle, of category 7 or 3 in turn."""
    listed = [{"id": 10 + i, "file_name": f"{i}.png", "width": size[0], "height": size[1]} for i in range(images)]
    things = [thing(i + 1, 10 + i, [7, 3][i % 2], [4 + i % 8, 6, 20, 30]) for i in range(images)]
    return {"images": listed, "annotations": things, "categories": [{"id": 7, "name": "red"}, {"id": 3, "name": "blue"}]}


def thing(number: int, image: int, category: int, box: list[float], **more: Any) -> dict[str, Any]:
    x, y, w, h = box
    corners = [x, y, x + w, y, x + w, y + h, x, y + h]
    return {"id": number, "image_id": image, "category_id": category, "bbox": box, "area": w * h, "iscrowd": 0, "segmentation": [corners]} | more


def coco(folder: Path, train: dict[str, Any], test: dict[str, Any]) -> Path:
    (folder / "annotations").mkdir(parents=True)
    for part, record in (("train2017", train), ("val2017", test)):
        (folder / "annotations" / f"instances_{part}.json").write_text(json.dumps(record))
        names = {category["id"]: category["name"] for category in record["categories"]}
        for i, image in enumerate(record["images"]):
            boxes = [(t["bbox"], names.get(t["category_id"], "")) for t in record["annotations"] if t["image_id"] == image["id"]]
            objects = [(name, (int(x) + 1, int(y) + 1, int(x + w), int(y + h)), 0) for (x, y, w, h), name in boxes if w > 0]
            photograph(folder / part / image["file_name"], objects, (image["width"], image["height"]), i)
    return folder
