"""``stopgrad pretrain``."""

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from stopgrad.beforehand import check, overrides_of
from stopgrad.commands.training import has_gpu, train
from stopgrad.commands.words import ANY_SETTING, BACKBONE, add_device, add_images, add_method
from stopgrad.plan import plan, recipe_name

if TYPE_CHECKING:
    from stopgrad.images.sources import LabelRule

SUMMARY = "train a backbone without labels; the same command again resumes"
EXAMPLE = "stopgrad pretrain photos --epochs 100 --out runs/photos"


def add(p: ArgumentParser) -> None:
    """Declare the words."""
    add_images(p)
    add_method(p)
    p.add_argument("--recipe", help="settings to start from, see 'stopgrad recipes' (default: images, or METHOD/images: chosen for your images)")
    p.add_argument("--out", type=Path, help="run directory (default: runs/NAME-RECIPE)")
    p.add_argument("--backbone", help=BACKBONE)
    p.add_argument("--epochs", help="passes over the images")
    p.add_argument("--batch", help="images a step")
    p.add_argument("--seed", help="seed of everything random")
    p.add_argument("--bn", choices=("sync", "local", "split"), help="BN statistics: of the whole batch, of a process, of equal parts (MoCo's)")
    p.add_argument("--workers", help="decoding processes when images are streamed; -1: one a core")
    p.add_argument("--on-collapse", choices=("stop", "warn"), help="what a collapse does (default: the recipe's, warn)")
    p.add_argument("--tensorboard", action="store_true", help="also write TensorBoard events into the run (extra: tensorboard)")
    p.add_argument("--set", dest="overrides", metavar="PATH=VALUE", action="append", default=[], help=ANY_SETTING)
    add_device(p)


def run(asked: Namespace) -> int:
    """``stopgrad pretrain``."""
    overrides, recipe = overrides_of(vars(asked), asked.overrides), recipe_name(asked.recipe, asked.method)
    out = asked.out or Path("runs") / f"{Path(asked.images).name or 'images'}-{recipe.replace('/', '-')}"
    check(recipe, overrides, asked.images, out)
    from stopgrad.images.opened import open_images

    splits = open_images(asked.images, cast("LabelRule", overrides["data.labels"]))
    planned = plan(splits, asked.images, recipe, out, overrides, has_gpu)
    return train(planned, splits, asked.device, asked.tensorboard)
