"""The results table: every column a protocol on a data set, baselines and runs as rows, with what each number depends on."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from stopgrad.report.columns import TRAINED, Column, beside_name, by_metric, ordered, protocol_name
from stopgrad.report.evaluations import BASELINES, Evaluation
from stopgrad.report.files import Judged, RunFiles
from stopgrad.report.gains import Gain, gain
from stopgrad.report.wording import grouped, named, plain

WIDEST = 4
"""Columns that stand beside each other; more go below."""
COUNTS = ("train_images", "test_images")


@dataclass(frozen=True)
class Cell:
    """One figure in per cent; ``gain`` is the backbone's over the same network untrained."""

    value: float
    interval: tuple[float, float] | None
    beside: tuple[str, ...]
    """Lesser figures of the same judging, in words."""
    gain: Gain | None

    @property
    def shared(self) -> float:
        """The part of the figure that the untrained network reaches too, per cent."""
        return self.value - max(self.gain.points if self.gain else 0.0, 0.0)


@dataclass(frozen=True)
class Row:
    """A baseline or a run; ``colour`` is the run's, None for a baseline."""

    label: str
    colour: int | None
    cells: tuple[Cell | None, ...]


@dataclass(frozen=True)
class Block:
    """Columns that stand beside each other, with the rows that have a figure in one of them."""

    data: tuple[tuple[str, int], ...]
    """(data set, columns of it), in order; empty where all columns are of the run's own."""
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Results:
    """All blocks; ``settings`` are (columns meant, words), ``notes`` what a reader must know besides."""

    blocks: tuple[Block, ...]
    settings: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]

    @property
    def columns(self) -> tuple[Column, ...]:
        """Every column once."""
        return tuple(column for block in self.blocks for column in block.columns)

    @property
    def intervals(self) -> bool:
        """Whether any cell has an interval."""
        return any(cell is not None and cell.interval is not None for block in self.blocks for row in block.rows for cell in row.cells)

    @property
    def what(self) -> str:
        """What the figures are, as the beginning of a sentence."""
        metrics = {column.metric for column in self.columns}
        if metrics == {"top1"}:
            return "Top-1 accuracy in per cent"
        return "Per cent, " + ("top-1 accuracy where the head of a column does not say otherwise," if "top1" in metrics else "by the metrics named,")

    @property
    def frozen(self) -> str:
        """Under which protocols the backbone is frozen, in a clause."""
        trained = list(dict.fromkeys(protocol_name(column.protocol) for column in self.columns if column.protocol in TRAINED))
        if not trained:
            return "The backbone is frozen"
        named = " and ".join([", ".join(trained[:-1]), trained[-1]] if trained[1:] else trained)
        others = any(column.protocol not in TRAINED for column in self.columns)
        return f"{'The backbone is frozen, but is' if others else 'The backbone is'} trained further under {named}"


def tabulate(runs: Sequence[Judged]) -> Results | None:
    """Return the table of all evaluations of ``runs``; None when there are none."""
    columns = ordered(e.column for run in runs for e in run.evaluations)
    if not columns:
        return None
    parts = _beside(columns)
    return Results(tuple(_block(runs, part, alone=len(parts) == 1) for part in parts), _settings(runs, columns), (*_early(runs), *_noted(runs)))


def _beside(columns: Sequence[Column]) -> list[list[Column]]:
    """Return ``columns`` in parts of at most ``WIDEST``; those of a data set are only parted where they are more."""
    parts: list[list[Column]] = [[]]
    for _, group in groupby(columns, lambda column: column.place):
        held = list(group)
        for begin in range(0, len(held), WIDEST):
            some = held[begin : begin + WIDEST]
            if len(parts[-1]) + len(some) > WIDEST:
                parts.append([])
            parts[-1] += some
    return parts


def _block(runs: Sequence[Judged], columns: Sequence[Column], alone: bool) -> Block:
    """Return ``columns`` as a block; one that is not alone leaves out runs that have nothing in it."""
    rows = [row for features, label in BASELINES.items() for row in _baseline(runs, features, label, columns)]
    for run in runs:
        name = run.name if len(runs) > 1 or not isinstance(run, RunFiles) else "This run"
        rows.append(Row(name, run.colour, _cells(run, "backbone", columns, runs)))
        inside = dict.fromkeys(e.features for e in run.evaluations if e.own and e.features != "backbone")
        rows += [Row(f"{name}, {features}", run.colour, _cells(run, features, columns, runs)) for features in inside]
    others = dict.fromkeys(e.features for run in runs for e in run.evaluations if not e.own and e.features not in BASELINES)
    rows += [row for network in others for row in _baseline(runs, network, network, columns)]
    data = tuple((name, len(list(same))) for name, same in groupby(column.place for column in columns))
    return Block(data if any(name for name, _ in data) else (), tuple(columns), tuple(row for row in rows if alone or any(row.cells)))


