"""Checkpoints as other projects write them: the network is built and wrapped as the project does it, in plain torch, and saved as it saves.

Nothing here knows the table of layouts. Every maker returns what is saved, and the network whose features are the right ones.
"""

import argparse
import copy
import itertools
from collections.abc import Callable
from typing import Any

import torch
import torchvision
from torch import Tensor, nn

Saved = tuple[Any, Callable[[Tensor], Tensor]]


class Parts(nn.Module):
    """A module of named parts, such as an encoder, a predictor and a queue (a plain tensor becomes a buffer)."""

    def __init__(self, **parts: nn.Module | Tensor) -> None:
        super().__init__()
        for name, part in parts.items():
            self.register_buffer(name, part) if isinstance(part, Tensor) else self.add_module(name, part)


class Wrapped(nn.Module):
    """Holds its network as ``module``, as DistributedDataParallel and DataParallel do."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module


def resnet(name: str = "resnet18", width: int = 16, **options: Any) -> nn.Module:
    """torchvision's ResNet-18 or -50, narrow, with BN statistics of its own; any other network of torchvision's as it is."""
    if name in ("resnet18", "resnet50"):
        with torch.device("meta"):  # what stays of it has no weights
            net = torchvision.models.get_model(name, weights=None)
        depths, block = [len(stage) for stage in (net.layer1, net.layer2, net.layer3, net.layer4)], type(net.layer1[0])
        net.inplanes = width
        net.conv1, net.bn1 = nn.Conv2d(3, width, 7, 2, 3, bias=False), nn.BatchNorm2d(width)
        for i, depth in enumerate(depths):
            setattr(net, f"layer{i + 1}", net._make_layer(block, width << i, depth, stride=2 if i else 1))
        net.fc = nn.Linear(8 * width * block.expansion, options.get("num_classes", 10))
    else:
        net = torchvision.models.get_model(name, weights=None, **options)
    for m in net.modules():
        if isinstance(m, nn.BatchNorm2d):
            m.running_mean.normal_(0, 0.1)  # type: ignore[union-attr]
            m.running_var.uniform_(0.5, 1.5)  # type: ignore[union-attr]
            m.num_batches_tracked.fill_(7)  # type: ignore[union-attr, operator]
    return net


def headless(net: nn.Module) -> Callable[[Tensor], Tensor]:
    """Its features: all children but the last, by numbers as they stood when this was called."""
    body = nn.Sequential(*copy.deepcopy(list(net.children())[:-1])).eval()
    return lambda x: body(x).flatten(1)


def head(*widths: int) -> nn.Sequential:
    return nn.Sequential(*[m for a, b in itertools.pairwise(widths) for m in (nn.Linear(a, b), nn.BatchNorm1d(b), nn.ReLU())])


def checkpoint(state: dict[str, Tensor], **beside: Any) -> dict[str, Any]:
    """What the ImageNet example of PyTorch and all its descendants save."""
    momentum = {"state": {0: {"momentum_buffer": torch.zeros(3)}}, "param_groups": [{"lr": 0.1}]}
    return {"epoch": 100, "arch": "resnet18", "state_dict": state, "optimizer": momentum} | beside


def simsiam() -> Saved:
    net = resnet()
    features = headless(net)
    net.fc = nn.Sequential(*[*head(128, 128, 128), nn.Linear(128, 16), nn.BatchNorm1d(16, affine=False)])
    predictor = nn.Sequential(nn.Linear(16, 4, bias=False), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 16))
    return checkpoint(Wrapped(Parts(encoder=net, predictor=predictor)).state_dict()), features


def moco(version: int) -> Saved:
    net = resnet("resnet50", num_classes=8)
    features = headless(net)
    if version == 2:
        net.fc = nn.Sequential(nn.Linear(512, 512), nn.ReLU(), net.fc)
    momentum = copy.deepcopy(net)
    for p in momentum.parameters():
        p.data += 1
    both = Parts(encoder_q=net, encoder_k=momentum, queue=torch.randn(8, 32), queue_ptr=torch.zeros(1, dtype=torch.long))
    return checkpoint(Wrapped(both).state_dict()), features


def swav(prototypes: nn.Module, whole: bool, widen: int = 1) -> Saved:
    """swav's own ResNet pads by a layer of its own, 1, and by 2 in the convolution; its widths are torchvision's times ``widen``."""
    net = resnet("resnet18", 16 * widen)
    features = headless(net)
    del net.fc
    net.projection_head = nn.Sequential(nn.Linear(128 * widen, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 8))
    net.prototypes = prototypes
    state = Wrapped(net).state_dict()
    return (checkpoint(state, amp={"loss_scaler0": {"loss_scale": 1.0, "unskipped": 3}}) if whole else state), features


def byol_lucidrains() -> Saved:
    net = resnet()
    features = headless(net)
    encoder = Parts(net=net, projector=head(128, 16))
    learner = Parts(net=net, online_encoder=encoder, online_predictor=head(16, 16), target_encoder=copy.deepcopy(encoder))
    return learner.state_dict(), features


def byol_sthalles() -> Saved:
    net = resnet()
    online = Parts(encoder=nn.Sequential(*list(net.children())[:-1]), projetion=Parts(net=head(128, 16)))
    states = {"online_network_state_dict": online.state_dict(), "target_network_state_dict": copy.deepcopy(online).state_dict()}
    return states | {"optimizer_state_dict": {"state": {}, "param_groups": []}}, headless(net)


def simclr_sthalles() -> Saved:
    net = resnet(num_classes=16)
    features = headless(net)
    net.fc = nn.Sequential(nn.Linear(128, 128), nn.ReLU(), net.fc)
    return checkpoint(Parts(backbone=net).state_dict()), features


def simclr_leftthomas(counted: bool) -> Saved:
    net = small_stem(resnet(), padding=1)
    f = nn.Sequential(*[m for m in net.children() if not isinstance(m, nn.Linear | nn.MaxPool2d | nn.Identity)])
    model = Parts(f=f, g=nn.Sequential(nn.Linear(128, 32, bias=False), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 8)))
    state = model.state_dict()
    if counted:  # by thop, which counts operations in buffers
        state |= {f"{name}.total_ops" if name else "total_ops": torch.zeros(1, dtype=torch.float64) for name, _ in model.named_modules()}
    return state, headless(net)


def small_stem(net: nn.Module, padding: int) -> nn.Module:
    net.conv1, net.maxpool = nn.Conv2d(3, 16, 3, 1, padding, bias=False), nn.Identity()
    return net


def simclr_spijkervet() -> Saved:
    net = resnet()
    features = headless(net)
    net.fc = nn.Identity()
    projector = nn.Sequential(nn.Linear(128, 128, bias=False), nn.ReLU(), nn.Linear(128, 64, bias=False))
    return Wrapped(Parts(encoder=net, projector=projector)).module.state_dict(), features


class BnRelu(nn.Sequential):
    def __init__(self, width: int, relu: bool = True) -> None:
        super().__init__(nn.BatchNorm2d(width), nn.ReLU() if relu else nn.Identity())


class Shortcut(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
        self.bn = BnRelu(outputs, relu=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.bn(self.shortcut(x))
        return out


class Block(nn.Module):
    """The block of the PyTorch port of SimCLR v2: its main branch is one Sequential."""

    def __init__(self, inputs: int, width: int, stride: int, projected: bool) -> None:
        super().__init__()
        self.projection = Shortcut(inputs, 4 * width, stride) if projected else nn.Identity()
        main = [nn.Conv2d(inputs, width, 1, bias=False), BnRelu(width), nn.Conv2d(width, width, 3, stride, 1, bias=False), BnRelu(width)]
        self.net = nn.Sequential(*main, nn.Conv2d(width, 4 * width, 1, bias=False), BnRelu(4 * width, relu=False))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.projection(x) + self.net(x))


def simclr_separius(times: int) -> Saved:
    def stage(depth: int, inputs: int, width: int, stride: int) -> nn.Module:
        rest = [Block(4 * width, width, 1, projected=False) for _ in range(depth - 1)]
        return Parts(blocks=nn.ModuleList([Block(inputs, width, stride, projected=True), *rest]))

    base = 8 * times
    stem = nn.Sequential(nn.Conv2d(3, base, 7, 2, 3, bias=False), BnRelu(base), nn.MaxPool2d(3, 2, 1))
    stages = [stage(d, [base, 4 * base, 8 * base, 16 * base][i], base << i, 2 if i else 1) for i, d in enumerate((3, 4, 6, 3))]
    net = nn.Sequential(stem, *stages)
    for m in net.modules():
        if isinstance(m, nn.BatchNorm2d):
            m.running_mean.normal_(0, 0.1)  # type: ignore[union-attr]

    def features(x: Tensor) -> Tensor:
        x = net[0](x)
        for blocks in stages:
            for block in blocks.blocks:  # type: ignore[union-attr]
                x = block(x)
        return x.mean(dim=[2, 3])

    net.eval()
    return {"resnet": Parts(net=net, fc=nn.Linear(32 * base, 10)).state_dict(), "head": Parts(layers=head(32 * base, 8)).state_dict()}, features


def lightly(form: str) -> Saved:
    net = resnet()
    features = headless(net)
    if form == "named":
        net.fc = nn.Identity()
        backbone = net
    else:
        backbone = nn.Sequential(*list(net.children())[:-1])
    if form == "backbone":
        return backbone.state_dict(), features
    heads = {name: Parts(layers=head(128, 16)) for name in ("projection_head", "prediction_head", "projection_head_momentum")}
    momentum = {"backbone_momentum": copy.deepcopy(backbone)}
    model = Parts(backbone=backbone, **heads, **momentum)
    if form == "named":
        model = Parts(backbone=backbone, projection_head=heads["projection_head"], online_classifier=Parts(linear=nn.Linear(128, 10)))
    if form == "plain":
        return model.state_dict(), features
    return {"epoch": 3, "global_step": 12, "pytorch-lightning_version": "2.1.0", "state_dict": model.state_dict(), "loops": {}}, features


def solo_learn(attribute: str, cifar: bool) -> Saved:
    net = small_stem(resnet(), padding=2) if cifar else resnet()
    features = headless(net)
    net.fc = nn.Identity()
    parts = {attribute: net, f"momentum_{attribute}": copy.deepcopy(net), "projector": head(128, 16), "momentum_projector": head(128, 16)}
    model = Parts(**parts, predictor=head(16, 16), classifier=nn.Linear(128, 10), queue=torch.randn(2, 16), queue_ptr=torch.zeros(1))
    return {"epoch": 3, "state_dict": model.state_dict(), "hyper_parameters": argparse.Namespace(method="byol", lr=0.1)}, features


def vissl() -> Saved:
    net = resnet("resnet50")
    blocks = nn.ModuleDict({name: part for name, part in net.named_children() if name not in ("relu", "fc")})
    trunk = Parts(_feature_blocks=blocks).state_dict()
    model = {"trunk": trunk, "heads": nn.ModuleList([head(512, 16)]).state_dict()}
    classy = {"train": True, "base_model": {"model": model, "meta": {}}, "optimizer": {}, "losses": [0.1, 0.2]}
    return {"phase_idx": 9, "iteration": 900, "classy_state_dict": classy}, headless(net)


def mmpretrain(form: str) -> Saved:
    net = resnet("resnet50")
    features = headless(net)
    del net.fc
    meta = {"epoch": 200, "mmselfsup_version": "1.0.0rc5", "cfg": "model = dict(type='MoCo')"}
    if form == "extracted":
        return {"state_dict": net.state_dict(), "author": "MMSelfSup"}, features
    neck = Parts(mlp=nn.Sequential(nn.Linear(512, 16)))
    momentum = Parts(steps=torch.tensor(0), module=nn.Sequential(copy.deepcopy(net), copy.deepcopy(neck)))
    parts = {"backbone": net, "neck": neck, "head": Parts(fc=nn.Linear(16, 2)), "encoder_k": momentum}
    return {"meta": meta, "state_dict": Parts(**parts, queue=torch.randn(16, 32), queue_ptr=torch.zeros(1)).state_dict()}, features


def torchvisions(name: str, form: str) -> Saved:
    net = resnet(name)
    features, state = headless(net), net.state_dict()
    match form:
        case "plain":
            return state, features
        case "old":  # of PyTorch before 0.4.1, which did not count batches
            return {key: value for key, value in state.items() if "num_batches" not in key}, features
        case "references":
            return {"model": state, "optimizer": {}, "epoch": 9, "args": argparse.Namespace(lr=0.1)}, features
        case "compiled":
            return checkpoint({f"module._orig_mod.{key}": value for key, value in state.items()}), features
        case _:
            return {key: value.half() if value.is_floating_point() else value for key, value in state.items()}, _in_half(net)


def _in_half(net: nn.Module) -> Callable[[Tensor], Tensor]:
    return headless(copy.deepcopy(net).half().float())


FILES: dict[str, tuple[str, Callable[[], Saved]]] = {
    "simsiam": ("simsiam", simsiam),
    "moco v1": ("moco", lambda: moco(1)),
    "moco v2": ("moco", lambda: moco(2)),
    "swav": ("swav", lambda: swav(nn.Linear(8, 30, bias=False), whole=False)),
    "swav, resumable": ("swav", lambda: swav(nn.Linear(8, 30, bias=False), whole=True)),
    "deepcluster v2": ("swav", lambda: swav(Parts(prototypes0=nn.Linear(8, 30), prototypes1=nn.Linear(8, 30)), whole=False)),
    "swav, wide": ("swav", lambda: swav(nn.Linear(8, 30, bias=False), whole=False, widen=2)),
    "lucidrains": ("byol-lucidrains", byol_lucidrains),
    "byol sthalles": ("byol-sthalles", byol_sthalles),
    "simclr sthalles": ("simclr-sthalles", simclr_sthalles),
    "leftthomas": ("simclr-leftthomas", lambda: simclr_leftthomas(counted=False)),
    "leftthomas, counted": ("simclr-leftthomas", lambda: simclr_leftthomas(counted=True)),
    "spijkervet": ("simclr-spijkervet", simclr_spijkervet),
    "separius": ("simclr-separius", lambda: simclr_separius(1)),
    "separius, wide": ("simclr-separius", lambda: simclr_separius(2)),
    "lightly": ("lightly", lambda: lightly("ckpt")),
    "lightly, state": ("lightly", lambda: lightly("plain")),
    "lightly, backbone": ("lightly-backbone", lambda: lightly("backbone")),
    "lightly, by name": ("lightly-resnet", lambda: lightly("named")),
    "solo-learn": ("solo-learn", lambda: solo_learn("backbone", cifar=False)),
    "solo-learn, cifar": ("solo-learn", lambda: solo_learn("backbone", cifar=True)),
    "solo-learn, old": ("solo-learn-encoder", lambda: solo_learn("encoder", cifar=True)),
    "vissl": ("vissl", vissl),
    "mmpretrain": ("mmpretrain", lambda: mmpretrain("whole")),
    "mmselfsup, extracted": ("torchvision", lambda: mmpretrain("extracted")),
    "torchvision": ("torchvision", lambda: torchvisions("resnet50", "plain")),
    "torchvision, old": ("torchvision", lambda: torchvisions("resnet18", "old")),
    "torchvision, references": ("torchvision", lambda: torchvisions("resnet18", "references")),
    "compiled in parallel": ("torchvision", lambda: torchvisions("resnet18", "compiled")),
    "half": ("torchvision", lambda: torchvisions("resnet18", "half")),
    "wide_resnet50_2": ("torchvision", lambda: torchvisions("wide_resnet50_2", "plain")),
    "resnext50_32x4d": ("torchvision", lambda: torchvisions("resnext50_32x4d", "plain")),
}
"""The layout that each file has, and what makes it."""
