"""The peers that are measured beside us, and which of them are installed here."""

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

import stopgrad

NEEDS: dict[str, tuple[str, ...]] = {
    "kornia": ("kornia",),
    "albumentations": ("albumentations", "opencv-python-headless"),
    "lightly": ("lightly", "pytorch-lightning"),
    "solo-learn": ("pytorch-lightning",),
}
"""The packages that a peer's case imports. The official loop and solo-learn's are our own words for their published settings."""

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it asks a server for its newest version whenever it is imported


def installed(package: str) -> str | None:
    """Return the version of a package; None where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def lacking(peer: str) -> list[str]:
    """Return the packages that the cases of ``peer`` need and that are not installed."""
    return [package for package in NEEDS[peer] if installed(package) is None]


def machine(device: torch.device) -> str:
    """Return the date, the machine and the versions that numbers belong to."""
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
    else:
        info = Path("/proc/cpuinfo")
        lines = info.read_text().splitlines() if info.exists() else []
        name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    packages = ("torch", "torchvision", "pillow", *dict.fromkeys(package for needed in NEEDS.values() for package in needed))
    versions = ", ".join(f"{package} {found}" for package in packages if (found := installed(package)))
    python = f"Python {platform.python_version()}, stopgrad {stopgrad.__version__}"
    return f"{datetime.now(UTC):%Y-%m-%d}, {name}, {os.cpu_count()} cores, {python}, {versions}"
