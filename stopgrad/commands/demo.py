"""``stopgrad demo``."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from stopgrad.runs import RunDirectory

SUMMARY = "the whole way on the bundled images: train, judge, hand over"
EXAMPLE = "stopgrad demo --out runs/demo"


def add(p: ArgumentParser) -> None:
    """Declare the words."""
    p.add_argument("--out", type=Path, default=Path("runs/demo"), help="run directory (default: %(default)s)")


def run(asked: Namespace) -> int:
    """``stopgrad demo``."""
    RunDirectory(asked.out).refuse_others()
    from stopgrad.demo import demo

    return demo(asked.out)
