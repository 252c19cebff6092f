"""From what was asked to a complete run: recipe, overrides, and what a run directory already holds. Imports no torch."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from stopgrad.config import Run, differences, problems, set_value
from stopgrad.errors import UserError
from stopgrad.images.inspect import inspect
from stopgrad.images.sources import Splits
from stopgrad.recipes import RECIPES
from stopgrad.recipes.images import Machine, images
from stopgrad.runs import RunDirectory

CHANGEABLE = {
    *("data.source", "data.residence", "data.workers", "data.max_bad"),
    *("train.log_every", "train.monitor_every", "train.checkpoint_seconds", "train.keep", "train.milestone_every", "train.on_collapse"),
}
"""Fields that decide no weight: a run may be resumed with other values of these. (That the images are the same is checked by fingerprint.)"""


@dataclass(frozen=True)
class Plan:
    """A run ready to be trained, or found finished."""

    run: Run
    directory: RunDirectory
    reasons: tuple[str, ...]
    """One line for every choice that a recipe made by itself."""
    resumes: bool
    finished: bool


def plan(splits: Splits, source: str, recipe: str, out: Path, overrides: Mapping[str, str], has_gpu: Callable[[], bool]) -> Plan:
    """Return the run that ``recipe`` with ``overrides`` (path → text) makes of ``source``; of an existing run directory, the run it holds.

    Raises UserError for an unknown recipe or field, a contradiction, or a request that differs from the run in ``out``.
    """
    if recipe != "images" and recipe not in RECIPES:
        close = get_close_matches(recipe, [*RECIPES, "images"], n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise UserError(f"--recipe: no recipe {recipe!r}; {hint}There are: images, {', '.join(RECIPES)}")
    directory = RunDirectory(out)
    if directory.exists():
        return _resumed(directory, source, recipe, overrides)
    if recipe == "images":
        chosen = images(replace(inspect(splits), source=source), Machine(gpu=has_gpu(), cores=os.cpu_count() or 1))
        base, reasons = chosen.run, chosen.reasons
    else:
        base, reasons = RECIPES[recipe](), ()
        base = replace(base, data=replace(base.data, source=source))
    run = overridden(base, overrides)
    return Plan(run, directory, reasons, resumes=False, finished=False)


def overridden(run: Run, overrides: Mapping[str, str]) -> Run:
    """Return ``run`` with every override set. Raises UserError for an unknown field, a wrong value or a contradiction."""
    for path, text in overrides.items():
        run = set_value(run, path, text)
    if found := problems(run):
        raise UserError("; ".join(found))
    return run


def _resumed(directory: RunDirectory, source: str, recipe: str, overrides: Mapping[str, str]) -> Plan:
    saved = directory.read_config()
    finished = directory.status().get("state") == "finished"
    if recipe != saved.recipe:
        raise UserError(f"{directory.path}: holds a run of recipe {saved.recipe}, not {recipe}; choose another --out")
    asked = overridden(replace(saved, data=replace(saved.data, source=source)), overrides)
    changed = {p: values for p, values in differences(saved, asked).items() if p not in CHANGEABLE}
    if finished and changed.keys() == {"train.epochs"}:
        raise UserError(_extension(directory, saved, asked))
    if changed:
        listed = "; ".join(f"{p} is {a}, asked for {b}" for p, (a, b) in changed.items())
        raise UserError(f"{directory.path}: holds a run with other settings ({listed}); choose another --out, or ask for the same")
    return Plan(asked, directory, (), resumes=True, finished=finished)


def _extension(directory: RunDirectory, saved: Run, asked: Run) -> str:
    return (
        f"{directory.path}: finished its schedule of {saved.train.epochs} epochs, the learning rate has gone to 0; "
        f"{asked.train.epochs} epochs is another schedule. Either train it whole (--epochs {asked.train.epochs} with a new --out), "
        f"or start a new cosine from these weights (--set net.init={directory.path} with a new --out)"
    )


def parse_overrides(pairs: list[str]) -> dict[str, str]:
    """Return ``path=value`` texts as a dictionary. Raises UserError for one without ``=``."""
    overrides: dict[str, str] = {}
    for pair in pairs:
        path, equals, text = pair.partition("=")
        if not equals:
            raise UserError(f"--set {pair}: needs path=value, as in --set optim.lr=0.1")
        overrides[path.strip()] = text.strip()
    return overrides


def as_texts(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return Python values as the texts that ``set_value`` reads: ``(0.2, 1)`` becomes ``0.2,1``."""
    return {path: ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value) for path, value in settings.items()}
