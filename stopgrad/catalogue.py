"""The commands that print what there is: recipes, methods, and every setting of a recipe. Each returns the exit status."""

import json
from argparse import Namespace

from stopgrad.config import METHODS, Run, differences, to_json
from stopgrad.errors import UserError
from stopgrad.plan import recipe_name
from stopgrad.progress import table
from stopgrad.recipes import IMAGES, RECIPES, method_of, summary


def recipes(asked: Namespace) -> int:
    """``stopgrad recipes``."""
    names = [*IMAGES, *RECIPES]
    width = max(map(len, names))
    for method in METHODS:
        print("\n".join(f"{name.ljust(width)}  {summary(name)}" for name in names if method_of(name) == method))
    return 0


def methods(asked: Namespace) -> int:
    """``stopgrad methods``."""
    width = max(map(len, METHODS))
    for name, settings in METHODS.items():
        print(f"{name.ljust(width)}  {(settings.__doc__ or '').strip().splitlines()[0]}")
    return 0


def show(asked: Namespace) -> int:
    """``stopgrad show``."""
    shown = [_recipe(name) for name in (asked.recipe, asked.diff) if name is not None]
    if asked.diff is None:
        print(json.dumps(to_json(shown[0]), indent=2))
        return 0
    changed = differences(shown[0], shown[1])
    for line in table(["field", asked.recipe, asked.diff], [[path, str(a), str(b)] for path, (a, b) in changed.items()]):
        print(line)
    return 0


def _recipe(name: str) -> Run:
    known = recipe_name(name)
    if known in IMAGES:
        method = "" if known == "images" else f" --method {IMAGES[known]}"
        raise UserError(f"show {name}: this recipe depends on your images; stopgrad inspect IMAGES{method} shows what it chooses")
    return RECIPES[known]()
