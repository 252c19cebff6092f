"""Activation checkpointing: a backbone's blocks are computed again on the way back, so that a larger batch fits the memory.

Chen et al., Training Deep Nets with Sublinear Memory Cost, arXiv:1604.06174. Losses and gradients are those without it, bit for bit.
"""

from contextlib import AbstractContextManager, nullcontext
from functools import partial

from torch import nn
from torch.utils.checkpoint import checkpoint

from stopgrad.errors import UserError
from stopgrad.nets.backbones import Backbone
from stopgrad.nets.norm import unmoved_statistics


def recompute_blocks(backbone: Backbone, name: str) -> None:
    """Let every block of ``backbone``, called ``name``, keep its input only. Raises UserError when it is not made of blocks."""
    for block in blocks(backbone, name):
        block.forward = partial(checkpoint, block.forward, use_reentrant=False, context_fn=partial(_contexts, block))


def keep_blocks(backbone: Backbone) -> None:
    """Undo ``recompute_blocks``, of an earlier run on the same module."""
    for module in backbone.modules():
        own = vars(module).get("forward")
        if isinstance(own, partial) and own.func is checkpoint:
            del module.forward


def blocks(backbone: Backbone, name: str) -> list[nn.Module]:
    """Return the blocks of ``backbone``, called ``name``: residual blocks, transformer layers. Raises UserError when it has none."""
    if found := _within(backbone):
        return found
    raise UserError(f"train.recompute: {name} is not made of repeated blocks that could be computed again; leave it false")


def _contexts(block: nn.Module) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """The second pass normalises by the same batch, which the running statistics have seen already."""
    return nullcontext(), unmoved_statistics(block)


def _within(module: nn.Module) -> list[nn.Module]:
    """Return the members of every sequence of composed modules, not those within another."""
    found: list[nn.Module] = []
    for child in module.children():
        members = list(child.children()) if isinstance(child, nn.Sequential | nn.ModuleList) else []
        if members and all(any(True for _ in member.children()) for member in members):
            found += [member for member in members if any(True for _ in member.parameters())]
        else:
            found += _within(child)
    return found
