"""``stopgrad study``."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from stopgrad.beforehand import refuse_missing
from stopgrad.commands.training import DONE
from stopgrad.commands.words import BACKBONE, add_device, count
from stopgrad.errors import UserError
from stopgrad.files import refuse_unwritable

SUMMARY = "the papers' experiments: rows that each change named values, a table, and whether the finding holds here"
EXAMPLE = "stopgrad study stop-gradient --seeds 3"


def add(p: ArgumentParser) -> None:
    """Declare the words."""
    p.add_argument("studies", metavar="NAME", nargs="*", help="which, see --list")
    p.add_argument("--list", action="store_true", help="what there is")
    p.add_argument(
        "--scale", choices=("paper", "gpu", "small"), default="small", help="ImageNet; CIFAR-10 on a GPU; two cores (default: %(default)s)"
    )
    p.add_argument("--data", metavar="IMAGES", help="labelled images (default, at small scale: bundled)")
    p.add_argument("--recipe", help="begin with another recipe than the scale's; with images of your own at small scale: images")
    p.add_argument("--backbone", help=BACKBONE)
    p.add_argument("--epochs", help="passes over the images")
    p.add_argument("--batch", help="images a step")
    p.add_argument("--set", dest="overrides", metavar="PATH=VALUE", action="append", default=[], help="any setting, of all rows")
    p.add_argument("--rows", nargs="+", metavar="ROW", help="only these, and what they are read against")
    p.add_argument("--onto", nargs="+", metavar="NAME=IMAGES", default=[], help="transfer, detection: the images that are judged on")
    p.add_argument("--seeds", type=count, default=1, help="runs of each row (default: %(default)s)")
    p.add_argument("--jobs", type=count, help="runs at a time (default: one a GPU, or one a core)")
    p.add_argument("--out", type=Path, help="folder of the runs and tables, which studies share (default: runs/studies-SCALE)")
    add_device(p)


def run(asked: Namespace) -> int:
    """``stopgrad study``."""
    from stopgrad.config.transfer import data_sets
    from stopgrad.studies.catalogue import choose
    from stopgrad.studies.command import carry_out, listing
    from stopgrad.studies.resolve import Asked, beforehand
    from stopgrad.studies.scales import SIZES

    if asked.list:
        print("\n".join(listing()))
        return DONE
    if not asked.studies:
        raise UserError("study: name at least one; 'stopgrad study --list' lists them")
    chosen = choose(asked.studies, asked.scale, asked.rows)
    size = SIZES[asked.scale]
    images = asked.data or size.data
    if images is None:
        others = [study.images for study, _ in chosen.values() if study.images and asked.scale == "paper"]
        raise UserError(f"--scale {asked.scale}: needs images; name them by --data: {others[0] if others else size.expected}")
    refuse_missing(images)
    onto = data_sets(asked.onto, "--onto") if asked.onto else []
    for one in onto:
        refuse_missing(one.path)
    out = asked.out or Path(f"runs/studies-{asked.scale}")
    refuse_unwritable(out)
    typed = {name: value for name in ("epochs", "batch", "backbone") if (value := vars(asked)[name]) is not None}
    wanted = Asked(
        scale=asked.scale,
        images=images,
        recipe=asked.recipe,
        options=typed,
        pairs=asked.overrides,
        device=asked.device,
        seeds=asked.seeds,
        out=out,
        rows=asked.rows or (),
        onto=onto,
    )
    beforehand(chosen, wanted)
    from stopgrad.images.opened import open_images

    return carry_out(chosen, wanted, asked.jobs, open_images(images, "auto"))
