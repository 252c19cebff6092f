"""Which parameters of a network share a learning rate: layer by layer, less and less from the classifier down.

A layer is a numbered part of the backbone (``layer1.0``, ``blocks.3``, ``encoder_layer_2``), with what follows it unnumbered; what comes before
the first is the stem. The layers of a projector that were kept are one more, and the classifier is the last. The rate of a layer is that of
the next times ``decay`` (Bao et al., BEiT, arXiv:2106.08254, App.: layer-wise learning rate decay).
"""

import re

from torch.nn import Parameter

from stopgrad.errors import UserError
from stopgrad.nets.classifier import Classifier
from stopgrad.optim import Group

_NUMBERED = re.compile(r"(?:^|\.)(?:\w*_)?\d+(?=\.)")


def groups(network: Classifier, layer_decay: float, head_lr: float, plain_fc: bool) -> list[Group]:
    """Return every trainable parameter of ``network`` once, the stem's first and the classifier's last.

    ``plain_fc``: the classifier is neither decayed nor adapted. Raises UserError when rates are to differ and the backbone has no numbered layers.
    """
    below = layers(network)
    if layer_decay < 1 and len(below) < 3:
        raise UserError(f"layer_decay: {type(network.backbone.net).__name__} has no numbered layers whose rates could differ; take layer_decay=1")
    top = len(below)
    scaled = [Group(tuple(layer), scale=layer_decay ** (top - depth)) for depth, layer in enumerate(below)]
    return [*scaled, Group(_named(network, "fc."), scale=head_lr, plain=plain_fc)]


def layers(network: Classifier) -> list[list[tuple[str, Parameter]]]:
    """Return the layers below the classifier, first to last, each its named trainable parameters."""
    found: dict[str, list[tuple[str, Parameter]]] = {}
    current = ""
    for name, parameter in _named(network, "backbone.net."):
        if number := _NUMBERED.search(own := name.removeprefix("backbone.net.")):
            current = own[: number.end()]
        found.setdefault(current, []).append((name, parameter))
    head = [list(_named(network, "head."))] if network.layers else []
    return [*found.values(), *head]


def _named(network: Classifier, prefix: str) -> tuple[tuple[str, Parameter], ...]:
    return tuple((n, p) for n, p in network.named_parameters() if n.startswith(prefix) and p.requires_grad)
