"""Evaluations as a terminal shows them: a table, and below it what its numbers depend on."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from stopgrad.progress import table
from stopgrad.report.columns import Column, beside_name, by_metric, ordered
from stopgrad.report.evaluations import Evaluation, parse, told_apart
from stopgrad.report.stated import each, stated

FEATURES = {"pixels": "raw pixels", "random": "random initialisation", "backbone": "trained backbone", "student": "student", "teacher": "its teacher"}
FEW = 100
"""Test images below which differences are warned of."""

WIDEST = 4
"""Columns that stand beside each other; more stand below each other, and the kinds of features beside each other."""

Record = Mapping[str, Any]
"""A line of evaluations.jsonl."""


def accuracies(records: Sequence[Record]) -> list[str]:
    """Return the table, a row a kind of features, and lines on how to read it.

    A column is a data set, a protocol, a variant and a metric; of several records for a cell the last counts.
    """
    (figures,) = told_apart([[e for record in records for e in parse(dict(record))]])
    latest = {(e.features, e.column): e for e in figures}
    columns = ordered(column for _, column in latest)
    kinds = dict.fromkeys(kind for kind, _ in latest)
    labels = {kind: label for kind, label in FEATURES.items() if kind in kinds}
    labels |= {kind: f"trained, after {kind}" if kind.startswith("head ") else kind for kind in kinds if kind not in FEATURES}
    rows = [[label, *(_cell(latest[kind, c]) if (kind, c) in latest else "" for c in columns)] for kind, label in labels.items()]
    corner = "top-1" if all(column.metric == "top1" for column in columns) else ""
    grid = [[corner, *(column.short for column in columns)], *rows]
    if len(columns) > WIDEST:
        grid = [list(line) for line in zip(*grid, strict=True)]
    return [*table(grid[0], grid[1:]), "", *_reading(list(latest.values()), columns)]


def _cell(figure: Evaluation) -> str:
    if figure.interval is not None:
        low, high = figure.interval
        return f"{figure.value:.1%} ({100 * low:.1f}-{100 * high:.1f})"
    beside = [f"{beside_name(name)} {100 * value:.1f}" for name, value in figure.beside if name not in ("top1", "top5")]
    return f"{figure.value:.1%}" + (f" ({', '.join(beside)})" if beside else "")


def least_difference(interval: tuple[float, float]) -> float:
    """Return the least difference of two figures of such a 95 % ``interval`` that says something, points: half its width, times √2."""
    low, high = interval
    return 100 * float(high - low) / math.sqrt(2)


def _reading(figures: Sequence[Evaluation], columns: Sequence[Column]) -> list[str]:
    counts = [e.test_images for e in figures if e.test_images is not None]
    intervals = [e.interval for e in figures if e.interval is not None]
    metrics = {column.metric for column in columns}
    what = "accuracy" if metrics == {"top1"} else "top-1 where no other metric is named," if "top1" in metrics else "per cent,"
    said = [f"{what} on {each(f'{n:,}' for n in counts)} test images{' (95 % interval)' if intervals else ''}"]
    decided = by_metric(columns, lambda column: stated([e for e in figures if e.column == column]))
    said += [f"{of.short}: {words}" for of, words in decided]
    said = said if len(columns) > WIDEST else ["; ".join(said)]
    if not counts or min(counts) >= FEW:
        return said
    doubt = f"of less than about {max(map(least_difference, intervals)):.0f} points mean nothing" if intervals else "may be chance"
    return [*said, f"only {min(counts)} test images: differences {doubt}; judge on more (--data)"]
