"""From what was asked to a complete run: recipe, overrides, and what a run directory already holds. Imports no torch."""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stopgrad.config import METHODS, RESNETS, Found, Run, differences, problems, set_value
from stopgrad.errors import UserError, meant
from stopgrad.images.bad import listed, refuse_few, refuse_several
from stopgrad.recipes import IMAGES, RECIPES, method_of
from stopgrad.recipes.images import Chosen, Machine, images, name_of, refuse_unlabelled, with_method
from stopgrad.runs import RunDirectory

if TYPE_CHECKING:
    from stopgrad.images.sources import Splits

CHANGEABLE = {
    *("data.source", "data.workers", "data.max_bad"),
    *("train.log_every", "train.monitor_every", "train.checkpoint_seconds", "train.keep", "train.milestone_every", "train.on_collapse"),
}
"""Fields that decide no weight: a run may be resumed with other values of these. (That the images are the same is checked by fingerprint.)"""

SETTLED = {"train.precision": "auto", "data.residence": "auto", "train.threads": "0"}
"""Fields that a run settles when it begins, with the word that leaves them to it; asking that again is asking for the same."""


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
    directory = RunDirectory(out)
    if directory.exists():
        asked, finished = as_begun(directory, recipe, overrides, source)
        if directory.began_with() != splits.train.fingerprint():
            raise UserError(f"{out}: was begun with other images than {source} holds now; choose another --out")
        return Plan(asked, directory, (), resumes=True, finished=finished)
    labelled(recipe, splits)
    refuse_few(asked_length(overrides)[1] or 0, len(splits.train))  # before every image is looked at
    chosen = resolved(recipe, splits, source, overrides, has_gpu)
    run = chosen.run
    if recipe not in IMAGES and run.train.batch > len(splits.train) and "train.batch" not in overrides:
        fitted = name_of(method_of(recipe))
        raise UserError(
            f"--recipe {recipe}: a step takes {run.train.batch} images and {source} has {len(splits.train)}; "
            f"take a smaller --batch, or --recipe {fitted}, which fits itself to them"
        )
    refuse_few(run.train.batch, len(splits.train))
    return Plan(run, directory, _standing(chosen.reasons, overrides), resumes=False, finished=False)


def labelled(recipe: str, splits: "Splits") -> None:
    """Raise UserError when the recipe's method needs labels, and there are none."""
    method = recipe.partition("+")[2] or method_of(recipe)
    if METHODS[method].needs_labels:
        refuse_several(splits, method)
    refuse_unlabelled(method, len(splits.train.classes or ()))


def resolved(recipe: str, splits: "Splits", source: str, overrides: Mapping[str, str], has_gpu: Callable[[], bool]) -> Chosen:
    """Return the run that ``recipe`` with ``overrides`` makes of ``source``, and what was chosen for it. Raises UserError as ``overridden`` does."""
    chosen = _base(recipe, splits, source, overrides, has_gpu)
    return replace(chosen, run=overridden(plain_net(chosen.run, overrides), overrides))


def _base(recipe: str, splits: "Splits", source: str, overrides: Mapping[str, str], has_gpu: Callable[[], bool]) -> Chosen:
    """Return what the recipe says before overrides; what depends on the length and the batch knows those that are asked for."""
    length = asked_length(overrides)
    if recipe in IMAGES:
        return choose(_looked_at(splits), source, has_gpu, IMAGES[recipe], *length)
    chosen = complete(recipe, len(splits.train), *length)
    return replace(chosen, run=replace(chosen.run, data=replace(chosen.run.data, source=source)))


@lru_cache(maxsize=2)
def _looked_at(splits: "Splits") -> Found:
    """Return what the images are. Once: a study asks for every row, and every header is read."""
    from stopgrad.images.inspect import inspect  # numpy and Pillow: not before the words are known to be right

    return inspect(splits, duplicates=False)


def complete(recipe: str, images: int, epochs: int | None, batch: int | None) -> Chosen:
    """Return the run of a recipe that is complete by itself, or of RECIPE+METHOD, whose method is fitted to the number of images and the length."""
    name, _, method = recipe.partition("+")
    run = RECIPES[name]()
    if not method:
        return Chosen(run, {})
    train = replace(run.train, epochs=epochs or run.train.epochs, batch=batch or run.train.batch)
    return with_method(replace(run, train=train), images, method)


def asked_length(overrides: Mapping[str, str]) -> tuple[int | None, int | None]:
    """Return the epochs and the batch asked for; None where one is not asked for, or senseless, which ``problems`` tells."""
    return _number(overrides.get("train.epochs")), _number(overrides.get("train.batch"))


def _number(text: str | None) -> int | None:
    try:
        return max(int(text or 0), 0) or None
    except ValueError:
        return None


