"""The one error that a user can cause, and what its line may ask."""

from collections.abc import Iterable
from difflib import get_close_matches


class UserError(ValueError):
    """Something the user can mend: the message says what, where and what to do, in one line.

    The command line prints the message and exits with status 2; everything else is a bug and keeps its traceback.
    """


class Lost(RuntimeError):
    """Another process of the same training is gone, or does not answer."""


class Interrupted(RuntimeError):
    """A signal asked to stop, and everything is saved: the same command goes on. The command line ends with status 75."""


class Diverged(RuntimeError):
    """The loss or a gradient is not finite; raised before anything of it could be saved. The command line ends with status 4."""


def meant(word: str, names: Iterable[str]) -> str:
    """Return the question whether the nearest of ``names`` was meant, with a space behind it; empty where none is near."""
    close = get_close_matches(word, list(names), n=1)
    return f"did you mean {close[0]!r}? " if close else ""
