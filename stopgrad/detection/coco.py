"""Reads COCO: ``annotations/instances_PART.json``, and images in ``PART/`` or ``images/PART/``. Imports no torch.

Categories are numbered anew from 0 in the order of their ids. Boxes (left, top, width, height) become (left, top, right, bottom).
"""

import json
import math
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from stopgrad.detection.pictures import Mended, Part, Picture, once, within
from stopgrad.errors import UserError
from stopgrad.images.bad import printable


def is_coco(data: Path) -> bool:
    """Whether ``data`` is laid out as COCO."""
    return any((data / "annotations").glob("instances_*.json"))


def read_coco(data: Path, part: str, masks: bool, like: Part | None = None) -> Part:
    """Return ``part`` of the COCO layout in ``data``; ``masks``: with the objects' outlines. ``like`` is the part whose categories it must have.

    Annotations of images that the file does not list are left out and counted, as are boxes without area and objects said twice. Raises
    UserError for files that are not there or not COCO's, for a category that does not exist, and for outlines that are none.
    """
    path = data / "annotations" / f"instances_{part}.json"
    record = _load(path)
    mended = Mended()
    categories = _by_id(path, record, "categories")
    index = {number: i for i, number in enumerate(sorted(categories))}
    classes = tuple(str(_field(path, categories[number], "name", "category")) for number in index)
    if not classes:
        raise UserError(f"{path}: no categories; a detector needs at least one")
    if like is not None and (like.classes, like.category_ids) != (classes, tuple(index)):
        raise UserError(f"{path}: other categories than {like.name}; training and test need the same, by id and name")
    images = _by_id(path, record, "images")
    if not images:
        raise UserError(f"{path}: no images")
    of_image = _objects(path, record, images, index, mended)
    folder = _images(data, part)
    pictures = tuple(_picture(path, folder, images[number], of_image[number], index, masks, mended) for number in sorted(images))
    name = f"{data.name} {part}"
    return Part(name=name, classes=classes, category_ids=tuple(index), pictures=pictures, told=mended.line(name))


def _load(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_bytes())
    except FileNotFoundError:
        there = ", ".join(sorted(p.stem.removeprefix("instances_") for p in path.parent.glob("instances_*.json")))
        raise UserError(f"{path}: not there; there is {there or 'no instances_*.json at all'}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: cannot be read as JSON ({error})") from None
    if not isinstance(record, dict) or not all(isinstance(record.get(key), list) for key in ("images", "annotations", "categories")):
        raise UserError(f"{path}: not COCO's instances: it needs the lists images, annotations and categories")
    return record


def _by_id(path: Path, record: dict[str, Any], key: str) -> dict[int, dict[str, Any]]:
    """Return the entries of a list by their id. Raises UserError where two have the same, since then neither can be meant."""
    found: dict[int, dict[str, Any]] = {}
    for entry in record[key]:
        number = _field(path, entry, "id", key)
        if not isinstance(number, int) or number in found:
            raise UserError(f"{path}: {key}: id {number!r} {'is there twice' if isinstance(number, int) else 'is not an integer'}")
        found[number] = entry
    return found


def _field(path: Path, entry: Any, key: str, what: str) -> Any:
    if not isinstance(entry, dict) or key not in entry:
        raise UserError(f"{path}: {what}: an entry without {key}")
    return entry[key]


def _objects(
    path: Path, record: dict[str, Any], images: dict[int, Any], index: dict[int, int], mended: Mended
) -> defaultdict[int, list[dict[str, Any]]]:
    """Return the annotations by the image they are of, in the file's order."""
    found: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)
    for thing in record["annotations"]:
        image, category = (_field(path, thing, key, "annotations") for key in ("image_id", "category_id"))
        if category not in index:
            raise UserError(f"{path}: annotation {thing.get('id')!r} is of category {category!r}, which the file does not have")
        if image in images:
            found[image].append(thing)
        else:
            mended.note("annotations of images that are not listed left out")
    return found


