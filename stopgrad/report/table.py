"""``stopgrad table``: any set of runs as one table to paste, with what its numbers depend on below it. Nothing is ever the best of several."""

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from stopgrad.config import Run
from stopgrad.errors import UserError
from stopgrad.report.columns import Column, by_metric, ordered
from stopgrad.report.evaluations import BASELINES, Evaluation, untold
from stopgrad.report.forms import FORMS, Grid, Line, Spread
from stopgrad.report.stated import each, stated
from stopgrad.report.subjects import Subject, called, gather, labels
from stopgrad.report.wording import named, plain

OWN = ("seed", "mean", "std")
"""Settings in which figures of one column may differ: the protocol's seed, and the values that a backbone's pixels are normalised by."""
BESIDES = ("top1", "top5")
"""Metrics that are only shown when asked for, where they stand beside another."""


@dataclass(frozen=True)
class Measured:
    """A figure, and what its weights are known by: two figures of the same weights and seed of the protocol are one measurement."""

    figure: Evaluation
    weights: str

    @property
    def measurement(self) -> tuple[str, str]:
        """What is not the same in two measurements of a row."""
        return self.weights, plain(self.figure.stated.get("seed"))


@dataclass(frozen=True, eq=False)
class Row:
    """Figures that differ in nothing but seeds."""

    label: str
    measured: tuple[Measured, ...]

    def of(self, column: Column) -> list[Measured]:
        """Return the figures of ``column``, one a measurement: the last, and of a metric of its own before one that stands beside another."""
        held = [m for m in self.measured if m.figure.column.judging == column.judging and column.metric in m.figure.figures]
        held.sort(key=lambda m: m.figure.column.metric == column.metric)
        return list({m.measurement: m for m in held}.values())


def table(paths: Sequence[Path], form: str = "markdown", protocols: Sequence[str] = (), metrics: Sequence[str] = ()) -> list[str]:
    """Return the lines of the table of all that was judged in ``paths``, in a form of ``FORMS``.

    ``paths`` are run directories, folders with results alone, and folders of either; ``protocols`` and ``metrics`` are those to show, all when
    empty. Figures are per cent. Raises UserError where there is no run, nothing was judged, nothing of what was asked for, or a file is damaged.
    """
    assert form in FORMS
    subjects = gather(paths)
    figures = [e for subject in subjects for e in subject.figures]
    columns = _columns(figures, protocols, metrics)
    rows = [row for row in _rows(subjects) if any(row.of(column) for column in columns)]
    shown = {column.judging for column in columns}

    def meant(column: Column) -> bool:  # what was left out is in no column
        asked = (not protocols or column.protocol in protocols) and (not metrics or column.metric in metrics)
        return asked or column.judging in shown

    said = [note.text for subject in subjects for note in subject.notes if note.column is None or meant(note.column)]
    return FORMS[form](_grid(rows, columns, said))


def _columns(figures: Sequence[Evaluation], protocols: Sequence[str], metrics: Sequence[str]) -> list[Column]:
    found = []
    for e in figures:
        for metric in e.figures:
            asked = metric in metrics if metrics else metric == e.column.metric or metric not in BESIDES
            if asked and (not protocols or e.column.protocol in protocols):
                found.append(replace(e.column, metric=metric))
    if not found:
        there = each(e.column.protocol for e in figures), each(metric for e in figures for metric in e.figures)
        asked_for = " and ".join(words for words in (_asked("--protocol", protocols), _asked("--metric", metrics)) if words)
        raise UserError(f"table: nothing of {asked_for} was judged here; there is --protocol {there[0]}, --metric {there[1]}")
    return ordered(found)


def _asked(option: str, words: Sequence[str]) -> str:
    return f"{option} {' '.join(words)}" if words else ""


def _rows(subjects: Sequence[Subject]) -> list[Row]:
    """Return the baselines, then a row a kind of subjects and place that features were taken from, in the order given, then other backbones."""
    rows = [row for features, label in BASELINES.items() for row in _shared(subjects, features, label)]
    kinds: dict[Any, list[Subject]] = {}
    for subject in subjects:
        if any(e.own for e in subject.figures):
            kinds.setdefault(subject.kind, []).append(subject)
    for label, kind in zip(labels(list(kinds.values())), kinds.values(), strict=True):
        measured = [Measured(e, _weights(s, e.features)) for s in kind for e in s.figures if e.own]
        for features in dict.fromkeys(m.figure.features for m in measured):
            name = label if features == "backbone" else f"{label}, {features}"
            rows.append(Row(name, tuple(m for m in measured if m.figure.features == features)))
    others = list(dict.fromkeys(e.features for s in subjects for e in s.figures if not e.own and e.features not in BASELINES))
    for features, label in zip(others, called(others, [row.label for row in rows]), strict=True):
        rows += _shared(subjects, features, label)
    return rows


def _weights(subject: Subject, features: str) -> str:
    """Return what the weights behind ``features`` are known by; pixels have none. A copy of a run is no second measurement."""
    if features == "pixels":
        return ""
    digests = [e.weights_sha256 for e in subject.figures if e.features == features and e.weights_sha256]
    return digests[0] if digests else str(subject.directory)


def _shared(subjects: Sequence[Subject], features: str, label: str) -> list[Row]:
    """Return the rows of a baseline, or of a backbone beside runs: one for every network and way of judging, what runs agree on once.

    The seeds of a network at random initialisation are measurements of it; other weights are another backbone.
    """
    found: list[tuple[Any, str, list[Measured]]] = []
    for subject in subjects:
        own = [Measured(e, _weights(subject, features)) for e in subject.figures if e.features == features]
        if not own:
            continue
        network = _network(subject) if features == "random" else _weights(subject, features)
        for known, _, held in found:
            if known == network and all(_agree(one, other) for one in own for other in held):
                held += [m for m in own if not any(_same(m, other) for other in held)]
                break
        else:
            found.append((network, subject.name, own))
    return [Row(label if len(found) == 1 else f"{label}, of {name}", tuple(held)) for _, name, held in found]


