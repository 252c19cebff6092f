"""The results table: every protocol a column, baselines and runs as rows, with what each number depends on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from stopgrad.report.files import Evaluation, Judged
from stopgrad.report.gains import Gain, gain
from stopgrad.report.wording import plain

PROTOCOLS = {"knn": "kNN", "lbfgs": "Linear (L-BFGS)", "linear": "Linear (SGD or LARS)"}
"""Known protocols in the order of the table; others follow under their own name."""
BASELINES = {"pixels": "Raw pixels", "random": "Random initialisation"}
SAID = {"size": "side in pixels", "share": "central crop", "held_out": "share held out for the sweep", "evaluations": "evaluations at most"}
"""Settings whose name alone says too little."""
COUNTS = ("train_images", "test_images")


@dataclass(frozen=True)
class Cell:
    """One accuracy in per cent; ``gain`` is the backbone's over the same network untrained."""

    top1: float
    interval: tuple[float, float] | None
    top5: float | None
    gain: Gain | None

    @property
    def shared(self) -> float:
        """The part of the accuracy that the untrained network reaches too, per cent."""
        return self.top1 - max(self.gain.points if self.gain else 0.0, 0.0)


@dataclass(frozen=True)
class Row:
    """A baseline or a run; ``colour`` is the run's, None for a baseline."""

    label: str
    colour: int | None
    cells: tuple[Cell | None, ...]


@dataclass(frozen=True)
class Results:
    """The whole table; ``settings`` are (columns meant, words), ``notes`` what a reader must know besides."""

    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    settings: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]

    @property
    def intervals(self) -> bool:
        """Whether any cell has an interval."""
        return any(cell is not None and cell.interval is not None for row in self.rows for cell in row.cells)


def tabulate(runs: Sequence[Judged]) -> Results | None:
    """Return the table of all evaluations of ``runs``; None when there are none."""
    held = {e.protocol for run in runs for e in run.evaluations}
    protocols = [p for p in PROTOCOLS if p in held] + sorted(held - PROTOCOLS.keys())
    if not protocols:
        return None
    rows = [row for features, label in BASELINES.items() for row in _baseline(runs, features, label, protocols)]
    for run in runs:
        name = run.name if len(runs) > 1 else run.this.capitalize()
        rows.append(Row(name, run.colour, _cells(run, "backbone", protocols, runs)))
        others = dict.fromkeys(e.features for e in run.evaluations if e.features not in (*BASELINES, "backbone"))
        rows += [Row(f"{name}, {features}", run.colour, _cells(run, features, protocols, runs)) for features in others]
    return Results(tuple(PROTOCOLS.get(p, p) for p in protocols), tuple(rows), _settings(runs, protocols), (*_early(runs), *_noted(runs)))


def _baseline(runs: Sequence[Judged], features: str, label: str, protocols: Sequence[str]) -> list[Row]:
    """Return one row where all runs agree on the baseline, else a row for each that has it."""
    found = {run.name: _cells(run, features, protocols, runs) for run in runs if any(e.features == features for e in run.evaluations)}
    if len(set(found.values())) <= 1:
        return [Row(label, None, cells) for cells in list(found.values())[:1]]
    return [Row(f"{label}, {name}", None, cells) for name, cells in found.items()]


def _cells(run: Judged, features: str, protocols: Sequence[str], runs: Sequence[Judged]) -> tuple[Cell | None, ...]:
    gains = [gain(run, p, runs) if features == "backbone" else None for p in protocols]
    return tuple(_cell(run.evaluation(p, features), gained) for p, gained in zip(protocols, gains, strict=True))


def _cell(found: Evaluation | None, gained: Gain | None) -> Cell | None:
    if found is None:
        return None
    top5 = 100 * found.top5 if found.top5 is not None and found.stated.get("classes", 0) > 10 else None
    return Cell(100 * found.top1, None if found.interval is None else (100 * found.interval[0], 100 * found.interval[1]), top5, gained)


def _settings(runs: Sequence[Judged], protocols: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Return what the numbers of a column depend on, in words; first, and once, what holds for all columns."""
    told = {p: _told(runs, p) for p in protocols}
    shared = [key for key, words in told[protocols[0]].items() if len(protocols) > 1 and all(t.get(key) == words for t in told.values())]
    lines = [("All" if len(protocols) > 2 else "Both", [told[protocols[0]][key] for key in shared])]
    lines += [(PROTOCOLS.get(p, p), [words for key, words in told[p].items() if key not in shared]) for p in protocols]
    return tuple((title, " · ".join(words)) for title, words in lines if words)


def _told(runs: Sequence[Judged], protocol: str) -> dict[str, str]:
    """Return every setting of a column in words: once where all rows agree, else value by value with its rows."""
    measured = [(run, e) for run in runs for e in run.evaluations if e.protocol == protocol]
    found = {}
    for key in dict.fromkeys(key for _, e in measured for key in e.stated):
        holders: dict[str, list[str]] = {}
        for run, e in measured:
            holders.setdefault(_value(key, e.stated[key]) if key in e.stated else "not stated", []).append(_whose(run, e, measured, key))
        values = [value if len(holders) == 1 else f"{value} ({', '.join(dict.fromkeys(who))})" for value, who in holders.items()]
        found[key] = f"{SAID.get(key, key.replace('_', ' '))} {', '.join(values)}"
    return found


def _value(key: str, value: Any) -> str:
    return f"{value:,}" if key in COUNTS and isinstance(value, int) else plain(value)


def _whose(run: Judged, evaluation: Evaluation, measured: Sequence[tuple[Judged, Evaluation]], key: str) -> str:
    """Name the row of a result; a baseline without its run where the runs agree on ``key``."""
    if evaluation.features == "backbone":
        return run.name if any(other is not run for other, _ in measured) else run.this
    label = BASELINES.get(evaluation.features, evaluation.features).lower()
    same = {plain(e.stated.get(key)) for _, e in measured if e.features == evaluation.features}
    return label if len(same) == 1 else f"{label} of {run.name}"


def _early(runs: Sequence[Judged]) -> list[str]:
    """Return a line for every result that was measured before the run's last step."""
    return [
        f"{run.name}: {PROTOCOLS.get(e.protocol, e.protocol)} was measured at step {e.step:,}, the run is at step {run.step:,}."
        for run in runs
        for e in run.evaluations
        if e.features == "backbone" and e.step is not None and e.step != run.step
    ]


def _noted(runs: Sequence[Judged]) -> list[str]:
    """Return what the protocols noted of their numbers, once each, with the rows it is said of."""
    holders: dict[str, list[str]] = {}
    for run in runs:
        for e in run.evaluations:
            for note in e.notes:
                holders.setdefault(note, []).append(BASELINES.get(e.features, run.name))
    return [f"{', '.join(dict.fromkeys(who))}: {note}" for note, who in holders.items()]
