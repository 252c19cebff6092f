"""torchvision's and timm's networks with weights: those that the library knows by a tag, from its cache, or those in a file; no download."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stopgrad.config import Net
from stopgrad.errors import UserError
from stopgrad.nets.architecture import differences, names_and_shapes
from stopgrad.nets.backbones import classifier, torchvision_net
from stopgrad.nets.foreign import Asked, Foreign, at, colours_and_size, described, differing, fill, fresh
from stopgrad.nets.layouts import IMAGENET, unwrapped
from stopgrad.nets.names import locate
from stopgrad.nets.pickled import read

PLACES = ((), ("state_dict",), ("model",))
"""Where a file may hold the state of a whole network."""
TRANSFORMING = ("googlenet", "inception_v3")
"""With their weights, torchvision's networks of these names take images normalised by ImageNet's colours and turn them into (x - 0.5) / 0.5."""


@dataclass(frozen=True, kw_only=True)
class _Usual:
    """How a library uses a network."""

    file: Path | None
    """Where the weights that were asked for by a tag lie."""
    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    left: tuple[str, ...]
    """What the keys of its classifiers begin with."""


def open_library(network: str, tag: str | None, file: Path | None, asked: Asked) -> Foreign:
    """Return the network ``network`` (as ``config.Net.backbone``) with the weights ``tag`` or those in ``file``, without its classifier.

    Its features are those of the library's. Raises UserError when the tag is not known, its file is not there or damaged, or does not fit.
    """
    library, name = locate(network)
    usual = _torchvision(network, name, tag) if library == "torchvision" else _timm(network, name, tag)
    path = file or usual.file
    assert path is not None
    size, mean, std = colours_and_size(path, 3, asked, usual.size, usual.mean, usual.std)
    net = Net(backbone=network, zero_init_residual=False)
    backbone = fresh(net, 3, size)
    state = _state(path, backbone.net.state_dict(), usual.left)
    if problems := differing(*differences(names_and_shapes(backbone.net), state)):
        raise UserError(f"{path}: not the weights of {network}: {'; '.join(problems)}")
    fill(backbone, state)
    known = f"as {library} has it" if tag else f"as {library} has it for its own weights, which the file does not say"
    note = f"images of {size} pixels, minus {mean}, over {std}: {known}, where --size, --mean and --std do not say otherwise"
    return described(path, backbone, net, (size, mean, std), f"{network}{f':{tag}' if tag else ''}", (note,))


def _state(path: Path, expected: Mapping[str, Tensor], left: tuple[str, ...]) -> dict[str, Tensor]:
    """Return the tensors of the file's state dict, wherever of ``PLACES`` it lies, but for its classifiers."""
    tree = read(path)
    tables: list[Mapping[str, Any]] = [table for names in PLACES if (table := at(tree, names)) is not None]
    bare = [{unwrapped(key): value for key, value in table.items() if isinstance(value, Tensor)} for table in tables]
    best = max(bare, key=lambda state: len(state.keys() & expected.keys()))
    return {key: value for key, value in best.items() if key in expected or not key.startswith(left)}


def _torchvision(network: str, name: str, tag: str | None) -> _Usual:
    from torchvision import models

    kinds = models.get_model_weights(name)
    if tag is not None and tag not in kinds.__members__:
        raise UserError(f"{network}:{tag}: torchvision has no such weights; there are {', '.join(kinds.__members__)}")
    weights = kinds[tag] if tag is not None else kinds.DEFAULT
    preset = weights.transforms()
    with torch.device("meta"):
        last = classifier(torchvision_net(name, preset.crop_size[0]))
    mean, std = ((0.5,) * 3,) * 2 if name in TRANSFORMING else (tuple(preset.mean), tuple(preset.std))
    file = None if tag is None else _cached(f"{network}:{tag}", Path(torch.hub.get_dir()) / "checkpoints" / weights.url.rpartition("/")[2])
    left = (f"{last}.", "AuxLogits.", "aux1.", "aux2.")
    return _Usual(file=file, size=preset.crop_size[0], mean=mean, std=std, left=left)


def _timm(network: str, name: str, tag: str | None) -> _Usual:
    import timm

    tags = [known.partition(".")[2] for known in timm.list_models(f"{name}.*", pretrained=True)]
    if tag is not None and tag not in tags:
        there = f"there are {', '.join(tags)}" if tags else "it has none for this network"
        raise UserError(f"{network}.{tag}: timm has no such weights; {there}")
    cfg = timm.models.get_pretrained_cfg(f"{name}.{tag}" if tag is not None else name)
    if cfg is None:
        return _Usual(file=None, size=224, mean=IMAGENET[0], std=IMAGENET[1], left=("fc.", "head.", "classifier."))
    heads = (cfg.classifier,) if isinstance(cfg.classifier, str) else tuple(cfg.classifier or ())
    file = None if tag is None else _timms_file(f"{network}.{tag}", cfg)
    return _Usual(file=file, size=cfg.input_size[-1], mean=tuple(cfg.mean), std=tuple(cfg.std), left=tuple(f"{head}." for head in heads))


def _timms_file(text: str, cfg: Any) -> Path:
    """Return where timm's download of the weights lies: in the cache of huggingface_hub, else in that of torch.hub."""
    import huggingface_hub

    names = [cfg.hf_hub_filename] if cfg.hf_hub_filename else ["model.safetensors", "pytorch_model.bin"]
    if cfg.hf_hub_id:
        for name in names:
            found = huggingface_hub.try_to_load_from_cache(cfg.hf_hub_id, name)
            if isinstance(found, str):
                return Path(found)
    url = Path(torch.hub.get_dir()) / "checkpoints" / (cfg.url or "").rpartition("/")[2]
    if cfg.url and (url.exists() or not cfg.hf_hub_id):
        return _cached(text, url)
    folder = Path(huggingface_hub.constants.HF_HUB_CACHE) / f"models--{cfg.hf_hub_id.replace('/', '--')}"
    raise UserError(f"{text}: its weights are not on this machine, and nothing is downloaded: expected is {names[0]} in {folder}; {_elsewhere(text)}")


def _cached(text: str, file: Path) -> Path:
    """Return ``file`` of torch.hub's cache. Raises UserError where it is not, or is not what the digest in its name says."""
    if not file.exists():
        raise UserError(f"{text}: its weights are not on this machine, and nothing is downloaded: expected is {file}; {_elsewhere(text)}")
    if digest := re.search(r"-([0-9a-f]{8,})\.\w+$", file.name):
        with open(file, "rb") as content:
            if not hashlib.file_digest(content, "sha256").hexdigest().startswith(digest[1]):
                raise UserError(f"{file}: damaged (its SHA-256 is not the one in its name); take it from its source again")
    return file


def _elsewhere(text: str) -> str:
    network = re.split(r"[:.]", text, maxsplit=1)[0]
    return f"or name it where it is: {network}:FILE"