def _network(subject: Subject) -> Any:
    """Return what two random initialisations have in common that differ in nothing but the seed."""
    if isinstance(subject.of, Run):
        return replace(subject.of.net, init=None), subject.of.data.channels, subject.of.data.size
    return subject.kind


def _same(one: Measured, other: Measured) -> bool:
    return one.figure.column == other.figure.column and one.measurement == other.measurement


def _agree(one: Measured, other: Measured) -> bool:
    """Whether two figures may stand in one row: of different columns, or measured alike, and equal where they are the same measurement."""
    if one.figure.column != other.figure.column:
        return True
    alike = not _difference(one.figure, other.figure)
    return alike and (not _same(one, other) or one.figure.value == other.figure.value)


def _grid(rows: Sequence[Row], columns: Sequence[Column], said: Sequence[str]) -> Grid:
    usual = {column: _usual(rows, column) for column in columns}
    marked = {(row, column): _marks(row.of(column), usual[column]) for row in rows for column in columns}
    letters = {words: _letter(i) for i, words in enumerate(dict.fromkeys(words for marks in marked.values() for words in marks))}
    lines = []
    for row in rows:
        cells = [_spread(row.of(column), column, [(letters[w], w) for w in marked[row, column]]) for column in columns]
        lines.append(Line(row.label, tuple(cells)))
    notes = [_how_to_read(lines, columns)]
    decided = by_metric(columns, lambda column: _decided([m.figure for row in rows for m in row.of(column)]))
    notes += [f"{of.full_title}: {words}" for of, words in decided]
    notes += [f"({letter}) {words}" for words, letter in letters.items()]
    notes += dict.fromkeys(said)
    notes += _noted(rows, columns)
    return Grid(tuple(columns), tuple(lines), tuple(notes))


def _spread(held: Sequence[Measured], column: Column, marks: Sequence[tuple[str, str]]) -> Spread | None:
    if not held:
        return None
    values = [m.figure.figures[column.metric] for m in held]
    spread = 100 * statistics.stdev(values) if len(values) > 1 else None
    how = "; ".join([_decided([m.figure for m in held]), *(words for _, words in marks)])
    return Spread(100 * statistics.fmean(values), spread, len(values), "".join(letter for letter, _ in marks), how)


def _decided(figures: Sequence[Evaluation]) -> str:
    tests = each(f"{e.test_images:,}" for e in figures if e.test_images is not None)
    return "; ".join(words for words in (stated(figures), f"{tests} test images" if tests else "") if words)


def _usual(rows: Sequence[Row], column: Column) -> Evaluation:
    """Return a figure that was measured as most rows were (of equally many ways the first); the others are marked."""
    rows_by_way: Counter[str] = Counter()
    example: dict[str, Evaluation] = {}
    for row in rows:
        ways = {plain(sorted(_way(m.figure).items())): m.figure for m in row.of(column)}
        rows_by_way.update(ways.keys())
        example = ways | example
    return example[rows_by_way.most_common(1)[0][0]]


def _way(figure: Evaluation) -> dict[str, str]:
    """Return how a figure was measured, in words."""
    return {key: plain(value) for key, value in figure.asked.items() if key not in OWN} | {"images": (figure.images_sha256 or "")[:8]}


def _difference(figure: Evaluation, usual: Evaluation) -> str:
    """Return in words how a figure was measured otherwise than ``usual``; empty where it was not, as far as is told."""
    a, b = _way(figure), _way(usual)
    found = []
    left = untold(figure, usual) | {"images"}
    for key in dict.fromkeys([*a, *b]):
        if key not in left and a.get(key) != b.get(key):
            found.append(f"{named(key)} {a.get(key, 'not stated')} instead of {b.get(key, 'not stated')}")
    if a["images"] and b["images"] and a["images"] != b["images"]:
        found.append(f"other images ({a['images']} instead of {b['images']})")
    return ", ".join(found)


def _marks(held: Sequence[Measured], usual: Evaluation) -> list[str]:
    """Return every way in which figures of a cell were measured otherwise than most of the column."""
    found = Counter(words for m in held if (words := _difference(m.figure, usual)))
    return [words if times == len(held) else f"{words}, in {times} of its {len(held)}" for words, times in found.items()]


def _letter(number: int) -> str:
    return (_letter(number // 26 - 1) if number >= 26 else "") + chr(ord("a") + number % 26)


def _how_to_read(lines: Sequence[Line], columns: Sequence[Column]) -> str:
    """Return what the numbers are."""
    metrics = {column.metric for column in columns}
    what = "Top-1 accuracy, per cent" if metrics == {"top1"} else "Per cent" + (", top-1 where no other metric is named" if "top1" in metrics else "")
    several = any(cell is not None and cell.n > 1 for line in lines for cell in line.cells)
    spread = "mean ± standard deviation (n - 1) over n seeds" if several else "one seed each: no spread is known"
    return f"{what}; {spread}; every figure is the last judging of a run's last step, none the best of several"


def _noted(rows: Sequence[Row], columns: Sequence[Column]) -> list[str]:
    """Return what the protocols noted of the figures shown, once each, with the rows it is said of."""
    holders: dict[str, list[str]] = {}
    for row in rows:
        for note in dict.fromkeys(note for column in columns for m in row.of(column) for note in m.figure.notes):
            holders.setdefault(note, []).append(row.label)
    return [f"{'; '.join(who)}: {note}" for note, who in holders.items()]