def _images(data: Path, part: str) -> Path:
    for folder in (data / part, data / "images" / part):
        if folder.is_dir():
            return folder
    raise UserError(f"{data / part}: not there, nor {data / 'images' / part}; one of them must hold the images of {part}")


def _picture(path: Path, folder: Path, image: Any, things: list[dict[str, Any]], index: dict[int, int], masks: bool, mended: Mended) -> Picture:
    name, width, height = (_field(path, image, key, "images") for key in ("file_name", "width", "height"))
    if not (isinstance(width, int) and isinstance(height, int) and min(width, height) > 0):
        raise UserError(f"{path}: image {printable(str(name))!r} has width {width!r} and height {height!r}; both are pixels, 1 or more")
    file = folder / str(name)
    if Path(str(name)).is_absolute() or ".." in Path(str(name)).parts:
        raise UserError(f"{path}: image {printable(str(name))!r} lies outside {folder}")
    if not file.exists():
        raise UserError(f"{printable(str(file))}: not there; {path} lists it")
    boxes, kept = within([_box(path, thing) for thing in things], width, height, mended)
    crowd = [thing.get("iscrowd", 0) == 1 for thing in things]
    keys = [(*boxes[i].tolist(), things[i]["category_id"], crowd[i]) for i in np.flatnonzero(kept)]
    kept[kept] = once(keys, mended)
    rows = [thing for thing, keep in zip(things, kept, strict=True) if keep]
    boxes = boxes[kept]
    own = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return Picture(
        path=file,
        number=image["id"],
        height=height,
        width=width,
        boxes=boxes,
        labels=np.array([index[thing["category_id"]] for thing in rows], np.int64),
        difficult=np.zeros(len(rows), bool),
        crowd=np.array(crowd, bool)[kept],
        areas=np.array([_area(path, thing, area) for thing, area in zip(rows, own.tolist(), strict=True)], np.float64),
        outlines=tuple(_outline(path, thing, height, width) for thing in rows) if masks else (),
    )


def _box(path: Path, thing: dict[str, Any]) -> tuple[float, float, float, float]:
    box = _field(path, thing, "bbox", "annotations")
    if not _numbers(box, lambda count: count == 4):
        raise UserError(f"{path}: annotation {thing.get('id')!r} has bbox {box!r}; it is left, top, width and height in pixels")
    left, top, width, height = box
    return left, top, left + width, top + height


def _area(path: Path, thing: dict[str, Any], of_box: float) -> float:
    """Return the object's own area; its box's where the file does not say it."""
    area = thing.get("area", of_box)
    if not _numbers([area], lambda count: True):
        raise UserError(f"{path}: annotation {thing.get('id')!r} has area {area!r}; it is a number of pixels")
    return float(area)


def _outline(path: Path, thing: dict[str, Any], height: int, width: int) -> Any:
    """Return the segmentation, in a form that can be turned into a mask: polygons, or run lengths of the image's size."""
    outline = thing.get("segmentation")
    if isinstance(outline, list) and outline and all(_numbers(polygon, lambda count: count >= 6 and count % 2 == 0) for polygon in outline):
        return outline
    if isinstance(outline, dict) and outline.get("size") == [height, width] and isinstance(outline.get("counts"), str | list):
        runs = outline["counts"]
        if isinstance(runs, str) or all(isinstance(run, int) for run in runs):
            return outline
    raise UserError(
        f"{path}: annotation {thing.get('id')!r} has no outline that is read (polygons of 3 corners or more, or run lengths "
        f"of the image's size, {width} x {height}); mend it, or learn boxes only (--set masks=false)"
    )


def _numbers(values: Any, count_fits: Callable[[int], bool]) -> bool:
    """Whether ``values`` is a list of finite numbers, as many as ``count_fits`` wants."""
    if not isinstance(values, list | tuple) or not count_fits(len(values)):
        return False
    return all(isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v) for v in values)
