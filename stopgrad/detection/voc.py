"""Reads PASCAL VOC: ``ImageSets/Main/SET.txt``, ``Annotations/NAME.xml`` and ``JPEGImages/NAME.*``, in a folder or in several, VOC2007 and VOC2012.

A box from pixel (xmin, ymin) to (xmax, ymax), both counted from 1 and inside it, becomes (xmin - 1, ymin - 1, xmax, ymax): detectron2's
convention. Imports no torch. XML with a document type is refused: only there can entities be declared.
"""

import math
import os
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import NamedTuple
from xml.parsers import expat

import numpy as np

from stopgrad.detection.pictures import Mended, Part, Picture, once, size_of, within
from stopgrad.errors import UserError
from stopgrad.images.bad import printable

IMAGES, ANNOTATIONS, SETS = "JPEGImages", "Annotations", "ImageSets/Main"


def is_voc(data: Path) -> bool:
    """Whether ``data`` is laid out as VOC: one year, or a folder of years."""
    return (data / SETS).is_dir() or any((path / SETS).is_dir() for path in data.glob("VOC*"))


def read_voc(data: Path, parts: tuple[str, ...]) -> Part:
    """Return ``parts`` (YEAR/SET, or SET) of the VOC layout in ``data``, joined; its classes are those of its objects, in alphabetical order.

    Difficult objects are among the objects, marked. Raises UserError for a set or file that is not there, and for XML that is not VOC's.
    """
    mended = Mended()
    entries: list[_Entry] = []
    for part in parts:
        folder, name = _folder(data, part)
        entries += [_read(folder, image, mended) for image in _names(folder, name, mended)]
    name = f"{data.name} {' + '.join(parts)}"
    if not entries:
        raise UserError(f"{data}: no images in {' + '.join(parts)}; its list in {SETS} is empty")
    classes = tuple(sorted({label for entry in entries for label in entry.labels}))
    index = {label: i for i, label in enumerate(classes)}
    pictures = tuple(_picture(entry, number, index, mended) for number, entry in enumerate(entries))
    return Part(name=name, classes=classes, category_ids=tuple(range(1, len(classes) + 1)), pictures=pictures, told=mended.line(name))


def year_of(data: Path, part: str) -> str:
    """Return the year that ``part`` of ``data`` is of: 2007 or 2012, or an empty word where no folder says it."""
    name = _folder(data, part)[0].name
    return name.removeprefix("VOC") if name.startswith("VOC") else ""


class _Entry(NamedTuple):
    """An image's annotations as its file has them."""

    annotation: Path
    image: Path
    size: tuple[int, int]
    boxes: list[tuple[float, float, float, float]]
    labels: list[str]
    difficult: list[bool]


def _folder(data: Path, part: str) -> tuple[Path, str]:
    """Return the folder of one year, and the name of the set."""
    year, _, name = part.rpartition("/")
    if (data / SETS).is_dir():
        named = data.name.removeprefix("VOC")
        if year and named.isdecimal() and named != year:
            raise UserError(f"{data}: is VOC{named}, and {part} is asked for; name the folder that holds VOC{year}")
        return data, name
    years = sorted(path for path in data.glob("VOC*") if (path / SETS).is_dir())
    if not year and len(years) == 1:
        return years[0], name
    there = ", ".join(path.name for path in years)
    if not year:
        raise UserError(f"{data}: has {there}; name one, such as {years[0]}, or parts such as {years[0].name.removeprefix('VOC')}/{name}")
    if not (data / f"VOC{year}" / SETS).is_dir():
        raise UserError(f"{data}: no VOC{year}/{SETS} in it, which {part} is read from; there is {there or 'none'}")
    return data / f"VOC{year}", name


