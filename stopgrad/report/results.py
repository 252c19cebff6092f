"""The results table: every protocol a column, baselines and runs as rows, with what each number depends on."""

from collections.abc import Sequence
from dataclasses import dataclass

from stopgrad.report.files import Evaluation, RunFiles
from stopgrad.report.wording import plain

PROTOCOLS = {"knn": "kNN", "lbfgs": "Linear (L-BFGS)", "linear": "Linear (SGD or LARS)"}
"""Known protocols in the order of the table; others follow under their own name."""
BASELINES = {"pixels": "Raw pixels", "random": "Random initialisation"}


@dataclass(frozen=True)
class Cell:
    """One accuracy in per cent, and how far it lies above the same network untrained, in points."""

    top1: float
    interval: tuple[float, float] | None
    top5: float | None
    gain: float | None

    @property
    def shared(self) -> float:
        """The part of the accuracy that the untrained network reaches too, per cent."""
        return self.top1 - max(self.gain or 0.0, 0.0)


@dataclass(frozen=True)
class Row:
    """A baseline or a run; ``colour`` is the run's, None for a baseline."""

    label: str
    colour: int | None
    cells: tuple[Cell | None, ...]


@dataclass(frozen=True)
class Results:
    """The whole table; ``settings`` has a line of words for every column, ``notes`` what a reader must know besides."""

    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    settings: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def intervals(self) -> bool:
        """Whether any cell has an interval."""
        return any(cell is not None and cell.interval is not None for row in self.rows for cell in row.cells)


def tabulate(runs: Sequence[RunFiles]) -> Results | None:
    """Return the table of all evaluations of ``runs``; None when there are none."""
    held = {e.protocol for run in runs for e in run.evaluations}
    protocols = [p for p in PROTOCOLS if p in held] + sorted(held - PROTOCOLS.keys())
    if not protocols:
        return None
    rows = [row for features, label in BASELINES.items() for row in _baseline(runs, features, label, protocols)]
    for i, run in enumerate(runs):
        rows.append(Row(run.name if len(runs) > 1 else "This run", i, _cells(run, "backbone", protocols)))
    titles = tuple(PROTOCOLS.get(p, p) for p in protocols)
    return Results(titles, tuple(rows), tuple(_settings(runs, p) for p in protocols), tuple(_early(runs)))


def _baseline(runs: Sequence[RunFiles], features: str, label: str, protocols: Sequence[str]) -> list[Row]:
    """Return one row where all runs agree on the baseline, else a row for each that has it."""
    found = {run.name: _cells(run, features, protocols) for run in runs if any(e.features == features for e in run.evaluations)}
    if len(set(found.values())) <= 1:
        return [Row(label, None, cells) for cells in list(found.values())[:1]]
    return [Row(f"{label}, {name}", None, cells) for name, cells in found.items()]


def _cells(run: RunFiles, features: str, protocols: Sequence[str]) -> tuple[Cell | None, ...]:
    return tuple(_cell(run.evaluation(p, features), run.evaluation(p, "random")) for p in protocols)


def _cell(found: Evaluation | None, untrained: Evaluation | None) -> Cell | None:
    if found is None:
        return None
    gain = 100 * (found.top1 - untrained.top1) if untrained and found.features == "backbone" else None
    top5 = 100 * found.top5 if found.top5 is not None and found.stated.get("classes", 0) > 10 else None
    return Cell(100 * found.top1, None if found.interval is None else (100 * found.interval[0], 100 * found.interval[1]), top5, gain)


def _settings(runs: Sequence[RunFiles], protocol: str) -> str:
    """Return what the numbers of a column depend on: once where all rows agree, else value by value with its rows."""
    measured = [(run, e) for run in runs for e in run.evaluations if e.protocol == protocol]
    words = []
    for key in dict.fromkeys(key for _, e in measured for key in e.stated):
        holders: dict[str, list[str]] = {}
        for run, e in measured:
            holders.setdefault(plain(e.stated[key]) if key in e.stated else "not stated", []).append(_whose(run, e, measured, key))
        told = [value if len(holders) == 1 else f"{value} ({', '.join(dict.fromkeys(who))})" for value, who in holders.items()]
        words.append(f"{key.replace('_', ' ')} {', '.join(told)}")
    return " · ".join(words)


def _whose(run: RunFiles, evaluation: Evaluation, measured: Sequence[tuple[RunFiles, Evaluation]], key: str) -> str:
    """Name the row of a result; a baseline without its run where the runs agree on ``key``."""
    if evaluation.features == "backbone":
        return run.name if any(other is not run for other, _ in measured) else "this run"
    label = BASELINES.get(evaluation.features, evaluation.features).lower()
    same = {plain(e.stated.get(key)) for _, e in measured if e.features == evaluation.features}
    return label if len(same) == 1 else f"{label} of {run.name}"


def _early(runs: Sequence[RunFiles]) -> list[str]:
    """Return a line for every result that was measured before the run's last step."""
    return [
        f"{run.name}: {PROTOCOLS.get(e.protocol, e.protocol)} was measured at step {e.step:,}, the run is at step {run.step:,}."
        for run in runs
        for e in run.evaluations
        if e.features == "backbone" and e.step is not None and e.step != run.step
    ]
