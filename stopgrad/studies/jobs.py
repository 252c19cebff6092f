"""The runs of studies: one a configuration and seed, made and judged by the commands that a user would type, and shared by all that need it."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from stopgrad.beforehand import words_for
from stopgrad.runs import RunDirectory, read_lines

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
    protocols: tuple[str, ...]
    judged_by: tuple[str, ...] = ()
    """Further words of ``stopgrad evaluate``."""
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

    def evaluate(self, features: tuple[str, ...], head: int = 0) -> tuple[str, ...]:
        """Return the words that judge ``features``."""
        inside = ("--head", str(head)) if head else ()
        device = () if self.device == "auto" else ("--device", self.device)
        return ("evaluate", str(self.out), "--protocol", *self.protocols, *self.judged_by, "--features", *features, *inside, *device)

    def state(self) -> str:
        """Return how its training ended, in a word: ``not begun``, ``running``, or what the monitor says of one that is over."""
        status: dict[str, Any] = RunDirectory(self.out).status()
        said = str(status.get("verdict", {}).get("state", "healthy"))
        return said if status.get("state") == "finished" or said == "diverged" else "running" if status else "not begun"

    def records(self) -> dict[tuple[str, str], dict[str, Any]]:
        """Return its evaluations on its own images by (features, protocol), the latest of each."""
        return {(r["features"], r["protocol"]): r for r in read_lines(RunDirectory(self.out).evaluations) if not r.get("data")}

    def all_commands(self) -> list[tuple[str, ...]]:
        """Return what makes and judges it, from the beginning."""
        features = ("random", "backbone") if self.random else ("backbone",)
        judged = [self.evaluate(("backbone",), head) if head else self.evaluate(features) for head in self.heads]
        return [self.pretrain, *judged, *([self.score] if self.scores else [])]

    @property
    def score(self) -> tuple[str, ...]:
        """Words that take its label-free scores."""
        return ("scores", str(self.out), *(() if self.device == "auto" else ("--device", self.device)))

    def commands(self) -> list[tuple[str, ...]]:
        """Return what is still to be done; nothing for a run that diverged: there is no backbone to judge."""
        state = self.state()
        if state == "diverged":
            return []
        if state in ("not begun", "running"):
            return self.all_commands()
        there = self.records().keys()
        kinds = [kind for kind in (("random", "backbone") if self.random else ("backbone",)) if not self._judged(there, kind)]
        left = [self.evaluate(tuple(kinds))] if kinds else []
        left += [self.evaluate(("backbone",), head) for head in self.heads if head and not self._judged(there, features_of(head))]
        return left + ([self.score] if self.scores and not scores_file(self.out).exists() else [])

    def _judged(self, there: Iterable[tuple[str, str]], features: str) -> bool:
        return {(features, protocol) for protocol in self.protocols} <= set(there)


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
            heads = tuple(sorted({*other.heads, *job.heads}))
            job = replace(other, random=other.random or job.random, heads=heads, scores=other.scores or job.scores)
        found[job.out] = job
    return list(found.values())
