"""Where to compute, and how exactly."""

import torch

from stopgrad.config.run import Precision
from stopgrad.errors import UserError
from stopgrad.world import world


def has_gpu() -> bool:
    """Whether a CUDA device is at hand."""
    return torch.cuda.is_available()


def gpu_count() -> int:
    """Return how many CUDA devices are at hand."""
    return torch.cuda.device_count()


def pick_device(asked: str) -> torch.device:
    """Return the device for ``auto``, ``cpu``, ``cuda`` or ``cuda:N``. Raises UserError for one that is not there."""
    if asked == "auto":
        asked = "cuda" if has_gpu() else "cpu"
    try:
        device = torch.device(asked)
    except RuntimeError:
        raise UserError(f"--device: {asked!r} is none of auto, cpu, cuda, cuda:N") from None
    if device.type not in ("cpu", "cuda"):
        raise UserError(f"--device: {asked!r} is none of auto, cpu, cuda, cuda:N")
    if device.type == "cpu":
        return device
    index = device.index if device.index is not None else world().local_rank if world().size > 1 else torch.cuda.current_device() if has_gpu() else 0
    if not has_gpu() or index >= torch.cuda.device_count():
        raise UserError(f"--device: cuda:{index} is not there ({torch.cuda.device_count()} CUDA devices are); use --device cpu")
    torch.cuda.set_device(index)  # events and waits that name no device are of this one
    return torch.device("cuda", index)


def pick_precision(asked: Precision, device: torch.device) -> Precision:
    """Return fp32 or bf16; ``auto`` is bf16 where the hardware multiplies it natively.

    Measured on a CPU with AVX512-BF16: a training step is 1.5 to 2 times faster (docs/design.md); without, bf16 is emulated and slower.
    """
    if asked != "auto":
        return asked
    if device.type == "cuda":
        return "bf16" if torch.cuda.get_device_capability(device) >= (8, 0) else "fp32"
    native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return "bf16" if native else "fp32"
