"""Whose network a name is. Imports neither torch nor the libraries: it reads what their files register, so that a mistyped name is told at once."""

import re
import sys
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from stopgrad.config import RESNETS
from stopgrad.errors import UserError

Library = Literal["stopgrad", "torchvision", "timm"]

_REGISTERED = re.compile(r'^@register_model(?:\((?:name="(\w+)")?\))?\n(?:(?!def |class )[^\n]*\n)*def (\w+)\(', re.MULTILINE)
"""A network's function in torchvision's and timm's files: after the decorator, whose ``name`` counts where it is given."""


def locate(backbone: str) -> tuple[Library, str]:
    """Return whose network ``backbone`` is and its name there: stopgrad's ResNets first, then torchvision, then timm.

    A prefix ``torchvision/`` or ``timm/`` insists. Raises UserError for a name that none of them has, with the nearest ones.
    """
    prefix, slash, name = backbone.rpartition("/")
    if slash and prefix not in ("torchvision", "timm"):
        raise UserError(f"net.backbone: the prefix of {backbone!r} is neither torchvision/ nor timm/")
    if not slash and name in RESNETS:
        return "stopgrad", name
    known = [] if slash else list(RESNETS)
    if prefix in ("", "torchvision"):
        known += (names := torchvision_names())
        if name in names:
            return "torchvision", name
    timm = timm_names() if prefix in ("", "timm") else None
    if timm is not None:
        known += timm
        if name in timm:
            return "timm", name
    elif prefix == "timm":
        raise UserError(f"net.backbone: {backbone} needs timm: {_INSTALL_TIMM}")
    raise UserError(f"net.backbone: no {name!r} {_where(prefix, timm is not None)}{_hints(name, known, not slash and timm is None)}")


def torchvision_names() -> list[str]:
    """Return torchvision's classification networks."""
    return _registered("torchvision") or []


def timm_names() -> list[str] | None:
    """Return timm's networks, without tags: those name weights, and a run starts from random ones. None where timm is not installed."""
    if (timm := sys.modules.get("timm")) is not None:  # it may know more than its files: networks that the caller registered
        names: list[str] = timm.list_models()
        return names
    return _registered("timm")


def _registered(library: str) -> list[str] | None:
    spec = find_spec(library)
    if spec is None or not spec.submodule_search_locations:
        return None
    files = sorted((Path(spec.submodule_search_locations[0]) / "models").glob("*.py"))
    return [named or function for file in files for named, function in _REGISTERED.findall(file.read_text(encoding="utf-8"))]


_INSTALL_TIMM = "pip install 'stopgrad[timm]'"


def _where(prefix: str, timm: bool) -> str:
    if prefix:
        return f"among {prefix}'s networks"
    return "among stopgrad's ResNets and the networks of torchvision" + (" and timm" if timm else "")


def _hints(name: str, known: list[str], no_timm: bool) -> str:
    """Return the nearest of the ``known`` names; of resnetN, those of ours, which a digit says nothing about."""
    ours = re.fullmatch(r"resnet\d+", name) is not None and RESNETS[0] in known
    close = list(RESNETS) if ours else get_close_matches(name, list(dict.fromkeys(known)), n=3)
    hint = (f"; there are {', '.join(close)}" if ours else f"; did you mean {', '.join(close)}?") if close else ""
    return hint + (f"; for timm's networks: {_INSTALL_TIMM}" if no_timm else "")
