"""``stopgrad methods``."""

from argparse import ArgumentParser, Namespace

from stopgrad.commands.training import DONE
from stopgrad.config import METHODS

SUMMARY = "list the methods"
EXAMPLE = "stopgrad methods"


def add(p: ArgumentParser) -> None:
    """Declare no words: there are none."""


def run(asked: Namespace) -> int:
    """``stopgrad methods``."""
    width = max(map(len, METHODS))
    for name, settings in METHODS.items():
        print(f"{name.ljust(width)}  {(settings.__doc__ or '').strip().splitlines()[0]}")
    return DONE
