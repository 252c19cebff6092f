"""Another project's checkpoint as a backbone: its layout recognised by rule, its ResNet by the shapes, every key accounted for."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor, nn

from stopgrad.config import Net
from stopgrad.errors import UserError
from stopgrad.nets.architecture import COUNTER, Architecture, Misfit, architecture
from stopgrad.nets.backbones import Backbone, build
from stopgrad.nets.classifier import ENTRY, load_classifier
from stopgrad.nets.files import Loaded, digest, load
from stopgrad.nets.layouts import LAYOUTS, NAMES, NAMINGS, Layout, known_left, marked, unwrapped
from stopgrad.nets.pickled import Tree, metadata, read

LISTED = 40
"""Layers whose keys an error names; of more, the rest is counted."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What the user says of a file that does not say it itself; None: as its layout has it."""

    layout: str | None = None
    """One of ``layouts.NAMES``; None: the one that fits."""
    stem: str | None = None
    """A 3x3 first convolution's, one of ``config.Net.stem``."""
    size: int | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class Foreign(Loaded):
    """A backbone from a file that holds more than it, another project's or a fine-tuned network's. ``extra``: the file, its SHA-256, and layout."""

    notes: tuple[str, ...]
    """What was taken for granted, a line each."""


@dataclass(frozen=True)
class _Fit:
    """How a file looks under one layout."""

    layout: Layout
    state: dict[str, Tensor]
    """By torchvision's names."""
    found: Architecture | None
    marked: bool
    problems: tuple[str, ...]
    """What does not fit, in words; none: all of it does."""
    worth: int
    """How many keys do not fit."""


def open_file(path: Path, asked: Asked, into: nn.Module | None = None) -> Loaded:
    """Return the backbone in ``path``: stopgrad's own file, which says what it is, or another project's; see ``open_own`` and ``open_foreign``.

    ``into``: a fresh module of the user's own kind, which stopgrad's file may hold.
    """
    if into is None and not {"stopgrad", ENTRY} & metadata(path).keys():
        return open_foreign(path, asked)
    if asked.layout is not None:
        raise UserError(f"{path}: stopgrad's own file, which says itself what it is; leave --layout away")
    found = open_own(path, into)
    if asked.stem is not None and found.net is not None and found.net.stem != asked.stem:
        raise UserError(f"{path}: has the stem {found.net.stem}, not {asked.stem}")
    size, mean, std = colours_and_size(path, found.channels, asked, found.size, found.mean, found.std)
    return replace(found, size=size, mean=mean, std=std)


def open_own(path: Path, into: nn.Module | None = None) -> Loaded:
    """Return the backbone in a file that stopgrad wrote, of a backbone or of a fine-tuned network. Raises UserError as their readers do.

    Of a fine-tuned network what stands on its backbone, the kept layers of the projector and the classifier, is left out, and a note says so.
    """
    if ENTRY not in metadata(path):
        return load(path, into)
    tuned = load_classifier(path, into)
    left = f"the classifier (fc){f' and the {tuned.network.layers} layers below it (head) are' if tuned.network.layers else ' is'} left out"
    note = f"{path}: a network that was fine-tuned to {len(tuned.classes)} classes; its backbone is taken, {left}"
    return described(path, tuned.network.backbone.train(), tuned.net, (tuned.size, tuned.mean, tuned.std), ENTRY, (note,))


def open_foreign(path: Path, asked: Asked) -> Foreign:
    """Return the backbone in another project's file, its features those of the source network; nothing in the file is executed.

    The random state is left as it was. Raises UserError when the file cannot be read safely, when no layout fits or several do,
    when keys are missing or left over, and when the tensors are of no known ResNet.
    """
    if asked.layout is not None and asked.layout not in NAMES:
        close = get_close_matches(asked.layout, NAMES, n=1)
        raise UserError(f"--layout: {asked.layout!r} is none of {', '.join(NAMES)}{f'; did you mean {close[0]!r}?' if close else ''}")
    fit = _recognised(path, read(path), asked.layout)
    assert fit.found is not None
    net = Net(backbone=fit.found.backbone, stem=_stem(path, fit, asked), width=fit.found.width, zero_init_residual=False)  # type: ignore[arg-type]
    size, (mean, std) = (fit.layout.size, fit.layout.colours) if fit.found.kernel == 7 else fit.layout.small
    settings = colours_and_size(path, fit.found.channels, asked, size, mean, std)
    backbone = fresh(net, fit.found.channels, settings[0])
    fill(backbone, fit.state)
    return described(path, backbone, net, settings, fit.layout.name, (_assumed(fit.layout, settings, asked),))


