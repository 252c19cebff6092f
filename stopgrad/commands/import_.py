"""``stopgrad import``."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from stopgrad.beforehand import refuse_place
from stopgrad.commands.training import DONE
from stopgrad.commands.words import add_foreign, count, numbers
from stopgrad.wanted import wanted

SUMMARY = "write another project's checkpoint as a backbone file of stopgrad's; nothing in it is executed"
EXAMPLE = "stopgrad import moco_v2_800ep_pretrain.pth.tar moco.safetensors"


def add(p: ArgumentParser) -> None:
    """Declare the words."""
    p.add_argument("file", metavar="FILE", type=Path, help="the checkpoint")
    p.add_argument("out", metavar="OUT", type=Path, help="the backbone file to write, .safetensors")
    add_foreign(p)
    p.add_argument("--size", type=count, metavar="PIXELS", help="side of the images it was trained on (default: the layout's)")
    p.add_argument("--mean", type=numbers, metavar="A,B,C", help="taken off every channel, values 0..1 (default: the layout's)")
    p.add_argument("--std", type=numbers, metavar="A,B,C", help="divides every channel (default: the layout's)")
    p.add_argument("--overwrite", action="store_true", help="replace what is there")


def run(asked: Namespace) -> int:
    """``stopgrad import``."""
    wanted(str(asked.file), asked.layout)
    refuse_place(asked.out, ".safetensors")
    from stopgrad.nets.foreign import Asked
    from stopgrad.publish.imported import import_backbone

    given = Asked(layout=asked.layout, stem=asked.stem, size=asked.size, mean=asked.mean, std=asked.std)
    print("\n".join(import_backbone(asked.file, asked.out, given, asked.overwrite)))
    print(f"next: stopgrad evaluate {asked.out} --data LABELLED")
    return DONE
