"""The command line: what can be typed. Parsing imports no torch; what a command does is in commands.py."""

import argparse
import os
import re
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import NoReturn

from stopgrad import __version__
from stopgrad.config import METHODS
from stopgrad.errors import Lost, UserError
from stopgrad.publish.targets import TARGETS
from stopgrad.world import world

OVERVIEW = """\
Pretrain image backbones without labels by the Siamese methods, judge them, and hand them over.

  stopgrad demo                      the whole way on bundled images, a few minutes on two cores
  stopgrad inspect PHOTOS            what is there, what is broken, what would be chosen
  stopgrad pack PHOTOS PACK          decode once, into files that every run maps into memory
  stopgrad bench --data PHOTOS       where a step's time goes on this machine
  stopgrad pretrain PHOTOS --out RUN train on a folder; the same command again resumes
  stopgrad evaluate RUN              kNN and linear accuracy beside raw pixels and random initialisation
  stopgrad report RUN                one HTML page
  stopgrad embed RUN PHOTOS          an embedding an image, as Parquet
  stopgrad export RUN --to timm      a backbone that plain torchvision or timm code loads
"""


DRIVERS = ("nvidia*", "nvhost*", "nvmap", "kfd", "dxg")
"""Where GPUs show themselves on Linux, under /dev: NVIDIA's, those of its small boards, AMD's, those behind Windows."""


class _Parser(argparse.ArgumentParser):
    """Answers a mistake in one line, with what was probably meant, and exit status 2."""

    def error(self, message: str) -> NoReturn:
        known = [option for action in self._actions for option in action.option_strings]
        known += [str(choice) for action in self._actions for choice in action.choices or ()]
        doubtful = re.findall(r"'([^']+)'", message)[:1] or re.findall(r"(--[\w-]+)", message)[:1]
        close = get_close_matches(doubtful[0], known, n=1) if doubtful else []
        hint = f"; did you mean {close[0]}?" if close and close[0] not in doubtful and "--set" not in message else ""
        print(f"{self.prog}: {message}{hint} (see {self.prog} --help)", file=sys.stderr)
        raise SystemExit(2)


class _Verb(_Parser):
    """A command: knows its own options, so that a wrong one is answered here and not by the parser above."""

    def parse_known_args(self, args=None, namespace=None):  # type: ignore[no-untyped-def]
        found, rest = super().parse_known_args(args, namespace)
        if rest:
            path = rest[0].removeprefix("--")
            hint = f"; a setting is given by --set {path}{'' if '=' in path else '=VALUE'}" if "." in path and rest[0] != path else ""
            self.error(f"unrecognized arguments: {' '.join(rest)}{hint}")
        return found, rest


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line; every command's ``run`` names a function of commands.py."""
    top = _Parser(prog="stopgrad", description=OVERVIEW, formatter_class=argparse.RawDescriptionHelpFormatter)
    top.add_argument("--version", action="version", version=f"stopgrad {__version__}")
    verbs = top.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=_Verb)

    def verb(name: str, summary: str, example: str) -> argparse.ArgumentParser:
        form = argparse.RawDescriptionHelpFormatter
        p: argparse.ArgumentParser = verbs.add_parser(
            name, help=summary, description=summary, epilog=f"example:\n  {example}", formatter_class=form, allow_abbrev=False
        )
        p.set_defaults(run=name)
        return p

    p = verb("demo", "the whole way on the bundled images: train, judge, hand over", "stopgrad demo --out runs/demo")
    p.add_argument("--out", type=Path, default=Path("runs/demo"), help="run directory (default: %(default)s)")
    p = verb("inspect", "preflight: what the images are, which are broken, what would be chosen", "stopgrad inspect photos --method byol")
    _add_images(p)
    _add_method(p)
    p = verb("pack", "decode and reduce images once, into files that every run maps into memory", "stopgrad pack photos photos-256 --short-side 256")
    _add_images(p)
    _add_packing(p)
    p = verb("pretrain", "train a backbone without labels; the same command again resumes", "stopgrad pretrain photos --epochs 100 --out runs/photos")
    _add_images(p)
    _add_training(p)
    p = verb("evaluate", "judge a run's backbone beside raw pixels and random initialisation", "stopgrad evaluate runs/photos --protocol knn lbfgs")
    _add_evaluation(p)
    p = verb(
        "compare", "train several methods alike, judge them, print one table; resumable row by row", "stopgrad compare photos --epochs 50 --seeds 3"
    )
    _add_images(p)
    _add_comparison(p)
    p = verb("bench", "where a step's time goes on this machine, how near it is to the ceiling, what to choose", "stopgrad bench --data photos")
    p.add_argument("--data", metavar="IMAGES", default="bundled", help="images whose run is measured (default: %(default)s, with the demo's recipe)")
    p.add_argument("--labels", choices=("auto", "folders", "none"), default="auto", help="where labels come from (default: %(default)s)")
    _add_method(p)
    p.add_argument("--recipe", help="settings to measure (default: chosen for the images)")
    p.add_argument("--backbone", help="resnet10..152, any torchvision or timm classification network")
    p.add_argument("--batch", help="images a step")
    p.add_argument("--set", dest="overrides", metavar="PATH=VALUE", action="append", default=[], help="any setting, see 'stopgrad show RECIPE'")
    _add_device(p)
    p = verb("report", "one self-contained HTML page from one or more runs", "stopgrad report runs/photos")
    p.add_argument("runs", metavar="RUN", nargs="+", type=Path, help="run directories; several are shown side by side")
    p.add_argument("--out", type=Path, help="the page (default: report.html in the first run)")
    p = verb("embed", "write path, label and embedding of every image to a Parquet file", "stopgrad embed runs/photos photos --out photos.parquet")
    _add_run(p)
    _add_images(p)
    p.add_argument("--out", type=Path, help="the file (default: embeddings.parquet in the run)")
    _add_device(p)
    p = verb("export", "write the backbone so that other code loads it", "stopgrad export runs/photos --to torchvision")
    _add_run(p)
    p.add_argument("--to", choices=TARGETS, required=True, help="whose form")
    p.add_argument("--out", type=Path, help="file or folder (default: named after the form, in the run)")
    p.add_argument("--overwrite", action="store_true", help="replace what is there")
    verb("recipes", "list the recipes", "stopgrad recipes")
    verb("methods", "list the methods", "stopgrad methods")
    p = verb("show", "print a recipe's every setting", "stopgrad show simsiam/cifar10 --diff simsiam/imagenet")
    p.add_argument("recipe", metavar="RECIPE")
    p.add_argument("--diff", metavar="OTHER", help="print only what differs from OTHER")
    return top


