"""``stopgrad recipes``."""

from argparse import ArgumentParser, Namespace

from stopgrad.commands.training import DONE
from stopgrad.config import METHODS
from stopgrad.recipes import IMAGES, RECIPES, method_of, summary

SUMMARY = "list the recipes"
EXAMPLE = "stopgrad recipes"


def add(p: ArgumentParser) -> None:
    """Declare no words: there are none."""


def run(asked: Namespace) -> int:
    """``stopgrad recipes``."""
    names = [*IMAGES, *RECIPES]
    width = max(map(len, names))
    for method in METHODS:
        print("\n".join(f"{name.ljust(width)}  {summary(name)}" for name in names if method_of(name) == method))
    return DONE
