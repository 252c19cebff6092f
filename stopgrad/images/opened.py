"""The images of a command: both parts of a source, and those that a run is judged on. Imports no torch."""

from pathlib import Path
from typing import Any

from stopgrad.config import Run
from stopgrad.errors import UserError
from stopgrad.images.folder import LabelRule
from stopgrad.images.holdout import with_held_out
from stopgrad.images.place import ARRAYS
from stopgrad.images.source import Splits
from stopgrad.images.sources import open_splits


def open_images(images: Any, labels: LabelRule) -> Splits:
    """Return the training and test parts of ``images``; where labelled images have no test part, a tenth is held out as one."""
    return with_held_out(open_splits(images, labels))


def judged_images(run: Run, path: Path, images: Any | None, labels: LabelRule) -> Splits:
    """Return the labelled images that the run in ``path`` is judged on: ``images``, or for None its own. Raises UserError without labels."""
    splits = own_images(run, path) if images is None else open_images(images, labels)
    refuse_unjudgeable(splits)
    return splits


def own_images(run: Run, path: Path) -> Splits:
    """Return the images that the run in ``path`` was trained on. Raises UserError when they were arrays, which are nowhere to be found."""
    return open_images(_own(run, path), run.data.labels)


def refuse_unjudgeable(splits: Splits) -> None:
    """Raise UserError where there are no labels, or too few images of every class to keep one for the test."""
    train, test = splits
    if train.classes is None:
        raise UserError(
            f"{train.name}: judging needs labels; put every class in a folder of its own, give a list with a label column, "
            "or name labelled images (--data LABELLED; in Python data=, which takes arrays with labels too: (images, labels))"
        )
    if test is None or test.classes is None:
        raise UserError(f"{train.name}: judging needs labelled test images: a tenth of every class of at least 10, or a test part")


def _own(run: Run, path: Path) -> str:
    """Return where the images of the run are. Raises UserError when they were arrays, which are nowhere to be found."""
    if run.data.source == ARRAYS and not Path(ARRAYS).exists():
        raise UserError(
            f"{path}: was trained on arrays, which it does not keep; give labelled images: in Python data=(images, labels), "
            f"or stopgrad evaluate {path} --data LABELLED"
        )
    return run.data.source
