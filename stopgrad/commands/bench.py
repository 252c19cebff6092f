"""``stopgrad bench``."""

from argparse import ArgumentParser, Namespace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, cast

from stopgrad.beforehand import check, overrides_of
from stopgrad.commands.training import DONE, has_gpu
from stopgrad.commands.words import ANY_SETTING, BACKBONE, LABELS, add_device, add_method
from stopgrad.images.place import BUNDLED
from stopgrad.plan import plan, recipe_name

if TYPE_CHECKING:
    from stopgrad.images.sources import LabelRule

SUMMARY = "where a step's time goes on this machine, how near it is to the ceiling, what to choose"
EXAMPLE = "stopgrad bench --data photos"


def add(p: ArgumentParser) -> None:
    """Declare the words."""
    p.add_argument("--data", metavar="IMAGES", default="bundled", help="images whose run is measured (default: %(default)s, with the demo's recipe)")
    p.add_argument("--labels", choices=("auto", "folders", "none"), default="auto", help=LABELS)
    add_method(p)
    p.add_argument("--recipe", help="settings to measure (default: chosen for the images)")
    p.add_argument("--backbone", help=BACKBONE)
    p.add_argument("--batch", help="images a step")
    p.add_argument("--set", dest="overrides", metavar="PATH=VALUE", action="append", default=[], help=ANY_SETTING)
    add_device(p)


def run(asked: Namespace) -> int:
    """``stopgrad bench``."""
    own = asked.recipe or ("demo" if asked.data == BUNDLED and asked.method is None else None)
    overrides, recipe = overrides_of(vars(asked), asked.overrides), recipe_name(own, asked.method)
    check(recipe, overrides, asked.data)
    from stopgrad.images.opened import open_images

    splits = open_images(asked.data, cast("LabelRule", overrides["data.labels"]))
    with TemporaryDirectory() as nowhere:
        planned = plan(splits, asked.data, recipe, Path(nowhere) / "run", overrides, has_gpu)
    from stopgrad.bench.measured import measured
    from stopgrad.device import pick_device

    for line in measured(planned.run, splits.train, pick_device(asked.device)):
        print(line, flush=True)
    return DONE
