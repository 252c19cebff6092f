"""``stopgrad evaluate``: any backbone, by any protocol, on one or several data sets."""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stopgrad.beforehand import refuse_head, refuse_missing
from stopgrad.commands.training import DONE
from stopgrad.commands.words import add_device, add_foreign, count, layers, word
from stopgrad.config.detection import Detection
from stopgrad.config.named import NAMED, Settings, chosen
from stopgrad.config.transfer import DataSet, data_sets
from stopgrad.config.tuning import Finetune
from stopgrad.errors import UserError
from stopgrad.onward import next_lines
from stopgrad.runs import RunDirectory
from stopgrad.wanted import Wanted, judgeable, wanted
from stopgrad.world import world

if TYPE_CHECKING:
    import torch

    from stopgrad.images.sources import LabelRule, Splits
    from stopgrad.judging import Kind
    from stopgrad.protocols.judge import Settings as Frozen
    from stopgrad.what import What

SUMMARY = "judge a backbone beside raw pixels and random initialisation, by kNN, linear, fine-tuning, transfer or detection"
EXAMPLE = "stopgrad evaluate runs/photos --protocol knn lbfgs"
KINDS: "tuple[Kind, ...]" = ("pixels", "random", "backbone")


def add(p: ArgumentParser) -> None:
    """Declare the words."""
    p.add_argument("what", metavar="WHAT", help="run, backbone file, another project's checkpoint, torchvision or timm name (docs/checkpoints.md)")
    p.add_argument("--protocol", nargs="+", type=word, choices=tuple(NAMED), default=["knn", "lbfgs"], help="how (default: knn lbfgs)")
    p.add_argument("--data", nargs="+", metavar="IMAGES", help="labelled images (default: those of the run); several, as NAME=IMAGES, make a table")
    p.add_argument("--beside", nargs="+", metavar="WHAT", default=[], help="other backbones, as further rows of that table")
    p.add_argument("--labels", choices=("auto", "folders"), default="auto", help="where the labels of --data come from (default: %(default)s)")
    p.add_argument("--features", nargs="+", type=word, choices=KINDS, help="what is judged (default: all, but no pixels on several data sets)")
    p.add_argument("--head", type=layers, default=0, metavar="LAYERS", help="the backbone with so many layers of the run's projector")
    p.add_argument("--settings", metavar="WHOSE", help=f"settings by name; {_whose()}")
    p.add_argument("--set", dest="pairs", metavar="FIELD=VALUE", action="append", default=[], help="any field of the settings, such as linear.lr=10")
    add_foreign(p)
    p.add_argument("--size", type=count, metavar="PIXELS", help="side at which it is judged, where WHAT is no run")
    p.add_argument("--out", type=Path, help="folder of the evaluations, where WHAT is no run (default: evaluations/NAME-DIGEST)")
    add_device(p)


def _refuse_said(asked: Namespace) -> None:
    """Raise UserError for options that say what a run says itself."""
    for option, value in (("out", asked.out), ("size", asked.size), ("layout", asked.layout), ("stem", asked.stem)):
        if value is not None:
            raise UserError(f"--{option} {value}: {asked.what} is a run, which says that itself and keeps its evaluations; leave --{option} out")


