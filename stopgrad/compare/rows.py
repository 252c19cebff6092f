"""The rows of a comparison: one run a method and seed, each made by the command that a user would type."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stopgrad.beforehand import overrides_of, words_for
from stopgrad.runs import RunDirectory, read_lines

PROTOCOLS = ("knn", "lbfgs")


@dataclass(frozen=True)
class Row:
    """A method at a seed."""

    method: str
    seed: int
    out: Path
    """Its run directory."""
    images: str
    recipe: str
    """The one that all rows share."""
    overrides: Mapping[str, str] = field(hash=False)
    """Path to text."""
    device: str
    baselines: bool
    """Whether raw pixels and random initialisation are judged beside it: once a seed is enough."""

    @property
    def pretrain(self) -> tuple[str, ...]:
        """Words after ``stopgrad`` that train it."""
        fixed = ("--recipe", self.recipe, "--method", self.method, "--out", str(self.out), "--device", self.device)
        return ("pretrain", self.images, *fixed, *(word for path, text in self.overrides.items() for word in words_for(path, text)))

    @property
    def evaluate(self) -> tuple[str, ...]:
        """Words after ``stopgrad`` that judge it."""
        return ("evaluate", str(self.out), "--protocol", *PROTOCOLS, *(() if self.baselines else ("--features", "backbone")))

    def trained(self) -> bool:
        """Whether its schedule is finished."""
        return RunDirectory(self.out).status().get("state") == "finished"

    def scores(self) -> dict[tuple[str, str], float]:
        """Return top-1 by (features, protocol), of what was judged."""
        return {(r["features"], r["protocol"]): float(r["top1"]) for r in self.records()}

    def records(self) -> list[dict[str, Any]]:
        """Return its evaluations by the comparison's protocols on the comparison's images; it may have been judged otherwise too."""
        lines = read_lines(RunDirectory(self.out).evaluations)
        return [r for r in lines if r["protocol"] in PROTOCOLS and not r.get("data") and r.get("top1") is not None]

    def judged(self) -> bool:
        """Whether every protocol has judged its backbone."""
        kinds = ("pixels", "random", "backbone") if self.baselines else ("backbone",)
        return {(kind, p) for kind in kinds for p in PROTOCOLS} <= self.scores().keys()

    def commands(self) -> list[tuple[str, ...]]:
        """Return what is still to be done."""
        return ([] if self.trained() else [self.pretrain]) + ([] if self.judged() else [self.evaluate])


def rows(images: str, recipe: str, methods: Sequence[str], seeds: int, out: Path, options: Mapping[str, str], pairs: Sequence[str]) -> list[Row]:
    """Return a row a seed and method, seeds outermost: a table of one seed stands first.

    ``options``: those of pretrain, by name; ``pairs``: PATH=VALUE for all, METHOD:PATH=VALUE for one. Raises UserError where the two differ.
    """
    found = []
    for seed in range(seeds):
        for method in methods:
            overrides = overrides_of({**options, "seed": seed}, concerning(method, pairs))
            directory, device = out / f"{method}-{seed}", options.get("device", "auto")
            found.append(Row(method, seed, directory, images, recipe, overrides, device, baselines=method == methods[0]))
    return found


def concerning(method: str | None, pairs: Sequence[str]) -> list[str]:
    """Return, as PATH=VALUE, what is set of ``method``; for None what is set of all."""
    found = []
    for pair in pairs:
        name, colon, rest = pair.partition("=")[0].partition(":")
        if not colon or name == method:
            found.append(pair.removeprefix(f"{name}:") if colon and rest else pair)
    return found


def executable(words: Sequence[str]) -> list[str]:
    """Return the command line of ``stopgrad`` with ``words``, by this interpreter."""
    return [sys.executable, "-m", "stopgrad", *words]


def verdict(row: Row) -> str:
    """Return how the row's training ended, in a word, and what the monitor said of it."""
    status: dict[str, Any] = RunDirectory(row.out).status()
    return str(status.get("verdict", {}).get("state", "not begun"))


def last_words(log: Path) -> str:
    """Return the last line that a row's command wrote."""
    lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    return lines[-1] if lines else "said nothing"


def another(out: Path, asked: dict[str, Any]) -> str:
    """Return how the comparison that comparison.json says is in ``out`` differs from what is ``asked``; empty where it does not, or none is there."""
    path = out / "comparison.json"
    stands: dict[str, Any] = json.loads(path.read_text()) if path.exists() else asked
    changed = [what for what in asked if stands.get(what) != asked[what]]
    return "; ".join(f"{what}: {_said(stands.get(what))}, asked for {_said(asked[what])}" for what in changed)


def _said(value: Any) -> str:
    """Return a value of comparison.json as it would be typed."""
    if isinstance(value, dict):
        return " ".join(f"{flag} {text}" for flag, text in value.items()) or "nothing"
    return (" ".join(value) if isinstance(value, list) else str(value)) or "nothing"


def remember(out: Path, asked: dict[str, Any]) -> None:
    """Write what is compared in ``out`` to comparison.json."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "comparison.json").write_text(json.dumps(asked, indent=2) + "\n")
