"""What the files of a study's runs say, row by row and seed by seed."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from stopgrad.accuracies import least_difference
from stopgrad.runs import RunDirectory, read_lines
from stopgrad.studies.jobs import Job, features_of, scores_file
from stopgrad.studies.judging import Figure

ENDED = ("healthy", "unlearned", "collapsed", "diverged")
"""How a training can end."""
MONITORED = ("rank", "uniformity", "alignment", "std", "told_apart")
"""Label-free measures of the last record of metrics.jsonl."""


@dataclass(frozen=True)
class Measured:
    """A row at one seed."""

    seed: int
    state: str
    """One of ENDED."""
    figures: dict[str, float]
    """By name, 0..1; empty of a run that diverged."""
    random: dict[str, float]
    """The same of the random initialisation, where it was judged."""
    noise: float
    """Least difference of two figures of the first data set that its test images can tell, points; 0 where that is not known."""
    test_images: int
    """Of the first data set."""
    std: float | None
    """Of the outputs at the end, times √d: 1 isotropic, 0 collapse."""
    label_free: dict[str, float]
    """Scores that need no labels, at the end."""


def measured(jobs: Sequence[Job], figures: Sequence[Figure], head: int = 0) -> list[Measured]:
    """Return what is there of a row's runs: those that are trained and judged by all ``figures``, or diverged."""
    found = [_measured(job, figures, seed, head) for seed, job in enumerate(jobs)]
    return [one for one in found if one is not None]


def _measured(job: Job, figures: Sequence[Figure], seed: int, head: int) -> Measured | None:
    state, there = job.state(), job.found()
    own = {figure.name: there[place] for figure in figures if (place := (features_of(head), figure.key)) in there}
    if state not in ENDED or (state != "diverged" and len(own) < len(figures)):
        return None
    first = [own[figure.name] for figure in figures if figure.data == figures[0].data and figure.name in own]
    last = (read_lines(RunDirectory(job.out).metrics) or [{}])[-1]
    scores = json.loads(scores_file(job.out).read_text()) if scores_file(job.out).exists() else {}
    return Measured(
        seed,
        state,
        {name: told.value for name, told in own.items()},
        {figure.name: there["random", figure.key].value for figure in figures if ("random", figure.key) in there},
        max((least_difference(told.interval) for told in first if told.interval is not None), default=0.0),
        max((told.test_images or 0 for told in first), default=0),
        last.get("std"),
        {name: float(last[name]) for name in MONITORED if name in last} | {name: float(v) for name, v in scores.get("scores", {}).items()},
    )
