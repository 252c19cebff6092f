"""What a run leaves to the machine, settled when it begins and kept, since it decides how sums round: precision and threads.

The threads of an operation wait for each other at its end, hundreds of times a step: on a quiet machine two are 1.4 to 1.75 times as fast as
one, beside a single busy program 0.2 to 0.6 times (LOG.md, 2026-11-22). What a machine is like is not known from sizes; a few steps tell it.
"""

import copy
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median

import torch
from torch import Tensor, nn

from stopgrad.config import Run
from stopgrad.config.run import Precision
from stopgrad.device import pick_precision
from stopgrad.errors import UserError
from stopgrad.images.threads import cores
from stopgrad.nets.backbones import Backbone
from stopgrad.world import world

STEPS = 5
"""Measured with each number of threads, in turn."""
PATIENCE = 2.0
"""Seconds after which three of them must do."""
LONG = 0.03
"""Seconds that a measured step takes on all cores, at least: of as many images as that needs, from 4 to the batch."""
GAIN = 1.15
"""Threads must be so many times as fast as one to be taken: what comes to run beside it does not hurt one."""


def settle_precision(run: Run, backbone: Backbone, device: torch.device) -> Precision:
    """Return the precision that ``run`` asks for, or the device's best; never bf16 where the CPU computes it wrongly.

    Raises UserError when just that is asked for.
    """
    precision = pick_precision(run.train.precision, device)
    if precision == "fp32" or device.type != "cpu":
        return precision
    net = copy.deepcopy(backbone).to(device).eval()
    size = small = min(view.size for view in run.views)
    while _strides_over_a_pixel(net, run.data.channels, size):
        size *= 2
    if size == small:
        return precision
    if run.train.precision == "auto":
        return "fp32"
    raise UserError(
        f"train.precision: in bf16 on a CPU torch computes wrong gradients of strided convolutions over a single pixel, and {run.net.backbone} "
        f"comes down to one from views of {small}; take --set train.precision=fp32, or larger views (--set views.size={size})"
    )


def _strides_over_a_pixel(net: Backbone, channels: int, size: int) -> bool:
    """Whether a strided convolution of ``net`` meets maps of one pixel. Their gradient's outer taps are not written (torch 2.11, 2.15)."""
    found: list[bool] = []

    def look(conv: nn.Module, taken: tuple[Tensor, ...], result: Tensor) -> None:
        assert isinstance(conv, nn.Conv2d)
        found.append(max(conv.stride) > 1 and max(conv.kernel_size) > 1 and min(result.shape[2:]) == 1 and min(taken[0].shape[2:]) == 1)

    hooks = [conv.register_forward_hook(look) for conv in net.modules() if isinstance(conv, nn.Conv2d)]
    with torch.no_grad():
        net(torch.zeros(1, channels, size, size))
    for hook in hooks:
        hook.remove()
    return any(found)


def settle_threads(run: Run, backbone: Backbone, device: torch.device) -> int:
    """Return the threads that ``run`` is to compute with on ``device``; 0 on a GPU, where it does not matter.

    Where the run leaves it open: one, half the cores or all, whichever is fastest in a few steps of a copy of ``backbone``. Several processes
    share the cores, and so do the workers that decode streamed images.
    """
    if run.train.threads or device.type != "cpu":
        return run.train.threads
    shared = 1 if "OMP_NUM_THREADS" in os.environ else world().local_size
    most = max(1, torch.get_num_threads() // shared)
    if run.data.residence == "stream" and run.data.workers:
        return max(1, most // 2 if run.data.workers < 0 else most - run.data.workers)
    if most == 1 or world().size > 1:
        return most
    taken: dict[int, list[float]] = {threads: [] for threads in sorted({1, most // 2, most} - {0})}
    with torch.random.fork_rng(devices=[]):
        step = _Step(run, backbone, most)
        while len(taken[1]) < STEPS and (len(taken[1]) < 3 or sum(map(sum, taken.values())) < PATIENCE):
            for threads, seconds in taken.items():
                with computing_with(threads):
                    seconds.append(step.seconds())
    times = {threads: median(seconds) for threads, seconds in taken.items()}
    best = min(times, key=times.__getitem__)
    return best if times[1] > GAIN * times[best] else 1


@contextmanager
def computing_with(threads: int) -> Iterator[None]:
    """Compute with so many threads, though no more than this process' share of the cores, and with as many as before afterwards; 0: as it is."""
    before = torch.get_num_threads()
    torch.set_num_threads(min(threads, max(1, cores() // world().local_size)) or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def repeatable(run: Run, device: torch.device) -> None:
    """Ask a GPU for deterministic kernels, where the run does; else for the fastest convolutions, which it tries out: shapes stay as they are."""
    if run.train.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS needs it to be deterministic, and reads it once
    if torch.are_deterministic_algorithms_enabled() != run.train.deterministic:  # setting it imports torch's compiler: seconds
        torch.use_deterministic_algorithms(run.train.deterministic)
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = not run.train.deterministic


@contextmanager
def memory_named(run: Run) -> Iterator[None]:
    """Say in one line that a GPU's memory is too small for the run, and what takes less. Raises UserError."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise UserError(
            f"the GPU has no room for batches of {run.train.batch} ({str(error).partition('. ')[0]}); take a smaller --batch, or parts of it "
            f"(--set train.accumulate={2 * run.train.accumulate}), or --set train.recompute=true"
        ) from None


class _Step:
    """Forward and backward of a copy of a backbone on noise."""

    def __init__(self, run: Run, backbone: Backbone, most: int) -> None:
        self.bf16 = run.train.precision == "bf16"
        self.net = copy.deepcopy(backbone).train().to("cpu", memory_format=torch.channels_last)  # type: ignore[call-overload]
        size, images, part = run.views[0].size, 2, run.train.batch // run.train.accumulate
        with computing_with(most):
            while True:
                images = min(2 * images, part)
                self.images = torch.randn(images, run.data.channels, size, size).contiguous(memory_format=torch.channels_last)
                self.seconds()  # the first of a shape prepares
                if images == part or self.seconds() >= LONG:
                    break

    def seconds(self) -> float:
        """Return the time of one step."""
        began = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
            features = self.net(self.images)
        features.float().square().mean().backward()
        return time.perf_counter() - began
