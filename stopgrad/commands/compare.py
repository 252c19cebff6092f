"""``stopgrad compare``."""

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from stopgrad.beforehand import check
from stopgrad.commands.training import has_gpu
from stopgrad.commands.words import BACKBONE, add_device, add_images, count, word
from stopgrad.config import METHODS
from stopgrad.errors import UserError
from stopgrad.plan import recipe_name

if TYPE_CHECKING:
    from stopgrad.images.sources import LabelRule

SUMMARY = "train several methods alike, judge them, print one table; resumable row by row"
EXAMPLE = "stopgrad compare photos --epochs 50 --seeds 3"


def add(p: ArgumentParser) -> None:
    """Declare the words."""
    add_images(p)
    p.add_argument(
        "--methods", nargs="+", type=word, choices=tuple(METHODS), help="which (default: all that the images allow; see 'stopgrad methods')"
    )
    p.add_argument(
        "--recipe", default="images", help="whose data, view, backbone and length all share (default: %(default)s, chosen for your images)"
    )
    p.add_argument("--seeds", type=count, default=1, help="runs of each method (default: %(default)s)")
    p.add_argument("--jobs", type=count, help="runs at a time (default: one a core; one on a GPU)")
    p.add_argument("--out", type=Path, default=Path("runs/comparison"), help="folder of the runs and the table (default: %(default)s)")
    p.add_argument("--epochs", help="passes over the images")
    p.add_argument("--batch", help="images a step")
    p.add_argument("--backbone", help=BACKBONE)
    p.add_argument(
        "--set", dest="overrides", metavar="PATH=VALUE", action="append", default=[], help="any setting; METHOD:PATH=VALUE for one method only"
    )
    add_device(p)


def run(asked: Namespace) -> int:
    """``stopgrad compare``."""
    from stopgrad.compare.command import compare as carry_out
    from stopgrad.compare.command import foreseen, shared

    for row in foreseen(asked):
        try:
            check(recipe_name(row.recipe, row.method), row.overrides, row.images, row.out)
        except UserError as error:
            raise UserError(f"{row.method}: {error}") from None
    from stopgrad.images.opened import open_images

    splits = open_images(asked.images, cast("LabelRule", shared(asked)["data.labels"]))
    return carry_out(asked, splits, has_gpu)
