"""A map of accuracy over two settings, with the region that collapsed drawn in it."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

CELL, TALL, LEFT, TOP = 92, 40, 96, 26


@dataclass(frozen=True)
class Cell:
    """One pair of settings."""

    across: float | str
    down: float | str
    accuracy: float | None
    """Mean over the seeds, 0..1; None where nothing was judged."""
    collapsed: bool


def heat(cells: Sequence[Cell], fields: tuple[str, str], title: str) -> Markup:
    """Return the map as an ``<svg>``: the first of ``fields`` across, the second down; the darker, the more accurate; crossed where it collapsed."""
    columns, rows = _axis([c.across for c in cells]), _axis([c.down for c in cells])
    known = [c.accuracy for c in cells if c.accuracy is not None]
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    width, height = LEFT + CELL * len(columns) + 4, TOP + TALL * len(rows) + 8
    parts = [Markup('<svg class="heat" viewBox="0 0 {} {}" style="max-width: {}px" role="img" aria-label="{}">').format(width, height, width, title)]
    parts.append(Markup('<text x="4" y="16">{} / {}</text>').format(fields[1].rpartition(".")[2], fields[0].rpartition(".")[2]))
    parts += [Markup('<text class="x" x="{}" y="16">{}</text>').format(LEFT + CELL * (i + 0.5), _label(v)) for i, v in enumerate(columns)]
    parts += [Markup('<text class="y" x="{}" y="{}">{}</text>').format(LEFT - 8, TOP + TALL * (i + 0.5) + 4, _label(v)) for i, v in enumerate(rows)]
    for cell in cells:
        x, y = LEFT + CELL * columns.index(cell.across), TOP + TALL * rows.index(cell.down)
        share = 0.0 if cell.accuracy is None or high == low else (cell.accuracy - low) / (high - low)
        fill = Markup('<rect class="cell" x="{}" y="{}" width="{}" height="{}" style="fill-opacity: {}"/>')
        parts.append(fill.format(x + 1, y + 1, CELL - 2, TALL - 2, round(0.06 + 0.6 * share, 3)))
        if cell.collapsed:
            parts.append(
                Markup('<path class="collapse" d="M{} {}l{} {}M{} {}l{} {}"/>').format(
                    x + 4, y + 4, CELL - 8, TALL - 8, x + 4, y + TALL - 4, CELL - 8, 8 - TALL
                )
            )
        words = "–" if cell.accuracy is None else f"{100 * cell.accuracy:.1f}"
        parts.append(Markup('<text class="x value" x="{}" y="{}">{}</text>').format(x + CELL / 2, y + TALL / 2 + 4, words))
    return Markup("").join([*parts, Markup("</svg>")])


def _axis(places: Sequence[float | str]) -> list[float | str]:
    """Numbers by size, names as they come."""
    return sorted(dict.fromkeys(places), key=lambda place: 0.0 if isinstance(place, str) else place)


def _label(place: float | str) -> str:
    return place if isinstance(place, str) else f"{place:.4g}"
