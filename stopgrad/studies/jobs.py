"""The runs of studies: one a configuration and seed, made and judged by the commands that a user would type, and shared by all that need it."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from stopgrad.beforehand import words_for
from stopgrad.runs import RunDirectory, read_lines
from stopgrad.studies.judging import Judging, Told, told

UNTRAINED = ("not begun", "running")
"""States of a run that is yet to be trained, or to its end."""
FOLDER = "runs"
"""Where the runs of all studies of an --out lie."""


@dataclass(frozen=True)
class Job:
    """A run."""

    out: Path
    """Its run directory, named after the method, a digest of all that was asked for, and the seed."""
    images: str
    recipe: str
    method: str | None
    overrides: Mapping[str, str] = field(hash=False)
    """Path to text, the seed included."""
    device: str
    judged: tuple[Judging, ...]
    random: bool = False
    """Whether the random initialisation is judged beside it: once a seed is enough."""
    heads: tuple[int, ...] = (0,)
    """After how many layers of the projector the features are judged; 0: the backbone's."""
    scores: bool = False
    """Whether its label-free scores are taken."""

    @property
    def pretrain(self) -> tuple[str, ...]:
        """Words after ``stopgrad`` that train it."""
        method = () if self.method is None else ("--method", self.method)
        device = () if self.device == "auto" else ("--device", self.device)
        fixed = ("--recipe", self.recipe, *method, "--out", str(self.out), *device)
        return ("pretrain", self.images, *fixed, *(word for path, text in self.overrides.items() for word in words_for(path, text)))

    def evaluate(self, judging: Judging, features: tuple[str, ...], head: int = 0) -> tuple[str, ...]:
        """Return the words that judge ``features``."""
        inside = ("--head", str(head)) if head else ()
        device = () if self.device == "auto" else ("--device", self.device)
        return ("evaluate", str(self.out), *judging.words, "--features", *features, *inside, *device)

    def state(self) -> str:
        """Return how its training ended, in a word: ``not begun``, ``running``, or what the monitor says of one that is over."""
        status: dict[str, Any] = RunDirectory(self.out).status()
        said = str(status.get("verdict", {}).get("state", "healthy"))
        return said if status.get("state") == "finished" or said == "diverged" else "running" if status else "not begun"

    def told(self, judging: Judging, features: str) -> dict[str, Told]:
        """Return those of the figures of ``judging`` that its evaluations have of ``features``, by name."""
        directory = RunDirectory(self.out)
        lines, step = read_lines(directory.evaluations), None if features == "random" else directory.status().get("step")
        found = {figure.name: told(lines, judging, figure, features, step) for figure in judging.figures}
        return {name: one for name, one in found.items() if one is not None}

    def all_commands(self) -> list[tuple[str, ...]]:
        """Return what makes and judges it, from the beginning."""
        return [self.pretrain, *self._judgings(there=False), *([self.score] if self.scores else [])]

    @property
    def score(self) -> tuple[str, ...]:
        """Words that take its label-free scores."""
        return ("scores", str(self.out), *(() if self.device == "auto" else ("--device", self.device)))

    def commands(self) -> list[tuple[str, ...]]:
        """Return what is still to be done; nothing for a run that diverged: there is no backbone to judge."""
        state = self.state()
        if state == "diverged":
            return []
        if state in UNTRAINED:
            return self.all_commands()
        return [*self._judgings(there=True), *([self.score] if self.scores and not scores_file(self.out).exists() else [])]

    def _judgings(self, there: bool) -> list[tuple[str, ...]]:
        """Return what judges it, the backbone and beside it the random initialisation in one; ``there``: but for what has all of its figures."""
        kinds = ("random", "backbone") if self.random else ("backbone",)
        left: list[tuple[str, ...]] = []
        for one in self.judged:
            missing = tuple(kind for kind in kinds if not (there and self._has(one, kind)))
            left += [self.evaluate(one, missing)] if missing else []
            left += [self.evaluate(one, ("backbone",), head) for head in self.heads if head and not (there and self._has(one, features_of(head)))]
        return left

    def _has(self, judging: Judging, features: str) -> bool:
        return len(self.told(judging, features)) == len(judging.figures)


def features_of(head: int) -> str:
    """Return what evaluations.jsonl calls the features after ``head`` layers of the projector."""
    return f"head {head}" if head else "backbone"


def scores_file(run: Path) -> Path:
    """Return where the label-free scores of a run are."""
    return run / "scores.json"


def place(out: Path, method: str, asked: Mapping[str, Any], seed: int) -> Path:
    """Return the folder of the run of which ``asked`` is all that decides it but for the seed: the same for every study that asks for the same."""
    digest = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:8]
    return out / FOLDER / f"{method}-{digest}-{seed}"


def shared(jobs: Iterable[Job]) -> list[Job]:
    """Return every run once, judged by all that any of its studies asks for."""
    found: dict[Path, Job] = {}
    for job in jobs:
        if (other := found.get(job.out)) is not None:
            heads, judged = tuple(sorted({*other.heads, *job.heads})), tuple(dict.fromkeys([*other.judged, *job.judged]))
            job = replace(other, judged=judged, random=other.random or job.random, heads=heads, scores=other.scores or job.scores)
        found[job.out] = job
    return list(found.values())
