"""``stopgrad distill``."""

import shlex
from argparse import ArgumentParser, Namespace
from pathlib import Path

from stopgrad.accuracies import accuracies
from stopgrad.beforehand import refuse_missing
from stopgrad.commands.training import DONE
from stopgrad.commands.words import BACKBONE, add_device, add_images
from stopgrad.config import Net
from stopgrad.config.codec import set_field
from stopgrad.config.tuning import DISTILL, problems
from stopgrad.errors import UserError
from stopgrad.files import refuse_unwritable
from stopgrad.images.place import existing
from stopgrad.nets.names import locate

SUMMARY = "train a student to say what a fine-tuned network says of unlabelled images (SimCLRv2)"
EXAMPLE = "stopgrad distill runs/photos/semi-small-backbone-1a2b3c4d.safetensors photos --backbone resnet18 --out runs/student"


def add(p: ArgumentParser) -> None:
    """Declare the words."""
    p.add_argument("teacher", metavar="TEACHER", type=Path, help="a fine-tuned network, as evaluate --protocol semi or finetune writes it")
    add_images(p)
    p.add_argument("--backbone", help=f"the student's: {BACKBONE} (default: the teacher's)")
    p.add_argument("--settings", choices=tuple(DISTILL), default="self", help="whose (default: %(default)s)")
    p.add_argument("--set", dest="pairs", metavar="FIELD=VALUE", action="append", default=[], help="any field of the settings, such as epochs=5")
    p.add_argument("--out", type=Path, required=True, help="folder of the student")
    add_device(p)


def run(asked: Namespace) -> int:
    """``stopgrad distill``."""
    settings = DISTILL[asked.settings]
    for pair in asked.pairs:
        field, equals, text = pair.partition("=")
        if not equals:
            raise UserError(f"--set {pair}: a field and its value, such as {pair}=VALUE")
        settings = set_field(settings, field, text)
    if wrong := problems(settings):
        raise UserError(f"{wrong[0]} (--set)")
    existing(str(asked.teacher))
    refuse_missing(asked.images)
    refuse_unwritable(asked.out)
    if asked.backbone is not None:
        locate(asked.backbone)
    from stopgrad.device import pick_device
    from stopgrad.distilling import distill
    from stopgrad.images.opened import open_images

    student = None if asked.backbone is None else Net(backbone=asked.backbone, zero_init_residual=False)
    records = distill(asked.teacher, open_images(asked.images, asked.labels), student, settings, asked.out, pick_device(asked.device), print)
    network = asked.out / "classifier.safetensors"
    if records:
        print("\n".join(accuracies(records)))
    print(f"network: {network}\nwritten to {asked.out}")
    if not records:
        print("no labelled test images: neither student nor teacher was judged")
        print(f"next: stopgrad evaluate {shlex.quote(str(network))} --data LABELLED")
    return DONE
