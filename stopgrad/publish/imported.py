"""Take another project's checkpoint over as a backbone file of stopgrad's own."""

from pathlib import Path

from stopgrad.errors import UserError
from stopgrad.nets.files import save
from stopgrad.nets.foreign import Asked, Foreign, open_file


def import_backbone(file: Path, out: Path, asked: Asked, overwrite: bool = False) -> list[str]:
    """Write the backbone in another project's ``file`` to ``out``, a backbone.safetensors, and return what was done, line by line.

    ``asked`` is what the file does not say itself. The new file says in its ``extra`` where it is from: the file's name and SHA-256, and the
    layout. Nothing in ``file`` is executed. Raises UserError as ``open_foreign`` does, when ``file`` is stopgrad's own already, and when
    ``out`` exists and ``overwrite`` is False.
    """
    if out.is_dir():
        raise UserError(f"{out}: a folder; name a file in it")
    if out.exists() and not overwrite:
        raise UserError(f"{out}: exists; choose another place, or replace it by --overwrite")
    found = open_file(file, asked)
    if not isinstance(found, Foreign):
        raise UserError(f"{file}: is a backbone file of stopgrad's own already")
    assert found.net is not None  # only a module of the user's own has none
    save(out, found.backbone, found.net, found.size, found.mean, found.std, found.extra)
    stem = f", {found.net.stem} stem" if "/" not in found.net.backbone else ""
    width = f", width {found.net.width}" if found.net.width != 64 else ""
    what = f"{found.net.backbone}{width}{stem}, {found.backbone.features} features an image of {found.channels} channels"
    return [*found.notes, f"{out}: {what}, {out.stat().st_size / 1e6:.1f} MB, from {file.name}"]
