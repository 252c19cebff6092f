"""Hand a backbone over: files that plain torchvision, timm, safetensors or detectron2 code loads, and that code.

``export`` returns lines that are a Python program: what was written as comments, then the code that loads it as ``net``; for detectron2,
which builds its detectors by itself, as ``cfg``.
"""

import io
import json
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stopgrad.config import Net
from stopgrad.errors import UserError
from stopgrad.files import write_whole
from stopgrad.nets.backbones import classifier, first_convolution, timm_options, torchvision_net, torchvision_options
from stopgrad.nets.files import Loaded, save
from stopgrad.nets.foreign import Foreign, open_own
from stopgrad.nets.names import locate
from stopgrad.nets.resnet import RESNETS, STEMS
from stopgrad.publish.detectron2 import configuration, depth_of, renamed
from stopgrad.publish.targets import TARGETS, refuse_existing, written


def export(backbone_file: Path, to: str, out: Path, overwrite: bool = False) -> list[str]:
    """Write the backbone in ``backbone_file`` for ``to``, one of ``TARGETS``, and return the code that loads it, line by line.

    torchvision: ``out`` is a state dict for ``torch.load(weights_only=True)``. timm: ``out`` is a folder for
    ``timm.create_model("local-dir:...")`` with the run's own mean, std and size. safetensors: ``out`` is a plain state dict
    with the metadata of backbone.safetensors. In the code ``net`` maps images (N, C, H, W) to features (N, F).
    detectron2: ``out`` is a .pth file of tensors under its names, for ResNets as its own.

    Raises UserError when the target cannot express the backbone, when ``out`` exists and ``overwrite`` is False, and as ``open_own`` does.
    """
    if to not in TARGETS:
        close = get_close_matches(to, TARGETS, n=1)
        raise UserError(f"--to: {to!r} is none of {', '.join(TARGETS)}{f'; did you mean {close[0]!r}?' if close else ''}")
    refuse_existing(to, out, overwrite)
    loaded = open_own(backbone_file)
    assert loaded.net is not None  # reading raises for modules that cannot be built by name
    writers = {"torchvision": _to_torchvision, "timm": _to_timm, "safetensors": _to_safetensors, "detectron2": _to_detectron2}
    code = writers[to](loaded, loaded.net, out)
    megabytes = sum(path.stat().st_size for path in written(to, out)) / 1e6
    mean, std = _per_channel(loaded)
    return [
        f"# {str(out)!r}: {loaded.net.backbone}, {loaded.backbone.features} features an image, {megabytes:.1f} MB",
        *(f"# {note}." for note in (loaded.notes if isinstance(loaded, Foreign) else ())),
        f"# Trained on images ({loaded.channels}, {loaded.size}, {loaded.size}) of values 0..1, minus {mean}, over {std}.",
        *code,
        *([] if to == "detectron2" else ["net.eval()"]),
    ]


def _to_torchvision(loaded: Loaded, net: Net, out: Path) -> list[str]:
    if locate(net.backbone)[0] == "timm":
        raise UserError(f"--to torchvision: {net.backbone} is a network of timm's; use --to timm or --to safetensors")
    content = io.BytesIO()
    torch.save(_state(loaded), content)
    write_whole(out, content.getvalue())
    return ["import torch", "import torchvision", *_construction(loaded, net), f"net.load_state_dict(torch.load({str(out)!r}, weights_only=True))"]


def _to_safetensors(loaded: Loaded, net: Net, out: Path) -> list[str]:
    save(out, loaded.backbone, net, loaded.size, loaded.mean, loaded.std, loaded.extra)
    library = "timm" if locate(net.backbone)[0] == "timm" else "torchvision"
    imports = ["import safetensors.torch", *(["import timm"] if library == "timm" else ["import torch", "import torchvision"])]
    return [*imports, *_construction(loaded, net), f"net.load_state_dict(safetensors.torch.load_file({str(out)!r}))"]


def _to_timm(loaded: Loaded, net: Net, out: Path) -> list[str]:
    config = _timm_config(loaded, net)
    if out.exists() and not out.is_dir():
        raise UserError(f"{out}: a file; --to timm writes a folder, name one")
    save(out / "model.safetensors", loaded.backbone, net, loaded.size, loaded.mean, loaded.std, loaded.extra)
    write_whole(out / "config.json", (json.dumps(config, indent=2) + "\n").encode())
    return ["import timm", f"net = timm.create_model({f'local-dir:{out}'!r}, pretrained=True)"]


def _to_detectron2(loaded: Loaded, net: Net, out: Path) -> list[str]:
    depth = depth_of(net, loaded.channels)
    content = io.BytesIO()
    torch.save({"model": renamed(_state(loaded)), "__author__": "stopgrad", "matching_heuristics": True}, content)
    write_whole(out, content.getvalue())
    return configuration(str(out), depth, *_per_channel(loaded))


