"""What the files of a study's runs say, row by row and seed by seed."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from stopgrad.runs import RunDirectory, read_lines
from stopgrad.studies.jobs import Job, features_of, scores_file
from stopgrad.studies.judging import Told

ENDED = ("healthy", "unlearned", "collapsed", "diverged")
"""How a training can end."""
MONITORED = ("rank", "uniformity", "alignment", "std", "told_apart")
"""Label-free measures of the last record of metrics.jsonl."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A row at one seed."""

    seed: int
    state: str
    """One of ENDED."""
    told: dict[str, Told]
    """By name of the figure; empty of a run that diverged."""
    random: dict[str, Told]
    """The same of the random initialisation, where it was judged."""
    std: float | None
    """Of the outputs at the end, times √d: 1 isotropic, 0 collapse."""
    label_free: dict[str, float]
    """Scores that need no labels, at the end."""

    @property
    def figures(self) -> dict[str, float]:
        """By name, 0..1."""
        return {name: told.value for name, told in self.told.items()}


def measured(jobs: Sequence[Job], head: int = 0) -> list[Measured]:
    """Return what is there of a row's runs: those that are trained and judged by all that they are to be judged by, or diverged."""
    found = [_measured(job, seed, head) for seed, job in enumerate(jobs)]
    return [one for one in found if one is not None]


def _measured(job: Job, seed: int, head: int) -> Measured | None:
    state = job.state()
    own = {name: told for judging in job.judged for name, told in job.told(judging, features_of(head)).items()}
    if state not in ENDED or (state != "diverged" and len(own) < sum(len(judging.figures) for judging in job.judged)):
        return None
    random = {name: told for judging in job.judged for name, told in job.told(judging, "random").items()}
    last = (read_lines(RunDirectory(job.out).metrics) or [{}])[-1]
    scores = json.loads(scores_file(job.out).read_text()) if scores_file(job.out).exists() else {}
    monitored = {name: float(last[name]) for name in MONITORED if name in last}
    return Measured(
        seed=seed,
        state=state,
        told={} if state == "diverged" else own,
        random=random,
        std=last.get("std"),
        label_free=monitored | {name: float(value) for name, value in scores.get("scores", {}).items()},
    )
