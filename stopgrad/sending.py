"""From the CPU to a GPU without waiting for it."""

from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor

ALIGNED = 16
"""Bytes; each tensor begins at a multiple of them, so that kernels may load it in wide pieces."""


def send(tensors: Sequence[Tensor], device: torch.device) -> list[Tensor]:
    """Return CPU tensors on ``device``, contiguous: to a GPU in one queued copy from pinned memory, which neither side waits for.

    On the CPU they are returned as they are. The pinned memory is torch's, which gives it out again once the copy is over.
    """
    if device.type == "cpu":
        return list(tensors)
    starts, total = [], 0
    for x in tensors:
        starts.append(total)
        total += -(-x.nbytes // ALIGNED) * ALIGNED
    here = torch.empty(total, dtype=torch.uint8, pin_memory=device.type == "cuda")
    for x, start in zip(tensors, starts, strict=True):
        _part(here, start, x).copy_(x)
    there = here.to(device, non_blocking=True)
    return [_part(there, start, x) for x, start in zip(tensors, starts, strict=True)]


def send_ahead(x: Tensor, device: torch.device) -> Tensor:
    """Return ``x``, flat, on ``device``: to a GPU on a stream of its own, so that images of the next step are copied while this one is computed.

    What is queued on the current stream from here on comes after the copy. The memory is not used anew before that has read it.
    """
    if device.type != "cuda" or x.is_cuda:
        return x.to(device)
    here, copying, computing = x.pin_memory(), _copying(device), torch.cuda.current_stream(device)
    with torch.cuda.stream(copying):
        there = here.to(device, non_blocking=True)
    computing.wait_stream(copying)
    there.record_stream(computing)
    return there


@cache
def _copying(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


def _part(block: Tensor, start: int, like: Tensor) -> Tensor:
    return block[start : start + like.nbytes].view(like.dtype).view(like.shape)
