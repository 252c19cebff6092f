"""Features that are computed once and kept in a folder: judging by several protocols, or again, passes no image through the network twice.

A file is known by all that decides its bits: the network's weights, kind and settings (as its ``repr`` tells them), the images, their
preparation, the version of torch, the device and the threads. The images are known by their content: names and sizes, by which a run knows its own,
may well be those of another folder, and numbers of other images would be silently wrong.
"""

import hashlib
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from stopgrad.errors import UserError
from stopgrad.files import write_whole
from stopgrad.protocols.features import PART, Labelled, Preparation, features

LIMIT = 4 * 10**9
"""Bytes that a folder may take, where nothing else is said."""
_FORM = "stopgrad features 1"


def _silent(line: str) -> None:
    """Nobody listens."""


@dataclass(frozen=True)
class FeatureCache:
    """A folder of features. Files of it may be removed at any time; nothing else in the folder is touched."""

    folder: Path
    limit: int = LIMIT
    """Bytes that its files may take together: beyond that the ones longest not used go."""
    tell: Callable[[str], object] = _silent
    """Hears of files that cannot be used or kept, a line each."""

    def features(self, featuriser: nn.Module, images: Labelled, prep: Preparation, device: torch.device) -> Tensor:
        """Return what ``features`` returns, bit for bit: (N, F) float32 on the CPU; from the folder where they lie there. Raises as it does."""
        if images.identify is None:
            return features(featuriser, images, prep, device)
        file = self.folder / f"features-{_key(featuriser, images.identify(), prep, device)}.safetensors"
        kept = self._read(file, len(images)) if file.exists() else None
        if kept is not None:
            return kept
        found = features(featuriser, images, prep, device)
        self._keep(file, found)
        return found

    def _read(self, file: Path, images: int) -> Tensor | None:
        """Return the features in ``file``; None, and a line said, where it is not what was written."""
        try:
            with safe_open(file, "pt") as opened:
                said = opened.metadata() or {}
                found: Tensor | None = opened.get_tensor("features") if list(opened.keys()) == ["features"] else None
            os.utime(file)  # used now
        except (OSError, SafetensorError) as error:
            self.tell(f"{file}: cannot be read ({' '.join(str(error).split())}); its features are computed again")
            return None
        if found is None or said.get("form") != _FORM or len(found) != images or said.get("sha256") != _sha256(found):
            self.tell(f"{file}: damaged, or not written by stopgrad; its features are computed again")
            return None
        return found

    def _keep(self, file: Path, found: Tensor) -> None:
        content = save({"features": found}, {"form": _FORM, "sha256": _sha256(found)})
        if len(content) > self.limit:
            self.tell(f"features of {len(content) / 1e9:.2g} GB are not kept: {self.folder} may take {self.limit / 1e9:.2g} GB")
            return
        try:
            write_whole(file, content)
        except UserError as error:  # the features are there all the same
            self.tell(f"features are not kept: {error}")
            return
        self._make_room(file)

    def _make_room(self, newest: Path) -> None:
        files = sorted((path.stat().st_mtime_ns, path) for path in self.folder.glob("features-*.safetensors") if path != newest)
        total = newest.stat().st_size + sum(path.stat().st_size for _, path in files)
        for _, path in files:
            if total <= self.limit:
                return
            total -= path.stat().st_size
            path.unlink()


def _key(featuriser: nn.Module, images: str, prep: Preparation, device: torch.device) -> str:
    """Return a hex digest of all that decides the bits of the features."""
    where = (
        torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else f"{torch.get_num_threads()} threads {torch.backends.cpu.get_cpu_capability()}"
    )
    about = (type(featuriser).__name__, repr(featuriser), asdict(prep), images, torch.__version__, where, PART)
    sha = hashlib.sha256(repr(about).encode())
    for name, value in sorted(featuriser.state_dict().items()):
        sha.update(repr((name, str(value.dtype), tuple(value.shape))).encode())
        sha.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return sha.hexdigest()[:32]


def _sha256(found: Tensor) -> str:
    return hashlib.sha256(found.contiguous().view(torch.uint8).numpy().data).hexdigest()
