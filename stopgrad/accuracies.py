"""Evaluations as a terminal shows them: a table, and below it what its numbers depend on."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from stopgrad.progress import table

FEATURES = {"pixels": "raw pixels", "random": "random initialisation", "backbone": "trained backbone"}
FEW = 100
"""Test images below which differences are warned of."""

Record = Mapping[str, Any]
"""A line of evaluations.jsonl."""


def accuracies(records: Sequence[Record]) -> list[str]:
    """Return the table, a row a kind of features, a column a protocol (of several records for a cell the last), and lines on how to read it."""
    latest = {(str(r["features"]), str(r["protocol"])): r for r in records}
    protocols = list(dict.fromkeys(protocol for _, protocol in latest))
    kinds = dict.fromkeys(kind for kind, _ in latest)
    labels = {kind: label for kind, label in FEATURES.items() if kind in kinds}
    labels |= {kind: f"trained, after {kind}" for kind in kinds if kind not in FEATURES}
    rows = [[label, *(_cell(latest[kind, p]) if (kind, p) in latest else "" for p in protocols)] for kind, label in labels.items()]
    return [*table(["top-1", *protocols], rows), "", *_reading(list(latest.values()), protocols)]


def _cell(record: Record) -> str:
    low, high = record["interval"]
    return f"{record['top1']:.1%} ({100 * low:.1f}-{100 * high:.1f})"


def least_difference(record: Record) -> float:
    """Return the least difference of two such accuracies that says something, points: half the width of the 95 % interval, times √2."""
    low, high = record["interval"]
    return 100 * float(high - low) / math.sqrt(2)


def _reading(records: Sequence[Record], protocols: Sequence[str]) -> list[str]:
    said = [f"accuracy on {_counts(records, 'test_images')} test images (95 % interval)"]
    said += [f"{p}: {_stated(p, [r for r in records if r['protocol'] == p])}" for p in protocols]
    fewest = min(r["test_images"] for r in records)
    if fewest >= FEW:
        return ["; ".join(said)]
    widest = max(least_difference(r) for r in records)
    return ["; ".join(said), f"only {fewest} test images: differences of less than about {widest:.0f} points mean nothing; judge on more (--data)"]


def _stated(protocol: str, records: Sequence[Record]) -> str:
    """Return what decides a column, value by value where its rows differ."""
    settings = [r["settings"] for r in records]
    labels = f"{_counts(records, 'train_images')} labels"
    match protocol:
        case "knn":
            return f"{_each(s['k'] for s in settings)} neighbours, T {_each(s['temperature'] for s in settings)}"
        case "lbfgs":
            return f"a linear classifier on frozen features, {labels}"
        case _:
            return f"{_each(s['name'] for s in settings)}'s, lr {_each(s['lr'] for s in settings)}, {labels}"


def _each(values: Iterable[object]) -> str:
    return " or ".join(dict.fromkeys(map(str, values)))


def _counts(records: Sequence[Record], field: str) -> str:
    return _each(f"{r[field]:,}" for r in records)
