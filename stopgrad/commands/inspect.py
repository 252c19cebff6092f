"""``stopgrad inspect``."""

import shlex
from argparse import ArgumentParser, Namespace

from stopgrad.beforehand import check
from stopgrad.commands.training import DONE, has_gpu
from stopgrad.commands.words import add_images, add_method
from stopgrad.config import Data
from stopgrad.images.bad import needed_share, refuse_few, too_many
from stopgrad.plan import choose, labelled, recipe_name
from stopgrad.recipes import IMAGES

SUMMARY = "preflight: what the images are, which are broken, what would be chosen"
EXAMPLE = "stopgrad inspect photos --method byol"


def add(p: ArgumentParser) -> None:
    """Declare the words."""
    add_images(p)
    add_method(p)


def run(asked: Namespace) -> int:
    """``stopgrad inspect``."""
    recipe = recipe_name(method=asked.method)
    check(recipe, {}, asked.images)
    from stopgrad.images.inspect import describe, inspect
    from stopgrad.images.opened import open_images

    splits = open_images(asked.images, asked.labels)
    labelled(recipe, splits)
    found = inspect(splits)
    print("\n".join(describe(found, splits.train.skipped)))
    chosen = choose(found, asked.images, has_gpu, IMAGES[recipe])
    refuse_few(chosen.run.train.batch, found.images)
    wish = f" --method {asked.method}" if asked.method else ""
    print(f"\nstopgrad pretrain{wish} would choose:")
    for reason in chosen.reasons.values():
        print(f"  {reason}")
    from stopgrad.estimate import estimate

    print("\n".join(f"  {line}" for line in estimate(chosen.run, found.images)))
    wish += f" --labels {asked.labels}" if asked.labels != "auto" else ""
    bad = len(found.bad) - found.test_bad
    if share := needed_share(found.images, bad, Data.max_bad):
        print(f"{too_many(found.images, bad, Data.max_bad)}: mend or remove them, or go on without them as below")
        wish += f" --set data.max_bad={share}"
    print(f"next: stopgrad pretrain {shlex.quote(asked.images)}{wish}")
    return DONE
