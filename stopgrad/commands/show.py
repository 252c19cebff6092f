"""``stopgrad show``."""

import json
from argparse import ArgumentParser, Namespace

from stopgrad.commands.training import DONE
from stopgrad.config import Run, differences, to_json
from stopgrad.errors import UserError
from stopgrad.plan import recipe_name
from stopgrad.progress import table
from stopgrad.recipes import IMAGES, RECIPES

SUMMARY = "print a recipe's every setting"
EXAMPLE = "stopgrad show simsiam/cifar10 --diff simsiam/imagenet"


def add(p: ArgumentParser) -> None:
    """Declare the words."""
    p.add_argument("recipe", metavar="RECIPE")
    p.add_argument("--diff", metavar="OTHER", help="print only what differs from OTHER")


def run(asked: Namespace) -> int:
    """``stopgrad show``."""
    shown = [_recipe(name) for name in (asked.recipe, asked.diff) if name is not None]
    if asked.diff is None:
        print(json.dumps(to_json(shown[0]), indent=2))
        return DONE
    changed = differences(shown[0], shown[1])
    for line in table(["field", asked.recipe, asked.diff], [[path, str(a), str(b)] for path, (a, b) in changed.items()]):
        print(line)
    return DONE


def _recipe(name: str) -> Run:
    known = recipe_name(name)
    if known in IMAGES:
        method = "" if known == "images" else f" --method {IMAGES[known]}"
        raise UserError(f"show {name}: this recipe depends on your images; stopgrad inspect IMAGES{method} shows what it chooses")
    if known not in RECIPES:
        own, _, method = known.partition("+")
        shows = f"stopgrad pretrain IMAGES --recipe {own} --method {method} --out RUN"
        raise UserError(f"show {name}: the settings of {method} are fitted to your images; {shows} writes them to RUN/config.json")
    return RECIPES[known]()