def _names(folder: Path, name: str, mended: Mended) -> list[str]:
    path = folder / SETS / f"{name}.txt"
    try:
        lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
    except FileNotFoundError:
        there = ", ".join(sorted(p.stem for p in path.parent.glob("*.txt"))[:10])
        raise UserError(f"{path}: not there; there is {there or 'no set at all'}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error})") from None
    names = [words[0] for words in lines if words]
    for image in names:
        if Path(image).name != image:
            raise UserError(f"{path}: {printable(image)!r} is a path; a set names images of {IMAGES} without their ending")
    mended.note("images listed twice", len(names) - len(set(names)))
    return list(dict.fromkeys(names))


def _read(folder: Path, name: str, mended: Mended) -> _Entry:
    path = folder / ANNOTATIONS / f"{name}.xml"
    root = _tree(path)
    objects = root.findall("object")
    boxes = [_box(path, thing) for thing in objects]
    labels = [_text(path, thing, "name") for thing in objects]
    difficult = [thing.findtext("difficult", "0").strip() == "1" for thing in objects]
    image = _image(folder, name)
    size = root.find("size")
    if size is None:
        mended.note("images without a size in their XML")
        return _Entry(path, image, size_of(image), boxes, labels, difficult)
    width, height = (_number(path, size, side) for side in ("width", "height"))
    return _Entry(path, image, (int(width), int(height)), boxes, labels, difficult)


def _image(folder: Path, name: str) -> Path:
    """Return the image's file: NAME.jpg, or with any other ending; what it holds decides how it is read."""
    path = folder / IMAGES / f"{name}.jpg"
    if os.path.exists(path):
        return path
    others = [other for other in (folder / IMAGES).iterdir() if other.stem == name] if (folder / IMAGES).is_dir() else []
    if len(others) != 1:
        raise UserError(f"{printable(str(path))}: {'not there' if not others else 'several images of this name'}; its set in {SETS} names it")
    return others[0]


def _tree(path: Path) -> ET.Element:
    """Return the root of an XML file. The parser is told to stop at a document type."""
    tree, parser = ET.TreeBuilder(), expat.ParserCreate()

    def refuse(*declared: object) -> None:
        raise UserError(f"{printable(str(path))}: has a document type (DTD), which VOC's files have not and which is not read; take it out")

    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = tree.start
    parser.EndElementHandler = tree.end
    parser.CharacterDataHandler = tree.data
    try:
        parser.Parse(path.read_bytes(), True)
    except FileNotFoundError:
        raise UserError(f"{printable(str(path))}: not there; its set in {SETS} names it") from None
    except (OSError, expat.ExpatError) as error:
        raise UserError(f"{printable(str(path))}: cannot be read as XML ({error})") from None
    return tree.close()


def _text(path: Path, element: ET.Element, tag: str) -> str:
    text = element.findtext(tag, "").strip()
    if not text:
        raise UserError(f"{printable(str(path))}: <{element.tag}> without {tag}; VOC's have one")
    return text


def _number(path: Path, element: ET.Element, tag: str) -> float:
    text = _text(path, element, tag)
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise UserError(f"{printable(str(path))}: {tag} is {printable(text)!r}, not a number")
    return number


def _box(path: Path, thing: ET.Element) -> tuple[float, float, float, float]:
    box = thing.find("bndbox")
    if box is None:
        raise UserError(f"{printable(str(path))}: an object without bndbox; VOC's have one")
    left, top, right, bottom = (_number(path, box, side) for side in ("xmin", "ymin", "xmax", "ymax"))
    return left - 1, top - 1, right, bottom


def _picture(entry: _Entry, number: int, index: dict[str, int], mended: Mended) -> Picture:
    width, height = entry.size
    boxes, kept = within(entry.boxes, width, height, mended)
    kept[kept] = once([(*boxes[i].tolist(), entry.labels[i]) for i in np.flatnonzero(kept)], mended)
    boxes = boxes[kept]
    return Picture(
        path=entry.image,
        number=number,
        height=height,
        width=width,
        boxes=boxes,
        labels=np.array([index[label] for label in entry.labels], np.int64)[kept],
        difficult=np.array(entry.difficult, bool)[kept],
        crowd=np.zeros(len(boxes), bool),
        areas=(boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]),
    )
