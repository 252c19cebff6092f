"""classifier.safetensors: a network that names classes, and what it takes to use it, in one file that appears whole or not at all.

A backbone, the layers of its projector that were kept (SimCLRv2), and a linear classifier. The backbone's tensors are called ``backbone.`` and
the network's own names. The metadata has one entry, ``stopgrad.classifier``, a JSON text (as in nets/files.py).
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from stopgrad.config import Net, net_from_json
from stopgrad.errors import UserError
from stopgrad.files import write_whole
from stopgrad.keys import generator
from stopgrad.nets.backbones import Backbone
from stopgrad.nets.files import digest_of, empty, read_tensors, state_of

Outputs = Literal["softmax", "sigmoid"]
"""What makes chances of the logits: a softmax over the classes, of which an image has one, or a sigmoid each, where it may show several."""
FORMS: dict[int, Outputs] = {1: "softmax", 2: "sigmoid"}
"""Version of the metadata to the outputs it is of: who knows the first form alone, and takes logits for a softmax's, cannot read the second."""
ENTRY = "stopgrad.classifier"


class Classifier(nn.Module):
    """Images (N, channels, H, W) to logits (N, classes): of a softmax or of sigmoids, as it was trained (``About.outputs``)."""

    def __init__(self, backbone: Backbone, head: nn.Sequential, classes: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        widths = [m.out_features for m in head if isinstance(m, nn.Linear)]
        self.fc = nn.Linear(widths[-1] if widths else backbone.features, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (N, classes) of images (N, channels, H, W)."""
        logits: Tensor = self.fc(self.head(self.backbone(x)))
        return logits

    @property
    def layers(self) -> int:
        """Layers of the projector."""
        return sum(isinstance(m, nn.Linear) for m in self.head)


def classifier_on(featuriser: Backbone, classes: int, init: Literal["zero", "normal"], seed: int) -> Classifier:
    """Return ``featuriser`` itself, no copy, with a new linear classifier: weights 0, or from N(0, 0.01²) by ``seed``, and biases 0.

    A featuriser that is a backbone with layers of its projector (``inside.with_head``) is taken apart again.
    """
    backbone, head = featuriser, nn.Sequential()
    if isinstance(featuriser.net, nn.Sequential) and isinstance(featuriser.net[0], Backbone):
        backbone, inside = featuriser.net[0], featuriser.net[1]
        assert isinstance(inside, nn.Sequential)
        head = inside
    with torch.random.fork_rng(devices=[]):  # which the layer's own initialisation draws from
        network = Classifier(backbone, head, classes)
    with torch.no_grad():
        drawn = generator("classifier", seed).normal(0, 0.01, network.fc.weight.shape)
        network.fc.weight.copy_(torch.from_numpy(drawn) if init == "normal" else torch.zeros_like(network.fc.weight))
        network.fc.bias.zero_()
    return network


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How the images that it was trained and judged on were read from their files (``config.Data``)."""

    short_side: int | None
    """Images whose shorter side is longer are reduced to it while they are read; None: every pixel is kept."""
    max_pixels: int
    """Images of more are set aside."""


@dataclass(frozen=True, kw_only=True)
class About:
    """What the file says of its network, besides its weights."""

    net: Net | None
    """How to build the backbone; None for a module of the user's own."""
    size: int
    """Side of the images it classifies, pixels."""
    share: float
    """Side of the central crop that is brought to ``size``, as a share of the image's shorter side."""
    mean: tuple[float, ...]
    """Taken off every channel (values 0..1)."""
    std: tuple[float, ...]
    """Divides every channel after that."""
    classes: tuple[str, ...]
    """Names of the classes, in the order of the logits."""
    outputs: Outputs
    """What the logits are of. The file of another than a softmax says so by its form, and in the entry ``outputs``."""
    extra: dict[str, str]
    reading: Reading | None = None
    """None: the file does not say; it was written before files did."""


@dataclass(frozen=True, kw_only=True)
class Loaded(About):
    """A classifier from a file, on the CPU and in evaluation mode."""

    network: Classifier
    sha256: str
    """Of the weights, as ``nets.files.digest_of`` has it."""


def save_classifier(path: Path, network: Classifier, about: About) -> None:
    """Write ``network`` to ``path``. Raises UserError when the file cannot be written, or a module keeps state that is no tensor."""
    assert network.fc.out_features == len(about.classes), "a name for every class"
    state = {f"backbone.{k}": v for k, v in state_of(network.backbone.net).items()}
    state |= {f"head.{k}": v for k, v in state_of(network.head).items()} | {f"fc.{k}": v for k, v in state_of(network.fc).items()}
    about = replace(about, net=about.net and replace(about.net, init=None))  # a path of this machine
    form = next(form for form, outputs in FORMS.items() if outputs == about.outputs)
    record = {"form": form, "channels": network.backbone.channels, "head": _described(network.head), "sha256": digest_of(state), **asdict(about)}
    if about.outputs == "softmax":  # such files stay as they were
        del record["outputs"]
    if about.reading is None:
        del record["reading"]
    write_whole(path, to_bytes(state, {ENTRY: json.dumps(record, sort_keys=True)}))


def load_classifier(path: Path, into: nn.Module | None = None) -> Loaded:
    """Return the classifier in ``path``, checked against its digest; nothing in the file is executed, and the random state stays.

    A file of the user's own module needs ``into``, a fresh one that takes the backbone's weights. Raises UserError when the file is
    missing, damaged, no classifier of stopgrad, or does not fit.
    """
    metadata, state = read_tensors(path)
    record = _record(path, metadata)
    try:
        about, head, channels, sha256 = _about(record), record["head"], int(record["channels"]), str(record["sha256"])
    except (KeyError, TypeError, ValueError, UserError) as error:
        raise UserError(f"{path}: its metadata is not what stopgrad writes ({error})") from None
    if sha256 != digest_of(state):
        raise UserError(f"{path}: damaged (its SHA-256 is not the one written with it); take it from its source again")
    if strange := sorted(name for name in state if name.partition(".")[0] not in ("backbone", "head", "fc")):
        raise UserError(f"{path}: its weights do not fit a classifier: {', '.join(strange)[:300]}")
    with torch.random.fork_rng(devices=[]):
        network = Classifier(empty(path, about.net, channels, about.size, into), _built(path, head), len(about.classes))
    try:
        for part, module in (("backbone", network.backbone.net), ("head", network.head), ("fc", network.fc)):
            module.load_state_dict({k.removeprefix(f"{part}."): v for k, v in state.items() if k.startswith(f"{part}.")})
    except RuntimeError as error:
        what = about.net.backbone if about.net else type(into).__name__
        raise UserError(f"{path}: its weights do not fit {what}: {' '.join(str(error).split())[:300]}") from None
    return Loaded(network=network.eval(), sha256=sha256, **vars(about))


def _record(path: Path, metadata: Mapping[str, str]) -> dict[str, Any]:
    """Return the entry, of a form that can be read."""
    if ENTRY not in metadata:
        raise UserError(f"{path}: not a classifier that stopgrad wrote (its metadata does not say so); fine-tune a backbone first")
    try:
        record: dict[str, Any] = json.loads(metadata[ENTRY])
        form = int(record["form"])
    except (json.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: its metadata is not what stopgrad writes ({error})") from None
    if form not in FORMS:
        raise UserError(f"{path}: written in form {form}, this version of stopgrad reads forms {' and '.join(map(str, FORMS))}")
    return record


def _about(record: dict[str, Any]) -> About:
    return About(
        net=None if record["net"] is None else net_from_json(record["net"]),
        size=int(record["size"]),
        share=float(record["share"]),
        mean=tuple(map(float, record["mean"])),
        std=tuple(map(float, record["std"])),
        classes=tuple(map(str, record["classes"])),
        outputs=FORMS[int(record["form"])],
        extra=dict(record["extra"]),
        reading=_reading(record.get("reading")),
    )


def _reading(record: dict[str, Any] | None) -> Reading | None:
    if record is None:
        return None
    short_side = record["short_side"]
    return Reading(short_side=None if short_side is None else int(short_side), max_pixels=int(record["max_pixels"]))


def _described(head: nn.Sequential) -> list[list[Any]]:
    """Return what a projector's layers are, as JSON holds it: ``["linear", inputs, outputs, bias]``, ``["bn", width, affine]``, ``["relu"]``."""
    found: list[list[Any]] = []
    for m in head:
        match m:
            case nn.Linear():
                found.append(["linear", m.in_features, m.out_features, m.bias is not None])
            case nn.BatchNorm1d():
                found.append(["bn", m.num_features, m.affine])
            case nn.ReLU():
                found.append(["relu"])
            case _:
                raise UserError(f"classifier: a projector with a {type(m).__name__} cannot be saved; tune from the backbone itself (head=0)")
    return found


def _built(path: Path, head: list[list[Any]]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for layer in head:
        match layer:
            case ["linear", int(inputs), int(outputs), bool(bias)]:
                layers.append(nn.Linear(inputs, outputs, bias=bias))
            case ["bn", int(width), bool(affine)]:
                layers.append(nn.BatchNorm1d(width, affine=affine))
            case ["relu"]:
                layers.append(nn.ReLU(inplace=True))
            case _:
                raise UserError(f"{path}: its metadata is not what stopgrad writes (a layer {layer!r})")
    return nn.Sequential(*layers)