def run(asked: Namespace) -> int:
    """``stopgrad evaluate``."""
    settings = chosen(asked.protocol, asked.settings, asked.pairs)
    frozen: list[Frozen] = [one for one in settings if not isinstance(one, Detection)]
    if frozen and world().size > 1:
        raise UserError(f"--protocol {frozen[0].protocol}: works in one process; start it without torchrun (detection works in several)")
    head = asked.head or _head(settings)
    meant = judgeable(asked.what, asked.layout, asked.data, head)
    if meant.kind == "run":
        _refuse_said(asked)
        if head:
            refuse_head(Path(asked.what), head)
    sets = data_sets(asked.data) if asked.data else []
    several = len(sets) > 1 or bool(asked.beside) or any("=" in text for text in asked.data or ())
    _refuse_together(asked, settings, frozen, sets, head)
    splits = None if several or not frozen else _images(meant, sets, asked.labels)
    from stopgrad.device import pick_device
    from stopgrad.nets.foreign import Asked
    from stopgrad.what import open_what

    device = pick_device(asked.device)
    what = open_what(asked.what, Asked(layout=asked.layout, stem=asked.stem, size=asked.size), head=head, out=asked.out)
    features: Sequence[Kind] = asked.features or KINDS[several:]
    if not frozen:
        (detection,) = (one for one in settings if isinstance(one, Detection))
        lines = _detected(what, sets[0], detection, features, device)
    elif splits is None:
        from stopgrad.transfer.command import tables

        beside = {name: open_what(name) for name in asked.beside}
        lines = tables(what, beside, sets, frozen, features, device, print, asked.labels)
    else:
        lines = _on_one(what, frozen, splits, features, device, what.named(sets[0].path) if sets else "")
    if world().first:
        print("\n".join([*lines, f"written to {what.evaluations}", *(next_lines(what.evaluations.parent) if what.run is not None else ())]))
    return DONE


def _refuse_together(asked: Namespace, settings: Sequence[Settings], frozen: "Sequence[Frozen]", sets: Sequence[DataSet], head: int) -> None:
    """Raise UserError for what cannot be asked for together, and for what is not there. ``frozen``: all of ``settings`` but detection's."""
    for one in sets:
        refuse_missing(one.path)
    for other in asked.beside:
        if not wanted(other).trained:
            raise UserError(f"--beside {other}: a network without weights; name some: {other}:TAG or {other}:FILE")
    if asked.beside and not sets:
        raise UserError("--beside: name the data sets that all are judged on: --data NAME=IMAGES …")
    if len(frozen) < len(settings) and (frozen or len(sets) != 1 or asked.beside or head):
        raise UserError("--protocol detection: by itself, without --head, on one data set with boxes: --data VOCdevkit, or a folder of COCO's")


def _on_one(what: "What", settings: "Sequence[Frozen]", splits: "Splits", features: "Sequence[Kind]", device: "torch.device", data: str) -> list[str]:
    """Judge on one source of images; return what is to be said."""
    from stopgrad.accuracies import accuracies
    from stopgrad.what import judged

    records = judged(what, settings, splits, features, device, print, data)
    return [*accuracies(records), *(f"network: {what.evaluations.with_name(r['classifier'])}" for r in records if "classifier" in r)]


def _detected(what: "What", data: DataSet, settings: Detection, features: "Sequence[Kind]", device: "torch.device") -> list[str]:
    """Train and test detectors, in as many processes as there are; return what is to be said."""
    from stopgrad.accuracies import accuracies
    from stopgrad.detecting import detected
    from stopgrad.distributed import together

    with together(device) as here:
        return accuracies(detected(what, data, settings, features, device, print if here.first else lambda line: None))


def _head(settings: Sequence[Settings]) -> int:
    """Return the layers of the projector that fine-tuning, asked for by itself, keeps (SimCLRv2)."""
    kept = {one.head if isinstance(one, Finetune) else 0 for one in settings}
    return kept.pop() if len(kept) == 1 else 0


def _images(meant: Wanted, sets: Sequence[DataSet], labels: "LabelRule") -> "Splits":
    """Return the images to judge on, opened before torch is imported: most of what can be wrong with them is then known."""
    from stopgrad.images.opened import judged_images, open_images, refuse_unjudgeable

    if meant.kind == "run" and meant.path is not None:
        return judged_images(RunDirectory(meant.path).read_config(), meant.path, sets[0].path if sets else None, labels)
    splits = open_images(sets[0].path, labels)
    refuse_unjudgeable(splits)
    return splits


def _whose() -> str:
    return "; ".join(f"{protocol}: {', '.join(named)}" for protocol, named in NAMED.items() if len(named) > 1)
