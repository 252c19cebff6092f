"""The nearest-neighbour galleries and the maps of the runs, and the two sheets their thumbnails lie on."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from stopgrad.report.embeddings import Table, choose_queries, digest, nearest, open_table, plane, vectors
from stopgrad.report.files import RunFiles
from stopgrad.report.thumbnails import Sheet, Thumbnail, pack
from stopgrad.report.wording import visible

QUERIES, NEIGHBOURS = 8, 7
MAP_IMAGES = 2000
GALLERY_TILE, MAP_TILE = 128, 48
COLOURS = 10
"""Classes with a colour of their own; the others share a grey."""

Key = tuple[str, str]
"""(source, name): two runs on one source share their pictures, two sources never do."""


@dataclass(frozen=True)
class Shot:
    """An image in a gallery; ``tile`` is None when its picture cannot be reached, ``label`` empty when it has none."""

    name: str
    label: str
    tile: int | None


@dataclass(frozen=True)
class Neighbour:
    """``right`` is None when query or neighbour has no label."""

    shot: Shot
    cosine: float
    right: bool | None


@dataclass(frozen=True)
class Gallery:
    """The queries of a run with their neighbours; ``right`` of ``judged`` neighbours have the query's label, of any images ``chance`` would."""

    run: str
    images: int
    among: str
    """Which images these are, where that is known."""
    rows: tuple[tuple[Shot, tuple[Neighbour, ...]], ...]
    right: int
    judged: int
    chance: float


@dataclass(frozen=True)
class Legend:
    """A class on the map: ``index`` is its number in the data, ``colour`` None stands for the shared grey."""

    name: str
    count: int
    index: int
    colour: int | None


@dataclass(frozen=True)
class Map:
    """What stands beside the canvas of a run; the points themselves are in the page's data."""

    run: str
    images: int
    among: str
    shown: int
    unusable: int
    """Chosen images without a place: their vector is zero or not finite."""
    shares: tuple[float, float]
    legend: tuple[Legend, ...]


@dataclass(frozen=True)
class Pictures:
    """Everything on the page that comes from embeddings.parquet."""

    galleries: tuple[Gallery, ...]
    maps: tuple[Map, ...]
    gallery_sheet: Sheet | None
    map_sheet: Sheet | None
    data: dict[str, Any]
    """For page.js: the map's images, and the points of every map."""


def collect(runs: Sequence[RunFiles], thumbnail: Thumbnail | None) -> Pictures:
    """Return galleries and maps of the runs that have embeddings. Raises UserError for a file that is no table of embeddings."""
    tables = [(run, open_table(run.embeddings)) for run in runs if run.embeddings is not None]
    tables = [(run, table) for run, table in tables if table.names]
    found = [(run, table, _search(table)) for run, table in tables]
    shown = {_key(run, table.names[row]): (run, table.names[row]) for run, table, rows in found for query in rows for row, _ in query}
    gallery_sheet, gallery_tiles = pack(_fetch(shown, thumbnail), GALLERY_TILE, quality=82)
    owners = {_key(run, name): (run, name) for run, table in reversed(tables) for name in table.names}
    chosen = sorted(owners, key=lambda key: (digest(key[1]), key))[:MAP_IMAGES]
    map_sheet, map_tiles = pack(_fetch({key: owners[key] for key in chosen}, thumbnail), MAP_TILE, quality=72)
    maps = [_map(run, table, chosen, _classes([t for r, t in tables if _source(r) == _source(run)])) for run, table in tables]
    data = {
        "names": [visible(key[1]) for key in chosen],
        "tiles": [map_tiles.get(key, -1) for key in chosen],
        "tile": MAP_TILE,
        "columns": map_sheet.columns if map_sheet else 0,
        "maps": [points for _, points in maps],
    }
    galleries = tuple(_gallery(run, table, rows, gallery_tiles) for run, table, rows in found)
    return Pictures(galleries, tuple(m for m, _ in maps), gallery_sheet, map_sheet, data)


def _source(run: RunFiles) -> str:
    return run.config.data.source


