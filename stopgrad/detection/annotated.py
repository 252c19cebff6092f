"""The annotated images of a command, by their layout. Imports no torch."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from stopgrad.config.detection import Detection
from stopgrad.detection.coco import is_coco, read_coco
from stopgrad.detection.masks import refuse_without_coco
from stopgrad.detection.pictures import Part, Picture, among, joined
from stopgrad.detection.voc import is_voc, read_voc, year_of
from stopgrad.errors import UserError
from stopgrad.images.bad import printable

Metric = Literal["coco", "voc 11 points", "voc area"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Annotated:
    """The training and test parts of a data set, and how it is judged."""

    train: Part
    """Without the images that have nothing to learn from."""
    test: Part
    metric: Metric
    """VOC2007's averages over 11 recalls; VOC's later one takes the area."""
    notes: tuple[str, ...]
    """What had to be mended or a reader should know, a line each."""

    def fingerprint(self) -> str:
        """Return a hex digest of both parts' names, sizes and annotations."""
        return hashlib.sha256((self.train.fingerprint() + self.test.fingerprint()).encode()).hexdigest()


def open_annotated(data: Path, settings: Detection) -> Annotated:
    """Return the parts of ``data`` that ``settings`` name, VOC's layout or COCO's.

    Raises UserError for other layouts, for COCO without its metrics installed, for what the readers refuse, and where nothing can be
    learned or tested.
    """
    metric: Metric
    if is_coco(data):
        refuse_without_coco()
        whole = joined([read_coco(data, part, settings.masks) for part in settings.train or ("train2017",)])
        test = read_coco(data, settings.test or "val2017", settings.masks, like=whole)
        metric = "coco"
    elif is_voc(data):
        if settings.masks:
            raise UserError(f"{data}: VOC's boxes have no outlines; take --set masks=false, or COCO's layout")
        part = settings.test or "test"
        whole, test = read_voc(data, settings.train or ("trainval",)), read_voc(data, (part,))
        classes = tuple(sorted({*whole.classes, *test.classes}))
        whole, test = among(whole, classes), among(test, classes)
        metric = "voc 11 points" if year_of(data, part) == "2007" else "voc area"
    else:
        raise UserError(
            f"{data}: neither VOC's layout (ImageSets/Main, Annotations, JPEGImages; or VOC2007 and VOC2012 with these) "
            "nor COCO's (annotations/instances_train2017.json, train2017/); see docs/detection.md"
        )
    pictures = tuple(p for p in whole.pictures if not p.crowd.all())
    if not pictures:
        raise UserError(f"{whole.name}: no image has an object; a detector learns from boxes")
    if not any((~p.crowd & ~p.difficult).any() for p in test.pictures):
        raise UserError(f"{test.name}: no image has an object to be found; a detector cannot be tested on it")
    notes = (whole.told, test.told, _empty(whole, len(pictures)), _unseen(pictures, test))
    return Annotated(train=replace(whole, pictures=pictures), test=test, metric=metric, notes=tuple(filter(None, notes)))


def _empty(part: Part, left: int) -> str:
    """Return a line when images have nothing to learn from."""
    empty = len(part.pictures) - left
    return f"{part.name}: {empty:,} images without objects are not trained on" if empty else ""


def _unseen(pictures: tuple[Picture, ...], test: Part) -> str:
    """Return a line when test images have objects of classes that no training image has."""
    wanted, known = ({int(label) for p in some for label in p.labels[~p.crowd & ~p.difficult]} for some in (test.pictures, pictures))
    names = ", ".join(printable(test.classes[label]) for label in sorted(wanted - known))
    return f"{test.name}: no training image has {names}, which count as never found" if names else ""
