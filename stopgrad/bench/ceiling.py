"""What this machine can do at most: its rate at large products and convolutions, and at copying. Measured, since data sheets say another number."""

import torch
import torch.nn.functional as F

from stopgrad.bench.trial import UNWAITED, seconds

TRIES = 5


def product_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Return operations a second of a large matrix product, the best of some tries."""
    n = 8192 if device.type == "cuda" else 1024
    a, b = (torch.randn(n, n, device=device).to(dtype) for _ in range(2))
    return 2 * n**3 / min(seconds(lambda: a @ b, device) for _ in range(TRIES))


def convolution_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Return operations a second of a ResNet's commonest layer (3x3, 64 to 64 channels, 32 x 32), forward and backward, the best of some tries."""
    n, c, side = (512 if device.type == "cuda" else 32), 64, 32
    x = torch.randn(n, c, side, side, device=device).to(dtype).contiguous(memory_format=torch.channels_last).requires_grad_()
    w = torch.randn(c, c, 3, 3, device=device).to(dtype).contiguous(memory_format=torch.channels_last).requires_grad_()
    given = torch.randn(n, c, side, side, device=device).to(dtype).contiguous(memory_format=torch.channels_last)

    times = UNWAITED if device.type == "cuda" else 1

    def work() -> None:
        for _ in range(times):
            torch.autograd.grad(F.conv2d(x, w, padding=1), (x, w), given)

    work()
    return times * 3 * 2 * n * side**2 * c**2 * 9 / min(seconds(work, device) for _ in range(TRIES))


def copy_rate(device: torch.device) -> float:
    """Return bytes a second read and written by a copy of a large tensor, the best of some tries."""
    size = 2**30 if device.type == "cuda" else 2**27
    a, b = (torch.zeros(size // 4, device=device) for _ in range(2))
    return 2 * size / min(seconds(lambda: b.copy_(a), device) for _ in range(TRIES))


def transfer_rate(device: torch.device) -> float:
    """Return bytes a second from pinned RAM to the device, the best of some tries."""
    host, there = torch.zeros(2**28, dtype=torch.uint8).pin_memory(), torch.zeros(2**28, dtype=torch.uint8, device=device)
    return 2**28 / min(seconds(lambda: there.copy_(host, non_blocking=True), device) for _ in range(TRIES))
