"""What the files of a study's runs say, row by row and seed by seed."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from stopgrad.accuracies import least_difference
from stopgrad.runs import RunDirectory, read_lines
from stopgrad.studies.jobs import Job, features_of, scores_file

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
    top1: dict[str, float]
    """By protocol, 0..1; empty of a run that diverged."""
    random: dict[str, float]
    """The same of the random initialisation, where it was judged."""
    noise: float
    """Least difference of two such accuracies that the test images can tell, points."""
    test_images: int
    std: float | None
    """Of the outputs at the end, times √d: 1 isotropic, 0 collapse."""
    label_free: dict[str, float]
    """Scores that need no labels, at the end."""


def measured(jobs: Sequence[Job], head: int = 0) -> list[Measured]:
    """Return what is there of a row's runs: those that are trained and judged, or diverged."""
    found = [_measured(job, seed, head) for seed, job in enumerate(jobs)]
    return [one for one in found if one is not None]


def _measured(job: Job, seed: int, head: int) -> Measured | None:
    state, records = job.state(), job.records()
    own = {protocol: record for (features, protocol), record in records.items() if features == features_of(head)}
    if state not in ENDED or (state != "diverged" and not set(job.protocols) <= own.keys()):
        return None
    last = (read_lines(RunDirectory(job.out).metrics) or [{}])[-1]
    scores = json.loads(scores_file(job.out).read_text()) if scores_file(job.out).exists() else {}
    return Measured(
        seed,
        state,
        {protocol: float(own[protocol]["top1"]) for protocol in job.protocols if protocol in own},
        {protocol: float(record["top1"]) for (features, protocol), record in records.items() if features == "random"},
        max((least_difference(record) for record in own.values()), default=0.0),
        max((int(record["test_images"]) for record in own.values()), default=0),
        last.get("std"),
        {name: float(last[name]) for name in MONITORED if name in last} | {name: float(v) for name, v in scores.get("scores", {}).items()},
    )