def _baseline(runs: Sequence[Judged], features: str, label: str, columns: Sequence[Column]) -> list[Row]:
    """Return one row where all runs agree on the baseline, else a row for each that has it."""
    found = {run.name: _cells(run, features, columns, runs) for run in runs if any(e.features == features for e in run.evaluations)}
    found = {name: cells for name, cells in found.items() if any(cells)}
    if len(set(found.values())) <= 1:
        return [Row(label, None, cells) for cells in list(found.values())[:1]]
    return [Row(f"{label}, {name}", None, cells) for name, cells in found.items()]


def _cells(run: Judged, features: str, columns: Sequence[Column], runs: Sequence[Judged]) -> tuple[Cell | None, ...]:
    gains = [gain(run, column, runs) if features == "backbone" else None for column in columns]
    return tuple(_cell(run.evaluation(column, features), gained) for column, gained in zip(columns, gains, strict=True))


def _cell(found: Evaluation | None, gained: Gain | None) -> Cell | None:
    if found is None:
        return None
    told = [(name, value) for name, value in found.beside if name != "top5" or found.stated.get("classes", 0) > 10]
    beside = tuple(f"{beside_name(name)} {100 * value:.1f}" for name, value in told)
    return Cell(100 * found.value, None if found.interval is None else (100 * found.interval[0], 100 * found.interval[1]), beside, gained)


def _settings(runs: Sequence[Judged], columns: Sequence[Column]) -> tuple[tuple[str, str], ...]:
    """Return what the numbers of a column depend on, in words; first, and once, what holds for all columns."""
    settings = by_metric(columns, lambda column: _told(runs, column))
    first = settings[0][1]
    shared = [key for key, words in first.items() if len(settings) > 1 and all(t.get(key) == words for _, t in settings)]
    lines = {" · ".join(first[key] for key in shared): ["All" if len(settings) > 2 else "Both"]}
    for of, found in settings:
        lines.setdefault(" · ".join(words for key, words in found.items() if key not in shared), []).append(of.full_title)
    return tuple(("; ".join(titles), words) for words, titles in lines.items() if words)


def _told(runs: Sequence[Judged], column: Column) -> dict[str, str]:
    """Return every setting of a column in words: once where all rows agree, else value by value with its rows."""
    measured = [(run, e) for run in runs for e in run.evaluations if e.column == column]
    found = {}
    for key in dict.fromkeys(key for _, e in measured for key in e.stated):
        holders: dict[str, list[str]] = {}
        for run, e in measured:
            if key == "tuned_on" and key not in e.stated:
                continue  # of older results, which do not tell
            holders.setdefault(_value(key, e.stated[key]) if key in e.stated else "not stated", []).append(_whose(run, e, measured, key))
        values = [value if len(holders) == 1 else f"{value} ({', '.join(dict.fromkeys(who))})" for value, who in holders.items()]
        found[key] = f"{named(key)} {', '.join(values)}"
    return found


def _value(key: str, value: Any) -> str:
    if key in COUNTS and isinstance(value, int):
        return f"{value:,}"
    return grouped(plain(value)) if key == "tuned_on" else plain(value)


def _whose(run: Judged, evaluation: Evaluation, measured: Sequence[tuple[Judged, Evaluation]], key: str) -> str:
    """Name the row of a result; a baseline without its run where the runs agree on ``key``."""
    if evaluation.features == "backbone":
        return run.name if any(other is not run for other, _ in measured) else "this run"
    label = BASELINES.get(evaluation.features, evaluation.features).lower()
    same = {plain(e.stated.get(key)) for _, e in measured if e.features == evaluation.features}
    return label if len(same) == 1 else f"{label} of {run.name}"


def _early(runs: Sequence[Judged]) -> list[str]:
    """Return a line for every result that was measured before the run's last step."""
    told = [
        f"{run.name}: {e.column.judging.full_title} was measured at step {e.step:,}, the run is at step {run.step:,}."
        for run in runs
        if isinstance(run, RunFiles)
        for e in run.evaluations
        if e.features == "backbone" and e.step is not None and e.step != run.step
    ]
    return list(dict.fromkeys(told))


def _noted(runs: Sequence[Judged]) -> list[str]:
    """Return what the protocols noted of their numbers, once each, with the rows it is said of."""
    holders: dict[str, list[str]] = {}
    for run in runs:
        for e in run.evaluations:
            for note in e.notes:
                holders.setdefault(note, []).append(BASELINES.get(e.features, run.name))
    return [f"{', '.join(dict.fromkeys(who))}: {note}" for note, who in holders.items()]
