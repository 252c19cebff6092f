"""Activation checkpointing changes the memory that a step takes, and nothing else."""

import copy

import pytest
import torch
from torch import Tensor, nn

from stopgrad.config import Net
from stopgrad.errors import UserError
from stopgrad.nets.backbones import Backbone, build
from stopgrad.nets.recompute import blocks, keep_blocks, recompute_blocks


def kept(backbone: Backbone, images: Tensor) -> tuple[int, list[Tensor]]:
    """Return the bytes that a forward keeps for the way back, and the gradients and buffers after both."""
    held: dict[int, int] = {}

    def keep(x: Tensor) -> Tensor:
        held[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
        return x

    torch.manual_seed(0)  # of dropout
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        loss = backbone(images).square().mean()
    loss.backward()
    return sum(held.values()), [*(p.grad for p in backbone.parameters() if p.grad is not None), *backbone.buffers()]


@pytest.mark.parametrize(
    ("name", "count", "side"), [("resnet18", 8, 32), ("resnet50", 16, 32), ("timm/vit_tiny_patch16_224", 12, 32), ("mobilenet_v3_small", 13, 32)]
)
def test_the_same_bits_from_less_memory(name: str, count: int, side: int) -> None:
    torch.manual_seed(0)
    plain = build(Net(backbone=name, zero_init_residual=False), 3, side).train()
    again = copy.deepcopy(plain)
    recompute_blocks(again, name)
    assert len(blocks(plain, name)) == count
    images = torch.randn(4, 3, side, side)
    for _ in range(2):  # the second sees running statistics that the first moved
        much, expected = kept(plain, images)
        little, found = kept(again, images)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    assert little < 0.75 * much
    assert again.state_dict().keys() == plain.state_dict().keys()


def test_a_later_run_on_the_same_module_begins_anew() -> None:
    net = build(Net(backbone="resnet18", zero_init_residual=False), 3, 32).train()
    images = torch.randn(2, 3, 32, 32)
    much, _ = kept(net, images)
    for _ in range(2):
        keep_blocks(net)
        recompute_blocks(net, "resnet18")
    little, _ = kept(net, images)
    keep_blocks(net)
    assert little < 0.75 * much
    assert kept(net, images)[0] == much


def test_a_network_without_blocks_is_refused() -> None:
    net = Backbone(nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()), 4, 1)
    with pytest.raises(UserError, match=r"train.recompute: tiny is not made of repeated blocks"):
        recompute_blocks(net, "tiny")
