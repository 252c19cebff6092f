"""Slow copies of networks, and queues of what they made: the momentum encoders of MoCo, BYOL and SimCLRv2."""

import copy
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

M = TypeVar("M", bound=nn.Module)


def slow_copy(fast: M) -> M:
    """Return a copy of ``fast`` that no gradient reaches. Its BN keeps running statistics of its own, as in MoCo's code."""
    slow = copy.deepcopy(fast)
    slow.requires_grad_(False)
    return slow


@torch.no_grad()
def follow(slow: nn.Module, fast: nn.Module, momentum: float) -> None:
    """ξ ← m·ξ + (1 − m)·θ for every parameter (MoCo Eq. 2, BYOL Eq. 1)."""
    torch._foreach_lerp_(list(slow.parameters()), list(fast.parameters()), 1 - momentum)


class Queue(nn.Module):
    """The newest ``length`` vectors of width d, the oldest replaced first. Begins with random unit vectors, as MoCo's."""

    rows: Tensor
    """(length, d)."""
    next: Tensor
    """Where the next vectors go, int64 (1,)."""
    seen: Tensor
    """Vectors ever pushed, int64 (1,)."""

    def __init__(self, length: int, d: int) -> None:
        super().__init__()
        self.register_buffer("rows", F.normalize(torch.randn(length, d), dim=1))
        self.register_buffer("next", torch.zeros(1, dtype=torch.int64))
        self.register_buffer("seen", torch.zeros(1, dtype=torch.int64))
        self._full = False

    @property
    def full(self) -> bool:
        """Whether nothing is left of the random vectors. Asked of a GPU, which is waited for, until it is so."""
        self._full = self._full or int(self.seen) >= len(self.rows)
        return self._full

    @torch.no_grad()
    def push(self, keys: Tensor) -> None:
        """Put ``keys`` (N, d) in the place of the oldest; of more than ``length``, the last ones."""
        length = len(self.rows)
        keys = keys[-length:].to(self.rows.dtype)
        places = (self.next + torch.arange(len(keys), device=keys.device)) % length
        self.rows.index_copy_(0, places, keys)
        self.next.add_(len(keys)).remainder_(length)
        self.seen.add_(len(keys))