def _add_run(p: argparse.ArgumentParser) -> None:
    p.add_argument("run_directory", metavar="RUN", type=Path, help="run directory")


def _add_images(p: argparse.ArgumentParser) -> None:
    p.add_argument("images", metavar="IMAGES", help="folder, .tar, .parquet or .arrow files, list, pack, CIFAR or IDX, or 'bundled'")
    p.add_argument("--labels", choices=("auto", "folders", "none"), default="auto", help="where labels come from (default: %(default)s)")


def _add_method(p: argparse.ArgumentParser) -> None:
    p.add_argument("--method", help="fit this method to your images, see 'stopgrad methods' (default: simsiam)")


def _add_device(p: argparse.ArgumentParser) -> None:
    p.add_argument("--device", type=_device, default="auto", help="auto, cpu, cuda or cuda:N (default: %(default)s)")


def _add_evaluation(p: argparse.ArgumentParser) -> None:
    _add_run(p)
    names, usual = ("knn", "lbfgs", "linear"), ["knn", "lbfgs"]
    p.add_argument("--protocol", nargs="+", type=_word, choices=names, default=usual, help="how (default: knn lbfgs); linear is the papers' SGD/LARS")
    p.add_argument("--data", metavar="IMAGES", help="labelled images; default: those of the run")
    p.add_argument("--labels", choices=("auto", "folders"), default="auto", help="where the labels of --data come from (default: %(default)s)")
    kinds = ("pixels", "random", "backbone")
    p.add_argument("--features", nargs="+", type=_word, choices=kinds, default=kinds, help="what is judged (default: all three)")
    p.add_argument(
        "--head", type=_layers, default=0, metavar="LAYERS", help="judge features from inside the head: after this many layers of the projector"
    )
    p.add_argument("--settings", choices=("simsiam", "moco", "simclr"), default="simsiam", help="whose linear protocol (default: %(default)s)")
    p.add_argument("--k", type=_count, default=200, help="kNN: neighbours (default: %(default)s, at most a fifth of the images)")
    p.add_argument("--temperature", type=_positive, default=0.1, help="kNN: temperature (default: %(default)s)")
    _add_device(p)


def _count(text: str) -> int:
    """Return a whole number from 1; argparse names the option when this raises."""
    number = int(text) if text.isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"a whole number from 1, not {text!r}")
    return number


def _layers(text: str) -> int:
    """Return a whole number from 0."""
    return 0 if text == "0" else _count(text)


def _positive(text: str) -> float:
    """Return a number above 0."""
    number = float(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"a number above 0, not {text!r}")
    return number


