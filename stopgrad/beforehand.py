"""What is wrong whatever the images are, told before one is opened. Imports no torch, but for backbones that only other libraries can know."""

import re
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from stopgrad.config import RESNETS, Found, Run, problems, set_value
from stopgrad.errors import UserError
from stopgrad.images.place import BUNDLED, existing
from stopgrad.plan import as_begun, asked_length, complete, parse_overrides, plain_net
from stopgrad.recipes import IMAGES
from stopgrad.recipes.images import Machine, images
from stopgrad.runs import RunDirectory, backbone_file

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

TIMMS = ("resnet26", "resnet200")
"""Networks of timm that are called as ours are."""

FEW = Found(
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
MANY = replace(FEW, images=2_000_000, short_side=(400, 400, 400), channels=((3, 2_000_000),))
EXTREMES = (
    (FEW, Machine(gpu=False, cores=1)),
    (replace(FEW, images=3000, short_side=(100, 100, 100)), Machine(gpu=False, cores=1)),
    (MANY, Machine(gpu=True, cores=1)),
)
"""Images and machines as different as can be: what is wrong with all the runs fitted to them, word for word, is wrong with any."""


def overrides_of(asked: Namespace) -> dict[str, str]:
    """Return what was asked for, path to text. Raises UserError where an option and ``--set`` differ over a field."""
    settings = parse_overrides(asked.overrides)
    flags = {name: text for name in FLAGS if (text := getattr(asked, name)) is not None}
    for name, text in flags.items():
        other = settings.get(FLAGS[name], text)
        if other != text and (name, text) != ("labels", "auto"):  # which is also what nobody asked for
            raise UserError(f"--{name.replace('_', '-')} {text} and --set {FLAGS[name]}={other} contradict each other; give one of them")
    return {FLAGS[name]: text for name, text in flags.items()} | settings


def check(recipe: str, overrides: Mapping[str, str], source: str | None = None, out: Path | None = None) -> None:
    """Raise UserError for what is wrong whatever the images are: paths, fields, values, contradictions, a backbone's name, what stands in ``out``.

    ``recipe`` is one that exists.
    """
    if source is not None:
        named(source)
    found = [_wrong(run, overrides) for run in _likely(recipe, overrides)]
    if certain := [line for line in found[0] if all(line in lines for lines in found)]:
        raise UserError("; ".join(certain))
    if out is not None:
        directory = RunDirectory(out)
        directory.refuse_others()
        if directory.exists():
            as_begun(directory, recipe, overrides)
    if (init := overrides.get("net.init", "none")).lower() != "none":
        backbone_file(Path(init))
    _known(overrides.get("net.backbone", RESNETS[0]))


def named(images: str) -> None:
    """Raise UserError when nothing is where ``images`` are said to be."""
    if images != BUNDLED:
        existing(images)


def run_directory(path: Path) -> Run:
    """Return the run that ``path`` holds. Raises UserError when there is none, naming the nearest folder."""
    existing(str(path))
    return RunDirectory(path).read_config()


def trained(path: Path, alone: bool = False) -> None:
    """Raise UserError when there is no run, no backbone in it yet, or one that only Python can build; ``alone``: a backbone file is enough."""
    existing(str(path))
    if not (alone and path.is_file()):
        run = RunDirectory(path).read_config()
        if run.net.backbone.startswith("module:"):
            raise UserError(
                f"{path}: its backbone is a module of your own, for Python only: stopgrad.load_backbone({str(path)!r}, into=YourModule())"
            )
    backbone_file(path)


def file_to_write(path: Path | None) -> None:
    """Raise UserError when a folder is in the way."""
    if path is not None and path.is_dir():
        raise UserError(f"{path}: a folder; name a file in it")


def _likely(recipe: str, overrides: Mapping[str, str]) -> list[Run]:
    """Return the run that ``recipe`` is; where it depends on the images, runs as different as these can make them."""
    length = asked_length(overrides)
    if recipe in IMAGES:
        return [images(found, machine, IMAGES[recipe], *length).run for found, machine in EXTREMES]
    return [complete(recipe, count, *length).run for count in (FEW.images, MANY.images)]


def _wrong(run: Run, overrides: Mapping[str, str]) -> list[str]:
    """Return what is wrong with ``run`` once ``overrides`` are set."""
    run = plain_net(run, overrides)
    for path, text in overrides.items():
        try:
            run = set_value(run, path, text)
        except UserError as error:
            return [str(error)]
    return problems(run)


def _known(backbone: str) -> None:
    """Raise UserError when there is no such backbone. Modules of the user's own are not looked up."""
    if backbone in RESNETS or backbone.startswith("module:"):
        return
    if re.fullmatch(r"resnet\d+", backbone) and backbone not in TIMMS:
        raise UserError(f"net.backbone: no {backbone!r}; there are {', '.join(RESNETS)}, and timm's {' and '.join(TIMMS)}")
    from stopgrad.nets.backbones import locate  # seconds, which only a network of another library costs

    locate(backbone)