def fresh(net: Net, channels: int, size: int) -> Backbone:
    """Return ``net`` freshly initialised, always with the same weights. The random state is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        return build(net, channels, size)


def fill(backbone: Backbone, state: Mapping[str, Tensor]) -> None:
    """Give ``backbone`` the tensors of ``state``, which fit it, in its own type; a missing count of batches is 0."""
    with torch.no_grad():
        for name, value in backbone.net.state_dict().items():
            value.copy_(state[name]) if name in state or not name.endswith(COUNTER) else value.zero_()


def described(
    path: Path, backbone: Backbone, net: Net | None, settings: tuple[int, tuple[float, ...], tuple[float, ...]], layout: str, notes: tuple[str, ...]
) -> Foreign:
    """Return ``backbone`` with what is to be known of it and of the file it is from."""
    size, mean, std = settings
    with open(path, "rb") as file:
        origin = hashlib.file_digest(file, "sha256").hexdigest()
    extra = {"origin": path.name, "origin_sha256": origin, "layout": layout}
    return Foreign(
        net=net,
        channels=backbone.channels,
        size=size,
        mean=mean,
        std=std,
        sha256=digest(backbone),
        extra=extra,
        backbone=backbone,
        notes=notes,
    )


def colours_and_size(
    path: Path, channels: int, asked: Asked, size: int, mean: tuple[float, ...], std: tuple[float, ...]
) -> tuple[int, tuple[float, ...], tuple[float, ...]]:
    """Return size, mean and std as ``asked`` for, else as given. Raises UserError where they do not fit ``channels`` channels."""
    for option, values in (("--mean", asked.mean or mean), ("--std", asked.std or std)):
        if len(values) not in (1, channels):
            raise UserError(f"{path}: takes images of {channels} channels; give {option} one value, or {channels} with commas between them")
    if asked.std is not None and min(asked.std) <= 0:
        raise UserError(f"--std: above 0, not {min(asked.std):g}")
    return asked.size or size, asked.mean or mean, asked.std or std


def folded(keys: Sequence[str]) -> str:
    """Return ``keys`` layer by layer, as in ``fc.{weight, bias}``."""
    layers: dict[str, list[str]] = {}
    for key in keys:
        layer, dot, last = key.rpartition(".")
        layers.setdefault(layer + dot, []).append(last)
    said = [f"{layer}{'{' + ', '.join(last) + '}' if len(last) > 1 else last[0]}" for layer, last in layers.items()]
    rest = len(said) - LISTED
    return ", ".join(said[:LISTED]) + (f" and {rest} layers more" if rest > 0 else "")


def differing(missing: Sequence[str], unknown: Sequence[str], unlike: Sequence[str]) -> tuple[str, ...]:
    """Return in words what does not fit."""
    said = [f"missing in the file: {folded(missing)}"] if missing else []
    said += [f"left over and not known: {folded(unknown)}"] if unknown else []
    return (*said, *([f"of another shape: {'; '.join(unlike[:LISTED])}"] if unlike else []))


def at(tree: Tree, names: tuple[str, ...]) -> Mapping[str, Any] | None:
    """Return the mapping that lies in ``tree`` where ``names`` lead; None where there is none."""
    found: Any = tree
    for name in names:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) and all(isinstance(key, str) for key in found) else None


def _recognised(path: Path, tree: Tree, name: str | None) -> _Fit:
    """Return how the file fits the layout ``name``, or the only one that it fits; see ``open_foreign``."""
    fits = [fit for layout in LAYOUTS if name in (None, layout.name) for fit in _fits(layout, tree)]
    whole = [fit for fit in fits if not fit.problems and (fit.marked or name)]
    if len(whole) == 1:
        return whole[0]
    if whole:
        raise UserError(f"{path}: fits {' and '.join(fit.layout.name for fit in whole)}; say which by --layout")
    if alike := [fit.layout.name for fit in fits if not fit.problems]:
        raise UserError(f"{path}: its keys say too little: they would do for {' and '.join(alike)}; say which by --layout")
    if fits:
        nearest = min(fits, key=lambda fit: fit.worth)
        how = "not" if name else "no layout's; nearest"
        raise UserError(f"{path}: {how} {nearest.layout.name} ({nearest.layout.of}): {'; '.join(nearest.problems)}")
    known = f"where {name} has it" if name else f"under any layout ({', '.join(NAMES)})"
    raise UserError(f"{path}: no ResNet is found {known}; the file holds {_sample(tree)}; see docs/checkpoints.md")


def _sample(tree: Tree) -> str:
    """Return what a file holds, and of each table in it the first keys."""
    tables = [
        f"{name} ({', '.join([str(key) for key in list(table)[:3]])}, …)" for name, table in tree.items() if isinstance(table, Mapping) and table
    ]
    others = folded([str(key) for key, value in tree.items() if not isinstance(value, Mapping)])
    return ", ".join([*tables[:LISTED], *([others] if others else [])]) or "nothing"


def _fits(layout: Layout, tree: Tree) -> list[_Fit]:
    """Return how the file fits ``layout``, for every place where it may lie and something like a ResNet does."""
    return [fit for names in layout.at if (table := at(tree, names)) is not None and (fit := _fit(layout, table)) is not None]


def _fit(layout: Layout, table: Mapping[str, Any]) -> _Fit | None:
    state: dict[str, Tensor] = {}
    keys: dict[str, str] = {}
    strange: list[str] = []
    for key, value in table.items():
        bare = unwrapped(key)
        if known_left(layout, bare):
            continue
        name = NAMINGS[layout.naming](bare.removeprefix(layout.prefix)) if bare.startswith(layout.prefix) else None
        if name is None or name in state or not isinstance(value, Tensor):
            strange.append(key)
        else:
            state[name], keys[name] = value, key
    if not any(name == "conv1.weight" or name.startswith("layer1.0.") for name in state):
        return None
    recognised = marked(layout, [unwrapped(key) for key in table])
    try:
        found = architecture(state)
    except Misfit as misfit:
        return _Fit(layout, state, None, recognised, (*differing((), strange, ()), str(misfit)), len(strange) + len(state))
    unknown = strange + [keys[name] for name in found.unknown]
    problems = differing(found.missing, unknown, found.unlike)
    return _Fit(layout, state, found, recognised, problems, len(found.missing) + len(unknown) + len(found.unlike))


def _stem(path: Path, fit: _Fit, asked: Asked) -> str:
    assert fit.found is not None
    stems = [stem for stem in get_args(Net.__annotations__["stem"]) if (stem == "imagenet") == (fit.found.kernel == 7)]
    if asked.stem is not None:
        if asked.stem not in stems:
            raise UserError(
                f"{path}: its first convolution is {fit.found.kernel}x{fit.found.kernel}; --stem is one of {', '.join(stems)}, not {asked.stem}"
            )
        return asked.stem
    if len(stems) == 1:
        return str(stems[0])
    if fit.layout.stem is None:
        meant = "cifar (stride 1), cifar-padded (stride 1, 2 pixels of padding) or small (stride 2)"
        raise UserError(f"{path}: its first convolution is 3x3, and the weights do not tell its stride; say it by --stem: {meant}")
    return fit.layout.stem


def _assumed(layout: Layout, settings: tuple[int, tuple[float, ...], tuple[float, ...]], asked: Asked) -> str:
    """Return in one line how images are prepared, and who says so."""
    size, mean, std = settings
    given = [name for name, value in (("size", asked.size), ("mean", asked.mean), ("std", asked.std)) if value is not None]
    usual = "ImageNet's, which the file does not say" if layout.name == "torchvision" else f"as {layout.name} has it"
    who = "as asked" if len(given) == 3 else f"{usual}{', but for ' + ' and '.join(given) if given else ''}; --size, --mean and --std say otherwise"
    return f"layout {layout.name}; images of {size} pixels, minus {_listed(mean)}, over {_listed(std)}: {who}"


def _listed(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:g}" for value in values)