def _key(run: RunFiles, name: str) -> Key:
    return _source(run), name


def _fetch(wanted: Mapping[Key, tuple[RunFiles, str]], thumbnail: Thumbnail | None) -> Iterable[tuple[Key, Image.Image | None]]:
    return [] if thumbnail is None else ((key, thumbnail(run.directory, name)) for key, (run, name) in wanted.items())


def _search(table: Table) -> list[list[tuple[int, float]]]:
    """Return for each query its row and 1, then the rows and cosines of its neighbours."""
    queries = choose_queries(table, QUERIES)
    rows, cosines = nearest(table, queries, NEIGHBOURS)
    found = [[(int(r), float(c)) for r, c in zip(*pair, strict=True) if r >= 0] for pair in zip(rows, cosines, strict=True)]
    return [[(query, 1.0), *near] for query, near in zip(queries, found, strict=True) if near]


def _gallery(run: RunFiles, table: Table, found: list[list[tuple[int, float]]], tiles: dict[Key, int]) -> Gallery:
    def shot(row: int) -> Shot:
        return Shot(table.names[row], table.labels[row] if table.labels else "", tiles.get(_key(run, table.names[row])))

    rows = []
    for (query, _), *near in found:
        asked = shot(query)
        answers = [(shot(row), cosine) for row, cosine in near]
        rows.append((asked, tuple(Neighbour(s, c, s.label == asked.label if s.label and asked.label else None) for s, c in answers)))
    marks = [neighbour.right for _, near in rows for neighbour in near if neighbour.right is not None]
    of_class, others = Counter(table.labels or []), max(len(table.names) - 1, 1)
    chance = sum((of_class[asked.label] - 1) / others * len(near) for asked, near in rows if asked.label)
    return Gallery(run.name, len(table.names), _among(run, len(table.names)), tuple(rows), sum(marks), len(marks), chance)


def _among(run: RunFiles, embedded: int) -> str:
    """Return how the embedded images relate to those trained on: test images are embedded as well."""
    used, others = run.status.used if run.status else 0, run.test_images
    if others and embedded == used + others:
        return f"the {used:,} trained on and {others:,} kept for judging"
    if used and embedded > used:
        return f"more than the {used:,} trained on, so others are among them"
    return "all of them trained on" if embedded == used else ""


def _classes(tables: Sequence[Table]) -> dict[str, int]:
    """Return the index of every class: the most frequent ten first, among themselves by name, so that all maps of a source agree."""
    counts = Counter(label for table in tables for label in table.labels or [] if label)
    ranked = sorted(counts, key=lambda name: (-counts[name], _natural(name)))
    return {name: i for i, name in enumerate(sorted(ranked[:COLOURS], key=_natural) + ranked[COLOURS:])}


def _natural(name: str) -> tuple[bool, int, str]:
    return not name.isdecimal(), int(name) if name.isdecimal() else 0, name


def _map(run: RunFiles, table: Table, chosen: Sequence[Key], classes: dict[str, int]) -> tuple[Map, dict[str, Any]]:
    row_of = {_key(run, name): row for row, name in reversed(list(enumerate(table.names)))}
    held = [(i, row_of[key]) for i, key in enumerate(chosen) if key in row_of]
    places, shares = plane(vectors(table, [row for _, row in held]))
    labels = [classes.get(table.labels[row], -1) if table.labels else -1 for _, row in held]
    usable = [i for i, place in enumerate(places) if math.isfinite(place[0])]
    points = {
        "image": [held[i][0] for i in usable],
        "label": [labels[i] for i in usable],
        "x": [round(float(places[i][0]), 4) for i in usable],
        "y": [round(float(places[i][1]), 4) for i in usable],
        "classes": [visible(name) for name in classes] if table.labels else [],
    }
    counts = Counter(labels[i] for i in usable)
    legend = tuple(Legend(name, counts[i], i, i if i < COLOURS else None) for name, i in classes.items() if counts[i])
    return Map(run.name, len(table.names), _among(run, len(table.names)), len(usable), len(held) - len(usable), shares, legend), points
