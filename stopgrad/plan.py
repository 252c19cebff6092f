"""From what was asked to a complete run: recipe, overrides, and what a run directory already holds. Imports no torch."""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stopgrad.config import METHODS, RESNETS, Found, Run, differences, problems, set_value
from stopgrad.errors import UserError
from stopgrad.images.bad import listed
from stopgrad.images.place import BUNDLED, existing
from stopgrad.recipes import IMAGES, RECIPES, method_of
from stopgrad.recipes.images import Chosen, Machine, images, name_of, with_method
from stopgrad.runs import RunDirectory

if TYPE_CHECKING:
    from stopgrad.images.sources import Splits

CHANGEABLE = {
    *("data.source", "data.workers", "data.max_bad"),
    *("train.log_every", "train.monitor_every", "train.checkpoint_seconds", "train.keep", "train.milestone_every", "train.on_collapse"),
}
"""Fields that decide no weight: a run may be resumed with other values of these. (That the images are the same is checked by fingerprint.)"""

SETTLED = ("train.precision", "data.residence")
"""Fields whose ``auto`` a run settles when it begins; asking for ``auto`` again is asking for the same."""


@dataclass(frozen=True)
class Plan:
    """A run ready to be trained, or found finished."""

    run: Run
    directory: RunDirectory
    reasons: tuple[str, ...]
    """One line for every choice that a recipe made by itself."""
    resumes: bool
    finished: bool


def plan(splits: "Splits", source: str, recipe: str, out: Path, overrides: Mapping[str, str], has_gpu: Callable[[], bool]) -> Plan:
    """Return the run that ``recipe`` with ``overrides`` (path → text) makes of ``source``; of an existing run directory, the run it holds.

    Raises UserError for an unknown recipe or field, a contradiction, or a request that differs from the run in ``out``.
    """
    recipe = recipe_name(recipe)
    check(recipe, overrides)
    directory = RunDirectory(out)
    if directory.exists():
        return _resumed(directory, splits, source, recipe, overrides)
    chosen = _base(recipe, splits, source, overrides, has_gpu)
    said = tuple(line for path, line in chosen.reasons.items() if path not in overrides)
    return Plan(overridden(_plain_net(chosen.run, overrides), overrides), directory, said, resumes=False, finished=False)


def _base(recipe: str, splits: "Splits", source: str, overrides: Mapping[str, str], has_gpu: Callable[[], bool]) -> Chosen:
    """Return what the recipe says before overrides; what depends on the length and the batch knows those that are asked for."""
    epochs, batch = (_asked(overrides, path) for path in ("train.epochs", "train.batch"))
    if recipe in IMAGES:
        from stopgrad.images.inspect import inspect  # numpy and Pillow: not before the words are known to be right

        return choose(inspect(splits, duplicates=False), source, has_gpu, IMAGES[recipe], epochs, batch)
    name, _, method = recipe.partition("+")
    run = RECIPES[name]()
    run = replace(run, data=replace(run.data, source=source))
    if not method:
        return Chosen(run, {})
    train = replace(run.train, epochs=epochs or run.train.epochs, batch=batch or run.train.batch)
    return with_method(replace(run, train=train), len(splits.train), method)


def _asked(overrides: Mapping[str, str], path: str) -> int | None:
    """Return the number asked for at ``path``, which has been checked to be one; None where it is not asked for, or senseless."""
    return int(overrides[path]) if int(overrides.get(path, 0)) > 0 else None


