"""``stopgrad export``."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from stopgrad.beforehand import refuse_untrained
from stopgrad.commands.training import DONE
from stopgrad.commands.words import add_run
from stopgrad.onward import EXPORTS
from stopgrad.publish.targets import TARGETS, refuse_existing
from stopgrad.runs import backbone_file

SUMMARY = "write the backbone so that other code loads it"
EXAMPLE = "stopgrad export runs/photos --to torchvision"


def add(p: ArgumentParser) -> None:
    """Declare the words."""
    add_run(p)
    p.add_argument("--to", choices=TARGETS, required=True, help="whose form")
    p.add_argument("--out", type=Path, help="file or folder (default: named after the form, in the run)")
    p.add_argument("--overwrite", action="store_true", help="replace what is there")


def run(asked: Namespace) -> int:
    """``stopgrad export``."""
    refuse_untrained(asked.run_directory, alone=True, target=asked.to)
    out = asked.out or asked.run_directory / EXPORTS[asked.to]
    refuse_existing(asked.to, out, asked.overwrite)
    from stopgrad.publish.export import export as write

    print("\n".join(write(backbone_file(asked.run_directory), asked.to, out, asked.overwrite)))
    return DONE