def _construction(loaded: Loaded, net: Net) -> list[str]:
    """Return code that builds the backbone as ``net``, from torch, torchvision and timm alone."""
    library, name = locate(net.backbone)
    if library == "stopgrad":
        return _resnet_construction(net, loaded.channels)
    if library == "timm":
        options = timm_options(name, loaded.channels, loaded.size)
        return [f"net = timm.create_model({name!r}, pretrained=False{_arguments(options)})"]
    untouched = torchvision_net(name, loaded.size)
    lines = [f"net = torchvision.models.get_model({name!r}, weights=None{_arguments(torchvision_options(name, loaded.size))})"]
    if loaded.channels != 3:
        path = first_convolution(untouched)
        lines.append(f"net.set_submodule({path!r}, torch.nn.{loaded.backbone.net.get_submodule(path)})")
    return [*lines, f"net.set_submodule({classifier(untouched)!r}, torch.nn.Identity())"]


def _resnet_construction(net: Net, channels: int) -> list[str]:
    block, depths = RESNETS[net.backbone]
    kind = f"torchvision.models.resnet.{block.__name__}"
    lines = [
        f"net = torchvision.models.ResNet({kind}, {list(depths)})" if net.backbone == "resnet10" else f"net = torchvision.models.{net.backbone}()"
    ]
    kernel, stride, padding, pool = STEMS[net.stem]
    if (channels, net.stem, net.width) != (3, "imagenet", 64):
        lines.append(f"net.conv1 = torch.nn.Conv2d({channels}, {net.width}, {kernel}, stride={stride}, padding={padding}, bias=False)")
    if not pool:
        lines.append("net.maxpool = torch.nn.Identity()")
    if net.width != 64:  # torchvision has no argument for it, but the method that makes its stages
        lines += [f"net.bn1 = torch.nn.BatchNorm2d({net.width})", f"net.inplanes = {net.width}"]
        lines += [f"net.layer{i + 1} = net._make_layer({kind}, {net.width << i}, {depth}, stride={2 if i else 1})" for i, depth in enumerate(depths)]
    return [*lines, "net.fc = torch.nn.Identity()"]


def _timm_config(loaded: Loaded, net: Net) -> dict[str, Any]:
    """Return config.json as timm reads it. Nothing is taken over from timm's supervised weights: the tag, mean and std are the run's."""
    library, name = locate(net.backbone)
    if library == "torchvision":
        raise UserError(f"--to timm: {net.backbone} is a network of torchvision's; use --to torchvision or --to safetensors")
    fields = (("stem", str(net.stem), "imagenet"), ("width", str(net.width), "64"))
    if library == "stopgrad" and (wrong := [field for field in fields if field[1] != field[2]]):
        has = " and ".join(f"{field} {value} (timm's: {theirs})" for field, value, theirs in wrong)
        anew = " ".join(f"--set net.{field}={theirs}" for field, _, theirs in wrong)
        raise UserError(f"--to timm: this {net.backbone} has {has}; use --to torchvision or --to safetensors, or pretrain anew with {anew}")
    if library == "stopgrad":
        architecture, arguments = (name, {}) if name != "resnet10" else ("resnet18", {"layers": list(RESNETS[name][1])})
        layers = {"first_conv": "conv1", "classifier": "fc", "fixed_input_size": False}
    else:
        options = timm_options(name, loaded.channels, loaded.size)
        architecture, arguments = name, {key: options[key] for key in options if key == "img_size"}
        layers = _timm_layers(name)
    mean, std = _per_channel(loaded)
    own = {
        "tag": "stopgrad",
        "custom_load": False,
        "input_size": [loaded.channels, loaded.size, loaded.size],
        "interpolation": "bilinear",
        "crop_mode": "center",
        "crop_pct": CROP if loaded.size >= 128 else 1.0,
        "mean": mean,
        "std": std,
        "num_classes": 0,
        "pool_size": None,
    }
    return {
        "architecture": architecture,
        "num_classes": 0,
        "num_features": loaded.backbone.features,
        "model_args": arguments,
        "pretrained_cfg": own | layers,
    }


CROP = 0.875
"""Side of the centre crop as a share of the shorter side: 224 of 256, as on ImageNet; smaller images than its are taken whole."""


def _timm_layers(architecture: str) -> dict[str, Any]:
    import timm

    cfg = timm.models.get_pretrained_cfg(architecture)
    assert cfg is not None, architecture
    return {"first_conv": cfg.first_conv, "classifier": cfg.classifier, "fixed_input_size": cfg.fixed_input_size}


def _per_channel(loaded: Loaded) -> tuple[list[float], list[float]]:
    """Return mean and standard deviation with one value a channel."""
    mean, std = (list(v) * (loaded.channels // len(v)) for v in (loaded.mean, loaded.std))
    return mean, std


def _state(loaded: Loaded) -> dict[str, Tensor]:
    return {name: value.contiguous() for name, value in loaded.backbone.net.state_dict().items()}


def _arguments(options: dict[str, Any]) -> str:
    return "".join(f", {name}={value!r}" for name, value in options.items())
