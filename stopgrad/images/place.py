"""Whether images are where they are said to be; imports nothing heavy, so that a mistyped path is answered at once."""

from difflib import get_close_matches
from pathlib import Path

from stopgrad.errors import UserError

BUNDLED = "bundled"
"""The name of the set in the package."""
ARRAYS = "arrays"
"""The name of images handed over in memory, which no path leads back to."""


def existing(spec: str) -> Path:
    """Return the path that ``spec`` names. Raises UserError, with the nearest name beside it, when nothing is there."""
    path = Path(spec).expanduser()
    if not path.exists():
        raise UserError(f"{spec}: no such folder or file{_hint(path)}")
    return path


def reachable(source: str) -> bool:
    """Whether the images of a run are where its ``data.source`` says: arrays are nowhere, and a folder may have moved since."""
    return source == BUNDLED or Path(source).expanduser().exists()


def _hint(path: Path) -> str:
    siblings = [child.name for child in path.parent.iterdir()] if path.parent.is_dir() else []
    close = get_close_matches(path.name, [*siblings, BUNDLED], n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
