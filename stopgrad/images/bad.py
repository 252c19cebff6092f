"""Images that cannot be used: each is named with its reason, set aside and counted; too many of them stop the run."""

from collections.abc import Sequence

from stopgrad.errors import UserError

Bad = tuple[str, str]
"""(name, reason) of an image that was set aside."""

LISTED = 20
"""Bad images that an error message names; all of them are in the run's bad_images.jsonl."""


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
    share = len(bad) / (usable + len(bad))
    if share > max_bad:
        raise UserError(
            f"{source}: {len(bad)} of {usable + len(bad)} images ({share:.1%}) cannot be used, data.max_bad allows {max_bad:.1%}: {listed(bad)}. "
            f"Mend or remove them, or go on without them by --set data.max_bad={_next_share(share)}"
        )


def listed(bad: Sequence[Bad]) -> str:
    """Return the first few as ``name (reason); …`` and how many more there are."""
    more = f"; and {len(bad) - LISTED} more" if len(bad) > LISTED else ""
    return "; ".join(f"{name} ({reason})" for name, reason in bad[:LISTED]) + more


def _escaped(text: str) -> str:
    return text if text.isprintable() else "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _next_share(share: float) -> str:
    """Return a share, two digits, that admits ``share``."""
    return f"{min(1.0, -(-share * 100 // 1) / 100):.2f}"