def _word(text: str) -> str:
    """Return one of several words, which spaces separate."""
    if "," in text:
        raise argparse.ArgumentTypeError(f"separate by spaces: {' '.join(text.replace(',', ' ').split())}")
    return text


def _device(text: str) -> str:
    """Return the name of a device. Whether this very one is there torch knows, that none can be is seen here."""
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", text):
        raise argparse.ArgumentTypeError(f"{text!r} is none of auto, cpu, cuda, cuda:N")
    if text.startswith("cuda") and sys.platform == "linux" and not any(any(Path("/dev").glob(driver)) for driver in DRIVERS):
        raise argparse.ArgumentTypeError(f"{text} is not there: this machine shows no GPU; use cpu")
    return text


def _add_comparison(p: argparse.ArgumentParser) -> None:
    p.add_argument(
        "--methods", nargs="+", type=_word, choices=tuple(METHODS), help="which (default: all that the images allow; see 'stopgrad methods')"
    )
    p.add_argument(
        "--recipe", default="images", help="whose data, view, backbone and length all share (default: %(default)s, chosen for your images)"
    )
    p.add_argument("--seeds", type=_count, default=1, help="runs of each method (default: %(default)s)")
    p.add_argument("--jobs", type=_count, help="runs at a time (default: one a core; one on a GPU)")
    p.add_argument("--out", type=Path, default=Path("runs/comparison"), help="folder of the runs and the table (default: %(default)s)")
    p.add_argument("--epochs", help="passes over the images")
    p.add_argument("--batch", help="images a step")
    p.add_argument("--backbone", help="resnet10..152, any torchvision or timm classification network")
    p.add_argument(
        "--set", dest="overrides", metavar="PATH=VALUE", action="append", default=[], help="any setting; METHOD:PATH=VALUE for one method only"
    )
    _add_device(p)


def _add_packing(p: argparse.ArgumentParser) -> None:
    p.add_argument("out", metavar="OUT", type=Path, help="the folder to write; it must not be there")
    p.add_argument("--short-side", type=_count, metavar="N", help="reduce images whose shorter side is longer (default: 256)")
    p.add_argument("--channels", type=_count, metavar="C", help="channels of every image (default: those that most have; 3 for grey among colour)")
    p.add_argument("--as-files", action="store_true", help="keep every image's file as it is, undecoded, in one large file a part")
    p.add_argument("--set", dest="overrides", metavar="PATH=VALUE", action="append", default=[], help="data.max_bad or data.max_pixels")


def _add_training(p: argparse.ArgumentParser) -> None:
    _add_method(p)
    p.add_argument("--recipe", help="settings to start from, see 'stopgrad recipes' (default: images, or METHOD/images: chosen for your images)")
    p.add_argument("--out", type=Path, help="run directory (default: runs/NAME-RECIPE)")
    p.add_argument("--backbone", help="resnet10..152, any torchvision or timm classification network")
    p.add_argument("--epochs", help="passes over the images")
    p.add_argument("--batch", help="images a step")
    p.add_argument("--seed", help="seed of everything random")
    p.add_argument("--bn", choices=("sync", "local", "split"), help="BN statistics: of the whole batch, of a process, of equal parts (MoCo's)")
    p.add_argument("--workers", help="decoding processes when images are streamed; -1: one a core")
    p.add_argument("--on-collapse", choices=("stop", "warn"), help="what a collapse does (default: the recipe's, warn)")
    p.add_argument("--tensorboard", action="store_true", help="also write TensorBoard events into the run (extra: tensorboard)")
    p.add_argument("--set", dest="overrides", metavar="PATH=VALUE", action="append", default=[], help="any setting, see 'stopgrad show RECIPE'")
    _add_device(p)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status.

    0 done; 2 a mistake in what was asked; 3 collapsed; 4 diverged; 75 interrupted, the same command goes on; 141 nobody reads the output.
    """
    asked = parser().parse_args(arguments)
    if asked.run != "pretrain" and world().size > 1:
        print(f"stopgrad {asked.run}: works in one process; start it without torchrun", file=sys.stderr)
        return 2
    from stopgrad import commands  # not before the words are known to be right: a mistake is answered at once

    try:
        return commands.COMMANDS[asked.run](asked)
    except (UserError, Lost) as error:
        here = world()
        print(f"stopgrad: {f'process {here.rank}: ' if here.size > 1 else ''}{error}", file=sys.stderr, flush=True)
        status = 2 if isinstance(error, UserError) else 1
        if here.size > 1:
            os._exit(status)  # at once: an orderly end would wait for the other processes, which wait for this one
        return status
    except BrokenPipeError:  # who read the output has left, as head does: nothing more is said, and nothing when Python closes it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
