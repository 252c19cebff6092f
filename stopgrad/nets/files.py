"""backbone.safetensors: a backbone and what it takes to use it, in one file that appears whole or not at all.

The tensors bear the network's own names, so that for a ResNet plain torchvision loads them. The metadata has one entry,
``stopgrad``, a JSON text: one entry because safetensors writes several in random order, and equal backbones give equal files.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from stopgrad.config import Net, net_from_json
from stopgrad.errors import UserError
from stopgrad.files import write_whole
from stopgrad.nets.backbones import Backbone, build, wrap

FORM = 1
"""Version of the metadata; raised when an entry changes its meaning."""


@dataclass(frozen=True, kw_only=True)
class Header:
    """What the file says of its backbone."""

    net: Net | None
    """How to build it, without where its weights started; None for a module of the user's own."""
    channels: int
    size: int
    """Side of the images it was trained on, pixels."""
    mean: tuple[float, ...]
    """Taken off every channel (values 0..1); one value, or one a channel."""
    std: tuple[float, ...]
    """Divides every channel after that."""
    sha256: str
    """``digest`` of the backbone."""
    extra: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Loaded(Header):
    """A backbone from a file, on the CPU and in training mode, as a new module is."""

    backbone: Backbone


def save(path: Path, backbone: Backbone, net: Net | None, size: int, mean: tuple[float, ...], std: tuple[float, ...], extra: dict[str, str]) -> None:
    """Write ``backbone`` to ``path``; ``net`` is None for a module of the user's own. Fields as in ``Header``.

    Raises UserError when the file cannot be written, or the module keeps state that is no tensor.
    """
    state = state_of(backbone.net)
    net = net and replace(net, init=None)  # a path of this machine, which is nobody's business where the file goes
    header = Header(net=net, channels=backbone.channels, size=size, mean=mean, std=std, sha256=digest_of(state), extra=extra)
    write_whole(path, to_bytes(state, {"stopgrad": json.dumps({"form": FORM, **asdict(header)}, sort_keys=True)}))


def load(path: Path, into: nn.Module | None = None) -> Loaded:
    """Return the backbone in ``path``, checked against its digest; nothing in the file is executed.

    A file of the user's own module (``Header.net`` is None) needs ``into``: a fresh one, that takes the weights. The random
    state is left as it was. Raises UserError when the file is missing, damaged, no backbone of stopgrad, or does not fit.
    """
    metadata, state = read_tensors(path)
    header = _parse(path, metadata)
    if header.sha256 != digest_of(state):
        raise UserError(f"{path}: damaged (its SHA-256 is not the one written with it); take it from its source again")
    with torch.random.fork_rng(devices=[]):
        backbone = empty(path, header.net, header.channels, header.size, into)
    try:
        backbone.net.load_state_dict(state)
    except RuntimeError as error:
        what = header.net.backbone if header.net else type(into).__name__
        raise UserError(f"{path}: its weights do not fit {what}: {' '.join(str(error).split())[:300]}") from None
    return Loaded(backbone=backbone, **vars(header))


def digest(backbone: Backbone) -> str:
    """Return the SHA-256 (hex) of the names, types, shapes and bytes of the backbone's state; the device and layout do not matter."""
    return digest_of(state_of(backbone.net))


def state_of(net: nn.Module) -> dict[str, Tensor]:
    """Return copies of a network's parameters and buffers on the CPU, contiguous, none sharing memory with another.

    Raises UserError where it keeps state that is no tensor.
    """
    state = net.state_dict()
    for name, value in state.items():
        if not isinstance(value, Tensor):
            raise UserError(f"backbone: the state {name!r} of {type(net).__name__} is a {type(value).__name__}; only tensors can be saved")
    return {name: value.detach().cpu().clone(memory_format=torch.contiguous_format) for name, value in state.items()}


def digest_of(state: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 (hex) of the names, types, shapes and bytes of ``state``, contiguous tensors on the CPU."""
    sha = hashlib.sha256()
    for name in sorted(state):
        value = state[name]
        sha.update(json.dumps([name, str(value.dtype), list(value.shape)]).encode())
        sha.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return sha.hexdigest()


def read_tensors(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Return the metadata and the tensors of a safetensors file. Raises UserError when it is missing or damaged."""
    if path.is_dir():
        raise UserError(f"{path}: a folder; name the .safetensors file in it")
    try:
        with safe_open(path, "pt") as file:
            return file.metadata() or {}, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path}: cannot be read as safetensors, cut short or another kind of file ({error})") from None


def _parse(path: Path, metadata: dict[str, str]) -> Header:
    if "stopgrad" not in metadata:
        raise UserError(f"{path}: not a backbone that stopgrad wrote (its metadata does not say so)")
    try:
        record = json.loads(metadata["stopgrad"])
        form = record["form"]
        header = None if form != FORM else _header(record)
    except (json.JSONDecodeError, KeyError, TypeError, UserError) as error:
        raise UserError(f"{path}: its metadata is not what stopgrad writes ({error})") from None
    if header is None:
        raise UserError(f"{path}: written in form {form}, this version of stopgrad reads form {FORM}")
    return header


def _header(record: dict[str, Any]) -> Header:
    return Header(
        net=None if record["net"] is None else net_from_json(record["net"]),
        channels=int(record["channels"]),
        size=int(record["size"]),
        mean=tuple(map(float, record["mean"])),
        std=tuple(map(float, record["std"])),
        sha256=str(record["sha256"]),
        extra=dict(record["extra"]),
    )


def empty(path: Path, net: Net | None, channels: int, size: int, into: nn.Module | None) -> Backbone:
    """Return the backbone that the weights of ``path`` are to go into: ``into``, or else what ``net`` names. Raises UserError for neither."""
    if into is not None:
        return wrap(into, channels, size)
    if net is None:
        raise UserError(
            f"{path}: holds a module of your own, which stopgrad cannot build; in Python: "
            "module.load_state_dict(safetensors.torch.load_file(path)), or stopgrad's load(path, into=module)"
        )
    return build(net, channels, size)
