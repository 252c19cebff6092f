"""Semi-supervised: fine-tuning where only few of the training images have their labels used. SimCLR, arXiv:2002.05709, Sec. 4.2."""

from pathlib import Path

from torch import Tensor

from stopgrad.config.tuning import Semi
from stopgrad.errors import UserError
from stopgrad.protocols.features import Labelled
from stopgrad.protocols.subsets import balanced, read_list, remarks


def few(settings: Semi, images: Labelled, classes: int) -> tuple[Labelled, Tensor, list[str]]:
    """Return the images whose labels are used, their rows (n,) int64 in ``images``, and what a reader should know of them.

    They are the images listed, or else as many of every class, chosen by the settings' seed. Raises UserError for a list that does not fit.
    """
    if images.labels.ndim != 1:
        raise UserError(f"semi ({settings.name}): every image has one class, and these may have several each; judge them by lbfgs, svm or finetune")
    if settings.listed is None:
        rows = balanced(images.labels, settings.share, settings.seed)
        said = remarks(images.labels, rows, settings.share)
    elif images.name is None:
        raise UserError(f"semi ({settings.name}): listed: these images have no names that a list could hold; take share=0.1")
    else:
        rows, said = read_list(Path(settings.listed), images.name, images.labels, classes), []
    return images.part(rows), rows, [f"semi ({settings.name}): {line}" for line in said]
