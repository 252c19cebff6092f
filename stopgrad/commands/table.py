"""``stopgrad table``."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from stopgrad.commands.training import DONE
from stopgrad.commands.words import word
from stopgrad.report.forms import FORMS
from stopgrad.report.table import table

SUMMARY = "the results of any runs as a table to paste: mean and standard deviation over seeds, and what was judged otherwise"
EXAMPLE = "stopgrad table runs/comparison --form latex"


def add(p: ArgumentParser) -> None:
    """Declare the words."""
    p.add_argument("runs", metavar="RUN", nargs="+", type=Path, help="run directories, folders of runs, or folders of evaluations")
    p.add_argument("--form", choices=tuple(FORMS), default="markdown", help="(default: %(default)s)")
    p.add_argument("--protocol", nargs="+", type=word, default=(), help="only these protocols")
    p.add_argument("--metric", nargs="+", type=word, default=(), help="only these metrics")


def run(asked: Namespace) -> int:
    """``stopgrad table``."""
    print("\n".join(table(asked.runs, asked.form, asked.protocol, asked.metric)))
    return DONE
