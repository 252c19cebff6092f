"""Words that several commands share, and what they may be. What a word cannot be is answered while parsing: argparse names the option."""

import re
import sys
from argparse import ArgumentParser, ArgumentTypeError
from pathlib import Path

DRIVERS = ("nvidia*", "nvhost*", "nvmap", "kfd", "dxg")
"""Where GPUs show themselves on Linux, under /dev: NVIDIA's, those of its small boards, AMD's, those behind Windows."""

LABELS = "where labels come from (default: %(default)s)"
BACKBONE = "resnet10..152, any torchvision or timm classification network"
STEMS = ("cifar", "cifar-padded", "small")
ANY_SETTING = "any setting, see 'stopgrad show RECIPE'"


def add_run(p: ArgumentParser) -> None:
    """Take a run directory."""
    p.add_argument("run_directory", metavar="RUN", type=Path, help="run directory")


def add_images(p: ArgumentParser) -> None:
    """Take images, and where their labels come from."""
    p.add_argument("images", metavar="IMAGES", help="folder, .tar, .parquet or .arrow files, list, pack, CIFAR or IDX, or 'bundled'")
    p.add_argument("--labels", choices=("auto", "folders", "none"), default="auto", help=LABELS)


def add_method(p: ArgumentParser) -> None:
    """Take a method that is fitted to the images."""
    p.add_argument("--method", help="fit this method to your images, see 'stopgrad methods' (default: simsiam)")


def add_device(p: ArgumentParser) -> None:
    """Take a device."""
    p.add_argument("--device", type=device, default="auto", help="auto, cpu, cuda or cuda:N (default: %(default)s)")


def add_foreign(p: ArgumentParser) -> None:
    """Take what another project's file does not say of itself."""
    p.add_argument("--layout", metavar="NAME", help="layout of another project's checkpoint (default: the one it fits, see docs/checkpoints.md)")
    p.add_argument("--stem", choices=STEMS, help="what a 3x3 first convolution in it means")


def count(text: str) -> int:
    """Return a whole number from 1; argparse names the option when this raises."""
    number = int(text) if text.isdecimal() else 0
    if number < 1:
        raise ArgumentTypeError(f"a whole number from 1, not {text!r}")
    return number


def layers(text: str) -> int:
    """Return a whole number from 0."""
    return 0 if text == "0" else count(text)


def numbers(text: str) -> tuple[float, ...]:
    """Return numbers that commas separate."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ArgumentTypeError(f"numbers with commas between them, not {text!r}") from None


def word(text: str) -> str:
    """Return one of several words, which spaces separate."""
    if "," in text:
        raise ArgumentTypeError(f"separate by spaces: {' '.join(text.replace(',', ' ').split())}")
    return text


def device(text: str) -> str:
    """Return the name of a device. Whether this very one is there torch knows, that none can be is seen here."""
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", text):
        raise ArgumentTypeError(f"{text!r} is none of auto, cpu, cuda, cuda:N")
    if text.startswith("cuda") and sys.platform == "linux" and not any(any(Path("/dev").glob(driver)) for driver in DRIVERS):
        raise ArgumentTypeError(f"{text} is not there: this machine shows no GPU; use cpu")
    return text
