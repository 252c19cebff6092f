"""What is wrong whatever the images are, told before one is opened. Imports no torch."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from stopgrad.config import RESNETS, Data, Found, Run, problems, set_value
from stopgrad.errors import UserError
from stopgrad.files import refuse_unwritable
from stopgrad.images.place import BUNDLED, existing
from stopgrad.nets.names import locate
from stopgrad.onward import timm_can_express
from stopgrad.plan import as_begun, asked_length, complete, overridden, parse_overrides, plain_net
from stopgrad.recipes import IMAGES, RECIPES
from stopgrad.recipes.images import Machine, images
from stopgrad.runs import RunDirectory, backbone_file
from stopgrad.wanted import refuse_unbuildable, wanted

FLAGS = {
    "labels": "data.labels",
    "backbone": "net.backbone",
    "epochs": "train.epochs",
    "batch": "train.batch",
    "seed": "train.seed",
    "bn": "train.bn",
    "workers": "data.workers",
    "on_collapse": "train.on_collapse",
}
"""Options that name a field of their own."""

PACKED = ("data.max_bad", "data.max_pixels")
"""Fields that ``--set`` sets for packing, first that of a pack of files."""
SHORT_SIDE = 256
"""Pixels to which a pack reduces shorter sides, where nothing else is asked for."""

SMALL_SET = Found(
    source="",
    images=20,
    test_images=0,
    bad=(),
    short_side=(28, 28, 28),
    equal_size=True,
    channels=((1, 20),),
    bits=8,
    classes=2,
    duplicates=0,
    decoded_bytes=0,
    mean=(0.5,),
    std=(0.25,),
)
LARGE_SET = replace(SMALL_SET, images=2_000_000, short_side=(400, 400, 400), channels=((3, 2_000_000),))
EXTREMES = (
    (SMALL_SET, Machine(gpu=False, cores=1)),
    (replace(SMALL_SET, images=3000, short_side=(100, 100, 100)), Machine(gpu=False, cores=1)),
    (LARGE_SET, Machine(gpu=True, cores=1)),
)
"""Images and machines as different as can be: what is wrong with all the runs fitted to them, word for word, is wrong with any."""


def overrides_of(options: Mapping[str, Any], pairs: Sequence[str]) -> dict[str, str]:
    """Return what was asked for, path to text: by the ``options`` that name a field, where they are given, and by the ``pairs`` of ``--set``.

    Raises UserError where the two differ over a field, and where an extra is asked for that is not installed.
    """
    _refuse_without_tensorboard(bool(options.get("tensorboard")))
    settings = parse_overrides(pairs)
    flags = {name: str(options[name]) for name in FLAGS if options.get(name) is not None}
    for name, text in flags.items():
        other = settings.get(FLAGS[name], text)
        if other != text and (name, text) != ("labels", "auto"):  # which is also what nobody asked for
            raise UserError(f"--{name.replace('_', '-')} {text} and --set {FLAGS[name]}={other} contradict each other; give one of them")
    return {FLAGS[name]: text for name, text in flags.items()} | settings


def words_for(path: str, text: str) -> tuple[str, str]:
    """Return the words of ``stopgrad pretrain`` that set a field: its own option, where it has one."""
    option = next((name for name, field in FLAGS.items() if field == path), None)
    return ("--set", f"{path}={text}") if option is None else (f"--{option.replace('_', '-')}", text)


def check(recipe: str, overrides: Mapping[str, str], source: str | None = None, out: Path | None = None) -> None:
    """Raise UserError for what is wrong whatever the images are: paths, fields, values, contradictions, a backbone's name, what stands in ``out``.

    ``recipe`` is one that exists. What only begins a run, ``net.init``, is not looked for where one stands in ``out``.
    """
    if source is not None:
        refuse_missing(source)
    likely = _likely(recipe, overrides)
    found = [_wrong(run, overrides) for run in likely]
    if certain := [line for line in found[0] if all(line in lines for lines in found)]:
        raise UserError("; ".join(certain))
    if out is not None:
        directory = RunDirectory(out)
        if not os.path.isfile(out):  # of which the next line says more
            refuse_unwritable(out)
        directory.refuse_others()
        if directory.exists():
            as_begun(directory, recipe, overrides)
            return
    if (init := overrides.get("net.init", "none")).lower() != "none":
        _refuse_init(init)
    net = likely[0].net
    backbone = overrides.get("net.backbone", net.backbone)
    if not replace(net, backbone=backbone).own:
        locate(backbone)


def packing(short_side: int | None, channels: int | None, as_files: bool, pairs: Sequence[str]) -> Data:
    """Return how images are read for a pack, but for the channels; of one ``as_files`` only ``max_bad`` counts.

    Raises UserError for what contradicts ``as_files``, a field that has nothing to do with a pack, or a wrong value.
    """
    settings = parse_overrides(pairs)
    for option, value in (("--short-side", short_side), ("--channels", channels)):
        if as_files and value is not None:
            raise UserError(f"{option} {value} and --as-files contradict each other: files are kept as they are; give one of them")
    if other := [path for path in settings if path not in (PACKED[:1] if as_files else PACKED)]:
        what = f"a pack of files is made by; there is {PACKED[0]}"
        what = what if as_files else f"a pack is made by; there are {' and '.join(PACKED)}, --short-side and --channels"
        raise UserError(f"--set {other[0]}: is none of what {what}")
    return overridden(RECIPES["demo"](), {"data.short_side": str(short_side or SHORT_SIDE)} | settings).data


def refuse_taken(out: Path) -> None:
    """Raise UserError when something is where a folder is to be made."""
    if os.path.lexists(out):
        raise UserError(f"{out}: exists; choose another place, or remove it")
    refuse_unwritable(out.parent)


def refuse_missing(images: str) -> None:
    """Raise UserError when nothing is where ``images`` are said to be."""
    if images != BUNDLED:
        existing(images)


def refuse_no_run(path: Path) -> None:
    """Raise UserError when ``path`` holds neither a run nor evaluations of something else, naming the nearest folder."""
    if (existing(str(path)) / "what.json").exists():
        return
    RunDirectory(path).read_config()


def refuse_untrained(path: Path, alone: bool = False, target: str = "") -> None:
    """Raise UserError when there is no run, no backbone in it yet, or one that only Python can build, or that an export's ``target`` has not.

    ``alone``: a backbone file is enough.
    """
    existing(str(path))
    if not (alone and path.is_file()):
        refuse_unbuildable(path)
    backbone_file(path)
    _refuse_not_timms(path, target)


def refuse_head(path: Path, layers: int) -> None:
    """Raise UserError when the projector of the run in ``path`` has fewer ``layers``."""
    method = RunDirectory(path).read_config().method
    has = len(getattr(method, "projector", ()))
    if not 0 <= layers <= has:
        raise UserError(f"{path}: --head {layers}: the projector of {method.name} has {has} layers")


def refuse_place(path: Path | None, suffix: str) -> None:
    """Raise UserError when ``path`` cannot become a file of the kind that ``suffix`` says."""
    if path is None:
        return
    if os.path.isdir(path):
        raise UserError(f"{path}: a folder; name a file in it")
    if path.suffix != suffix:
        raise UserError(f"--out {path}: what is written there is a {suffix} file; give it that ending")
    refuse_unwritable(path.parent)


def _likely(recipe: str, overrides: Mapping[str, str]) -> list[Run]:
    """Return the run that ``recipe`` is; where it depends on the images, runs as different as these can make them."""
    length = asked_length(overrides)
    if recipe in IMAGES:
        return [images(found, machine, IMAGES[recipe], *length).run for found, machine in EXTREMES]
    return [complete(recipe, count, *length).run for count in (SMALL_SET.images, LARGE_SET.images)]


def _wrong(run: Run, overrides: Mapping[str, str]) -> list[str]:
    """Return what is wrong with ``run`` once ``overrides`` are set."""
    run = plain_net(run, overrides)
    for path, text in overrides.items():
        try:
            run = set_value(run, path, text)
        except UserError as error:
            return [str(error)]
    return problems(run)


def _refuse_init(init: str) -> None:
    """Raise UserError when a run cannot start from what ``init`` means."""
    if not wanted(init).trained:
        raise UserError(f"net.init: {init} is a network without weights; name some, as in {init}:FILE, or leave it away")


def _refuse_without_tensorboard(wanted: bool) -> None:
    """Raise UserError when TensorBoard is ``wanted`` and not installed."""
    if wanted and find_spec("tensorboard") is None:
        raise UserError("--tensorboard: TensorBoard is not installed; pip install 'stopgrad[tensorboard]' (or '.[tensorboard]' from a clone)")


def _refuse_not_timms(run_directory: Path, target: str) -> None:
    """Raise UserError when timm is the ``target`` and the run's backbone is one of ours that timm has not."""
    if target != "timm" or not run_directory.is_dir():
        return
    net = RunDirectory(run_directory).read_config().net
    if net.backbone in RESNETS and not timm_can_express(net):
        asked = f"stem {net.stem} and width {net.width}, timm's has imagenet and 64"
        raise UserError(f"{run_directory}: this {net.backbone} has {asked}; use --to torchvision or --to safetensors")
