"""Images that cannot be used: each is named with its reason, set aside and counted; too many of them stop the run."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from stopgrad.errors import UserError

if TYPE_CHECKING:
    from stopgrad.images.source import Splits

Bad = tuple[str, str]
"""(name, reason) of an image that was set aside."""

LISTED = 20
"""Bad images that an error message names; where the run goes on, all of them are in its bad_images.jsonl."""


class BadImage(Exception):
    """An image that cannot be read rightly. The message is the reason, one line, without the image's name."""

    def __init__(self, reason: str) -> None:
        super().__init__(_escaped(" ".join(reason.split())))


def printable(name: str) -> str:
    """Return ``name`` on one line of valid UTF-8: what cannot be printed, and the backslash, are escaped as ``repr`` does."""
    return _escaped(name.replace("\\", "\\\\"))


def refuse_too_many(source: str, usable: int, bad: Sequence[Bad], max_bad: float) -> None:
    """Raise UserError when nothing is usable, or when ``bad`` is more than the share ``max_bad`` of all images.

    To be asked before training, with the images of the training part: ``usable`` of them can be read, ``bad`` cannot.
    """
    if not usable:
        why = f"all {len(bad)} images are unreadable: {listed(bad)}" if bad else "no images found"
        raise UserError(f"{source}: {why}; give a folder, a list or arrays with readable images")
    if share := needed_share(usable, len(bad), max_bad):
        whole = " (bad_images.jsonl of the run then lists them all)" if len(bad) > LISTED else ""
        raise UserError(
            f"{source}: {too_many(usable, len(bad), max_bad)}: {listed(bad)}. "
            f"Mend or remove them, or go on without them{whole} by --set data.max_bad={share}"
        )


def refuse_few(batch: int, images: int) -> None:
    """Raise UserError when a step wants more images than there are."""
    if batch > images:
        advice = f"take --batch {images // 2}, two steps an epoch" if images >= 4 else "training needs at least 4"
        raise UserError(f"train.batch: {batch} is more than the {images} images there are; {advice}")


def needed_share(usable: int, bad: int, max_bad: float) -> str | None:
    """Return the ``data.max_bad``, two digits, that admits ``bad`` images beside ``usable``; None when ``max_bad`` does already."""
    share = bad / max(usable + bad, 1)
    return f"{min(1.0, -(-share * 100 // 1) / 100):.2f}" if share > max_bad else None


def too_many(usable: int, bad: int, max_bad: float) -> str:
    """Return in words how many cannot be used, and how many may."""
    return f"{bad} of {usable + bad} images ({bad / (usable + bad):.1%}) cannot be used, data.max_bad allows {max_bad:.1%}"


def listed(bad: Sequence[Bad]) -> str:
    """Return the first few as ``name (reason); …`` and how many more there are."""
    more = f"; and {len(bad) - LISTED} more" if len(bad) > LISTED else ""
    return "; ".join(f"{name} ({reason})" for name, reason in bad[:LISTED]) + more


def _escaped(text: str) -> str:
    return text if text.isprintable() else "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def refuse_several(splits: "Splits", who: str) -> None:
    """Raise UserError where an image may show several classes, for ``who`` needs one an image."""
    if splits.train.presence is not None:
        raise UserError(f"{who}: needs one class an image, and those of {splits.train.name} may show several; go on without labels (--labels none)")
