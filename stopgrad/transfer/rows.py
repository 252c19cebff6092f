"""The table of a transfer: a row a backbone, a column a data set, and the mean of several. Imports no torch."""

from collections.abc import Mapping, Sequence
from typing import Any

from stopgrad.accuracies import FEATURES
from stopgrad.progress import table

Record = Mapping[str, Any]
"""A line of evaluations.jsonl."""

WORDS = {"top1": "top-1", "mean_per_class": "mean per class accuracy", "map11": "11-point mAP", "map": "mAP"}


def transfer_table(records: Sequence[Record]) -> list[str]:
    """Return the table of ``records`` of one protocol, in percent, and lines on how to read it; of several for a cell the last counts.

    The mean is over the data sets where there are several, and only there where none is missing.
    """
    latest = {(str(r["features"]), str(r["data"])): r for r in records}
    names = list(dict.fromkeys(name for _, name in latest))
    kinds = list(dict.fromkeys(kind for kind, _ in latest))
    rows = [_row(kind, [latest.get((kind, name)) for name in names]) for kind in kinds]
    head = [", ".join(dict.fromkeys(str(r["protocol"]) for r in records)), *names, *(["mean"] if len(names) > 1 else [])]
    return [*table(head, [row[: len(head)] for row in rows]), "", *_reading(list(latest.values()))]


def _row(kind: str, records: Sequence[Record | None]) -> list[str]:
    values = [None if record is None else 100 * float(record["value"]) for record in records]
    known = [value for value in values if value is not None]
    mean = f"{sum(known) / len(known):.1f}" if len(known) == len(values) else ""
    return [FEATURES.get(kind, kind), *("" if value is None else f"{value:.1f}" for value in values), mean]


def _reading(records: Sequence[Record]) -> list[str]:
    """Return what the numbers are, and what was chosen on what."""
    metrics: dict[str, list[str]] = {}
    for record in records:
        metrics.setdefault(WORDS[record["metric"]], []).append(str(record["data"]))
    said = "; ".join(f"{metric}: {', '.join(dict.fromkeys(names))}" for metric, names in metrics.items())
    tuned = list(dict.fromkeys(str(record["settings"]["tuned_on"]) for record in records if "tuned_on" in record["settings"]))
    shown = f"chosen: {tuned[0]}{' (the numbers differ by data set)' if len(tuned) > 1 else ''}" if tuned else "nothing was chosen"
    widest = max(records, key=lambda record: float(record["interval"][1] - record["interval"][0]))
    low, high = widest["interval"]
    widest_said = f"the widest 95 % interval is that of {widest['features']} on {widest['data']}: {100 * low:.1f}-{100 * high:.1f}"
    return [said, f"{shown}; {widest_said}"]
