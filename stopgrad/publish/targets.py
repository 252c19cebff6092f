"""Whose forms a backbone is exported in, and which files that writes. Imports no torch: a file in the way is told at once."""

from pathlib import Path

from stopgrad.errors import UserError
from stopgrad.onward import EXPORTS

TARGETS = tuple(EXPORTS)


def written(to: str, out: Path) -> list[Path]:
    """Return the files that an export for ``to`` writes."""
    return [out / "model.safetensors", out / "config.json"] if to == "timm" else [out]


def refuse_existing(to: str, out: Path, overwrite: bool) -> None:
    """Raise UserError when something is in the way."""
    files = written(to, out)
    if out in files and out.is_dir():
        raise UserError(f"{out}: a folder; this target writes a file, name one")
    there = [path for path in files if path.exists()]
    if there and not overwrite:
        raise UserError(f"{there[0]}: exists; choose another --out or add --overwrite")
