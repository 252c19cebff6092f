"""Everything that touches torch.distributed. In one process every function is the identity.

Process r holds the r-th of equal slices of every batch, so that rows gathered in the order of ranks are the batch in its own order.
Each process has the mean loss of its slice, which may depend on the others' rows through ``gather``; the mean of the gradients over
processes is then the gradient of the mean over the batch, which one process would compute.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from stopgrad.errors import Lost
from stopgrad.parent import end_with_parent
from stopgrad.world import World, world

P = ParamSpec("P")
T = TypeVar("T")

PATIENCE = timedelta(hours=1)
"""How long a process waits for the others: rank 0 judges and writes while they wait."""


@contextmanager
def together(device: torch.device) -> Iterator[World]:
    """Join the processes that torchrun started, for as long as the context lasts; alone, do nothing."""
    here = world()
    if here.size == 1 or dist.is_initialized():
        yield here
        return
    if "TORCHELASTIC_RUN_ID" in os.environ:
        end_with_parent()  # torchrun killed with -9 would leave this process behind, holding the device
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
    yield here
    wait()  # for the first process to have written everything: torchrun ends them all when one leaves with another status than 0
    dist.destroy_process_group()  # not after an error: the others may be waiting, and torchrun ends them


def rank() -> int:
    """Return the number of this process, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def size() -> int:
    """Return the number of processes."""
    return dist.get_world_size() if dist.is_initialized() else 1


def _named(collective: Callable[P, T]) -> Callable[P, T]:
    """Turn the backend's error into one that says which process lost contact."""

    @wraps(collective)
    def called(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return collective(*args, **kwargs)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            raise Lost(f"rank {rank()} of {size()} lost contact with another process in {collective.__name__}: {error}") from error

    return called


@_named
def _all_gather(x: Tensor) -> Tensor:
    x = x.contiguous()
    out = x.new_empty((size() * x.shape[0], *x.shape[1:]))
    dist.all_gather_into_tensor(out, x)
    return out


@_named
def _all_sum(x: Tensor) -> Tensor:
    x = x.clone(memory_format=torch.contiguous_format)
    dist.all_reduce(x)
    return x


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return _all_gather(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return _all_sum(grads[0]).chunk(size())[rank()]


class _Total(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return _all_sum(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return _all_sum(grads[0])


def gather(x: Tensor) -> Tensor:
    """Return the rows of all processes in the order of ranks, (n, ...) to (size · n, ...); gradients flow back to every process."""
    if size() == 1:
        return x
    gathered: Tensor = _Gather.apply(x)
    return gathered


def total(x: Tensor) -> Tensor:
    """Return the sum of ``x`` over all processes; gradients flow back to every process."""
    if size() == 1:
        return x
    summed: Tensor = _Total.apply(x)
    return summed


def mine(x: Tensor) -> Tensor:
    """Return this process's slice of the rows of ``x``, which every process has whole."""
    return x if size() == 1 else x.chunk(size())[rank()]


@torch.no_grad()
def average_(tensors: Sequence[Tensor]) -> None:
    """Replace every tensor by its mean over the processes.

    One flat sum in the order given: sums over three or more processes then do not depend on what the process did before, as they
    would under DDP, which lays its buckets out anew after its first step; a resumed run would not be bit for bit the undisturbed one.
    """
    if size() == 1 or not tensors:
        return
    flat = _all_sum(torch.cat([t.flatten() for t in tensors])) / size()
    for t, mean in zip(tensors, torch.split(flat, [t.numel() for t in tensors]), strict=True):
        t.copy_(mean.view_as(t))


def sums(values: Sequence[float]) -> list[float]:
    """Return each number's sum over the processes: how all of them decide alike."""
    if size() == 1:
        return list(values)
    return [float(v) for v in _all_sum(torch.tensor(values, dtype=torch.float64)).tolist()]


@_named
def greatest(values: Sequence[int]) -> list[int]:
    """Return the greatest of every number over the processes."""
    if size() == 1:
        return list(values)
    most = torch.tensor(values)
    dist.all_reduce(most, dist.ReduceOp.MAX)
    return [int(v) for v in most.tolist()]


@_named
def everyones(value: Any) -> list[Any]:
    """Return the value of every process, in the order of ranks."""
    if size() == 1:
        return [value]
    values: list[Any] = [None] * size()
    dist.all_gather_object(values, value)
    return values


@_named
def wait() -> None:
    """Wait until every process has come here."""
    if size() > 1:
        dist.barrier()
