"""What a word says that a backbone is taken from: a run, a file, or a network by name. Imports no torch, so that a wrong word is answered at once."""

import re
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

from stopgrad.errors import UserError
from stopgrad.images.place import existing
from stopgrad.nets.layouts import NAMES
from stopgrad.nets.names import locate
from stopgrad.runs import RunDirectory, backbone_file

ENDINGS = (".pth", ".pt", ".tar", ".ckpt", ".bin", ".safetensors", ".pkl")
"""What a word that means a file ends with."""
EXPORTED = "model.safetensors"
"""The weights in a folder that ``stopgrad export --to timm`` writes."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A word, understood."""

    text: str
    kind: Literal["run", "file", "network"]
    path: Path | None
    """The run directory or the file; of a network the file of its weights, where one is named."""
    network: str | None = None
    """A network's name, prefix and all, without weights."""
    tag: str | None = None
    """The weights of a network that torchvision or timm have under this name; without them and a file it is random."""

    @property
    def trained(self) -> bool:
        """Whether there are weights, or only a network to be initialised."""
        return self.kind != "network" or self.path is not None or self.tag is not None


def wanted(text: str, layout: str | None = None) -> Wanted:
    """Return what ``text`` means: a run directory or a folder exported for timm; a file; else a network's name as ``stopgrad pretrain`` takes it,
    NAME:TAG or NAME.TAG with weights that torchvision or timm know by a tag, or NAME:FILE.

    ``layout`` is that of another project's file. Raises UserError for a path where nothing is, a run without a backbone, a name that
    nobody has, and a layout that there is not or where none is wanted.
    """
    _refuse_layout(text, layout)
    path = Path(text).expanduser()
    if path.is_dir():
        if layout is not None:
            raise UserError(f"{text}: a folder; --layout {layout} is for another project's file")
        if (path / EXPORTED).is_file():
            return Wanted(text=text, kind="file", path=path / EXPORTED)
        refuse_unbuildable(path)
        backbone_file(path)
        return Wanted(text=text, kind="run", path=path)
    if path.exists():
        return Wanted(text=text, kind="file", path=path)
    name, _, weights = text.partition(":")
    if not weights and (
        text.endswith(ENDINGS) or text.startswith((".", "~", "/")) or ("/" in text and not text.startswith(("torchvision/", "timm/")))
    ):
        existing(text)  # which raises
    if layout is not None:
        raise UserError(f"{text}: no such file; --layout {layout} is for another project's file")
    return _network(text, name, weights)


def judgeable(text: str, layout: str | None, data: object, head: int) -> Wanted:
    """Return what ``text`` means, where it can be judged on ``data``, with ``head`` layers of its projector. Raises UserError where not.

    None as ``data`` means the images of a run, which alone has some, and a projector.
    """
    meant = wanted(text, layout)
    if meant.kind != "run" and head:
        raise UserError(f"{text}: --head {head}: the projector is known of a run alone")
    if meant.kind != "run" and data is None:
        raise UserError(f"{text}: no images go with it; name labelled ones: --data LABELLED (in Python data=)")
    return meant


def refuse_unbuildable(path: Path) -> None:
    """Raise UserError when ``path`` holds no run, or one on a module of the user's own, which only Python can build."""
    if RunDirectory(path).read_config().net.own:
        raise UserError(f"{path}: its backbone is a module of your own, for Python only: stopgrad.load_backbone({str(path)!r}, into=YourModule())")


def _network(text: str, name: str, weights: str) -> Wanted:
    """Return the network ``name``, its ``weights`` as they stand behind the colon."""
    base, dot, tag = name.partition(".") if name.startswith("timm/") else (name, "", "")
    try:
        library, _ = locate(base)
    except UserError as error:
        raise UserError(f"{text}: no run or file, and no network: {str(error).removeprefix('net.backbone: ')}") from None
    if not weights:
        return Wanted(text=text, kind="network", path=None, network=base, tag=tag if dot else None)
    if library == "stopgrad":
        raise UserError(f"{text}: of stopgrad's own networks name the file alone, {weights!r}; for torchvision's weights torchvision/{name}:TAG")
    file = Path(weights).expanduser()
    if file.is_file() and not dot:
        return Wanted(text=text, kind="network", path=file, network=base)
    if library == "torchvision" and re.fullmatch(r"[A-Z][A-Z0-9_]*", weights):
        return Wanted(text=text, kind="network", path=None, network=base, tag=weights)
    tags = "a tag such as torchvision/resnet50:IMAGENET1K_V2" if library == "torchvision" else "a tag such as timm/resnet50.a1_in1k"
    raise UserError(f"{text}: no such file {weights!r}; weights are a file behind a colon, or {tags}")


def _refuse_layout(text: str, layout: str | None) -> None:
    if layout is not None and layout not in NAMES:
        close = get_close_matches(layout, NAMES, n=1)
        raise UserError(f"--layout: {layout!r} is none of {', '.join(NAMES)}{f'; did you mean {close[0]!r}?' if close else ''}")
    if not text:
        raise UserError("name a run directory, a file or a network")