def recipe_name(recipe: str | None = None, method: str | None = None) -> str:
    """Return the name of the recipe that is meant: the one named, or the method's for one's own images, or SimSiam's.

    A recipe with a method that is not its own is RECIPE+METHOD: the recipe's data, view, backbone and length with the method's own settings.
    Raises UserError when there is no such recipe or method.
    """
    if recipe is not None and "+" in recipe:
        recipe, _, method = recipe.partition("+")
    if method is not None and method not in METHODS:
        raise UserError(f"--method: no method {method!r}; {_meant(method, METHODS)}there are {', '.join(METHODS)}")
    if recipe is None:
        return name_of(method or "simsiam")
    name = {f"{m}/images": name for name, m in IMAGES.items()}.get(recipe, recipe)  # simsiam/images is images
    if name not in IMAGES and name not in RECIPES:
        raise UserError(f"no recipe {recipe!r}; {_meant(recipe, [*IMAGES, *RECIPES])}'stopgrad recipes' lists them")
    if method in (None, method_of(name)):
        return name
    return name_of(method) if name in IMAGES else f"{name}+{method}"


def _meant(word: str, names: Iterable[str]) -> str:
    close = get_close_matches(word, list(names), n=1)
    return f"did you mean {close[0]!r}? " if close else ""


def check(recipe: str, overrides: Mapping[str, str], source: str | None = None) -> None:
    """Raise UserError for what is wrong whatever the images are: a field, a value, a path that is not there. ``recipe`` is one that exists."""
    if source is not None and source != BUNDLED:
        existing(source)
    for path, text in overrides.items():
        set_value(_like(recipe), path, text)


def _like(recipe: str) -> Run:
    """Return a run with the fields that ``recipe`` will have: of one for one's own images, the method's first."""
    if recipe in RECIPES:
        return RECIPES[recipe]()
    method = IMAGES[recipe] if recipe in IMAGES else recipe.partition("+")[2]
    return next(make for name, make in RECIPES.items() if name.startswith(f"{method}/"))()


def choose(
    found: Found, source: str, has_gpu: Callable[[], bool], method: str = "simsiam", epochs: int | None = None, batch: int | None = None
) -> Chosen:
    """Return what the method's images recipe makes of ``found`` on this machine. Raises UserError when there is nothing to train on."""
    if not found.images:
        raise UserError(f"{source}: no usable image; set aside: {listed(found.bad)}")
    return images(replace(found, source=source), Machine(gpu=has_gpu(), cores=os.cpu_count() or 1), method, epochs, batch)


def _plain_net(run: Run, overrides: Mapping[str, str]) -> Run:
    """Return ``run`` without what only our ResNets have (stem, width, zero-init), when another kind of backbone is asked for."""
    name = overrides.get("net.backbone", run.net.backbone)
    if name in RESNETS:
        return run
    return replace(run, net=replace(run.net, stem="imagenet", width=64, zero_init_residual=False))


def overridden(run: Run, overrides: Mapping[str, str]) -> Run:
    """Return ``run`` with every override set. Raises UserError for an unknown field, a wrong value or a contradiction."""
    for path, text in overrides.items():
        run = set_value(run, path, text)
    if found := problems(run):
        raise UserError("; ".join(found))
    return run


def _resumed(directory: RunDirectory, splits: "Splits", source: str, recipe: str, overrides: Mapping[str, str]) -> Plan:
    saved = directory.read_config()
    finished = directory.status().get("state") == "finished"
    if recipe != saved.recipe:
        raise UserError(f"{directory.path}: holds a run of recipe {saved.recipe}, not {recipe}; choose another --out")
    same = {path: text for path, text in overrides.items() if not (path in SETTLED and text == "auto")}
    asked = overridden(replace(saved, data=replace(saved.data, source=source)), same)
    changed = {p: values for p, values in differences(saved, asked).items() if p not in CHANGEABLE}
    if finished and changed.keys() == {"train.epochs"}:
        raise UserError(_extension(directory, saved, asked))
    if changed:
        changes = "; ".join(f"{p} is {a}, asked for {b}" for p, (a, b) in changed.items())
        raise UserError(f"{directory.path}: holds a run with other settings ({changes}); choose another --out, or ask for the same")
    if directory.began_with() != splits.train.fingerprint():
        raise UserError(f"{directory.path}: was begun with other images than {source} holds now; choose another --out")
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