def _standing(reasons: Mapping[str, str], overrides: Mapping[str, str]) -> tuple[str, ...]:
    """Return the reasons that speak of no field that was set otherwise, nor of one above or below it."""
    changed = [_keys(path) for path in overrides]

    def stands(about: str) -> bool:
        return not any(all(a == b for a, b in zip(_keys(path), keys, strict=False)) for path in about.split(",") for keys in changed)

    return tuple(line for about, line in reasons.items() if stands(about))


def _keys(path: str) -> list[str]:
    return [key for key in path.split(".") if not key.isdigit()]  # a field of one view is one of the views


def recipe_name(recipe: str | None = None, method: str | None = None) -> str:
    """Return the name of the recipe that is meant: the one named, or the method's for one's own images, or SimSiam's.

    A recipe with a method that is not its own is RECIPE+METHOD: the recipe's data, view, backbone and length with the method's own settings.
    Raises UserError when there is no such recipe or method.
    """
    if recipe is not None and "+" in recipe:
        recipe, _, method = recipe.partition("+")
    if method is not None and method not in METHODS:
        raise UserError(f"--method: no method {method!r}; {meant(method, METHODS)}there are {', '.join(METHODS)}")
    if recipe is None:
        return name_of(method or "simsiam")
    name = {f"{m}/images": name for name, m in IMAGES.items()}.get(recipe, recipe)  # simsiam/images is images
    if name not in IMAGES and name not in RECIPES:
        nearest = f"did you mean {recipe + '/images'!r}? " if recipe in METHODS else meant(recipe, [*IMAGES, *RECIPES])
        raise UserError(f"no recipe {recipe!r}; {nearest}'stopgrad recipes' lists them")
    if method in (None, method_of(name)):
        return name
    if recipe in ("images", "simsiam/images"):  # which is whoever's: the default is called so
        return name_of(method)
    if name in IMAGES:
        raise UserError(f"--recipe {recipe} and --method {method} contradict each other; give one of them")
    return f"{name}+{method}"


def choose(
    found: Found, source: str, has_gpu: Callable[[], bool], method: str = "simsiam", epochs: int | None = None, batch: int | None = None
) -> Chosen:
    """Return what the method's images recipe makes of ``found`` on this machine. Raises UserError when there is nothing to train on."""
    if not found.images:
        raise UserError(f"{source}: no usable image" + (f"; set aside: {listed(found.bad)}" if found.bad else ""))
    return images(replace(found, source=source), Machine(gpu=has_gpu(), cores=os.cpu_count() or 1), method, epochs, batch)


def plain_net(run: Run, overrides: Mapping[str, str]) -> Run:
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


def as_begun(directory: RunDirectory, recipe: str, overrides: Mapping[str, str], source: str | None = None) -> tuple[Run, bool]:
    """Return the run that ``directory`` holds, with what may be changed, and whether it is finished. Raises UserError for a request that differs."""
    saved = directory.read_config()
    finished = directory.status().get("state") == "finished"
    if recipe != saved.recipe:
        raise UserError(f"{directory.path}: holds a run of recipe {saved.recipe}, not {recipe}; choose another --out")
    same = {path: text for path, text in overrides.items() if SETTLED.get(path) != text}
    asked = overridden(replace(saved, data=replace(saved.data, source=source or saved.data.source)), same)
    changed = {p: values for p, values in differences(saved, asked).items() if p not in CHANGEABLE}
    if finished and changed.keys() == {"train.epochs"}:
        raise UserError(_extension(directory, saved, asked))
    if changed:
        changes = "; ".join(f"{p} is {a}, asked for {b}" for p, (a, b) in changed.items())
        raise UserError(f"{directory.path}: holds a run with other settings ({changes}); choose another --out, or ask for the same")
    return asked, finished


def _extension(directory: RunDirectory, saved: Run, asked: Run) -> str:
    return (
        f"{directory.path}: finished its schedule of {saved.train.epochs} epochs, the learning rate has gone to 0; "
        f"{asked.train.epochs} epochs is another schedule. Either train it whole (--epochs {asked.train.epochs} with a new --out), "
        f"or start a new cosine from these weights (--set net.init={directory.path} with a new --out)"
    )


def doubts(run: Run, short_side: int) -> list[str]:
    """Return what is likely not meant: views larger than the images, by their median shorter side, or than what the backbone is judged at."""
    largest = max(view.size for view in run.views)
    small = f"views of {largest} pixels enlarge the images, whose median shorter side is {short_side}"
    below = f"data.size is {run.data.size}, below views of {largest} pixels: the backbone is judged and used at a smaller size than it is trained at"
    return [line for line, holds in ((small, short_side < largest), (below, run.data.size < largest)) if holds]


def parse_overrides(pairs: Iterable[str]) -> dict[str, str]:
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
