"""Where decoded images live: on the device, in RAM, or nowhere (streamed), decided from free memory and said in one line."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from stopgrad.errors import UserError

Kind = Literal["device", "ram", "stream"]

DEVICE_SHARE = 0.5
"""Share of the device's free memory that images may take by themselves; training needs the rest."""
RAM_SHARE = 0.7


@dataclass(frozen=True)
class Residence:
    """The decision."""

    kind: Kind
    line: str
    """The decision with its numbers, for the user."""


def decide(needed: int, asked: Literal["auto", "device", "ram", "stream"], ram: int, device: int | None, mapped: str | None = None) -> Residence:
    """Return where ``needed`` bytes of decoded images go, given the free bytes of RAM and of the device (None: it has no memory of its own).

    ``auto``: the device while at most half of its free memory is taken, else RAM up to 70 % of what is free, else streaming; images
    for the device pass through RAM, so they must fit there too. ``mapped``: where they lie in a file that is mapped as it is; then RAM need
    not have room for them, the system drops and reads pages as it can. Raises UserError when the place asked for is too small.
    """
    size = f"{megabytes(needed)} of decoded images"
    if asked == "stream":
        return Residence("stream", f"{size}: streamed, as data.residence says")
    if asked == "device" and device is not None:
        _need(needed, device, "device", "the device")
        return Residence("device", f"{size}: on the device, as data.residence says ({megabytes(device)} free)")
    fits = device is not None and needed <= DEVICE_SHARE * device
    if mapped is not None and not (asked == "auto" and fits):
        return Residence("ram", f"{size}: mapped from {mapped}")
    if asked in ("ram", "device"):
        _need(needed, ram, asked, "RAM")
        why = "the device has no memory of its own" if asked == "device" else "as data.residence says"
        return Residence("ram", f"{size}: in RAM, {why} ({megabytes(ram)} free)")
    if mapped is None and needed > RAM_SHARE * ram:
        return Residence("stream", f"{size}: streamed, decoded again every epoch ({megabytes(ram)} of RAM free)")
    if device is not None and fits:
        return Residence("device", f"{size}: on the device ({megabytes(device)} free)")
    return Residence("ram", f"{size}: in RAM ({megabytes(ram)} free)")


def _need(needed: int, free: int, asked: str, place: str) -> None:
    if needed > free:
        raise UserError(
            f"data.residence: {asked} needs {megabytes(needed)}, but {place} has {megabytes(free)} free; "
            "use --set data.residence=stream, or a smaller data.short_side"
        )


def free_device(device: str) -> int | None:
    """Return the free bytes of a CUDA device; None for a device that shares the RAM."""
    if not device.startswith("cuda"):
        return None
    import torch  # not before it is certain that there is a GPU to ask

    return int(torch.cuda.mem_get_info(device)[0])


def free_ram() -> int:
    """Return the bytes of RAM that this process may still take: what the system calls available, within the limits of its control groups.

    Where the system does not say what is available (not Linux), half of all its RAM.
    """
    meminfo = Path("/proc/meminfo")
    if not meminfo.exists():
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    available = int(meminfo.read_text().split("MemAvailable:")[1].split()[0]) * 1024
    return min([available, *_group_limits(Path("/proc/self/cgroup").read_text(), Path("/sys/fs/cgroup"))])


def _group_limits(groups: str, mount: Path) -> list[int]:
    """Return what every control group around this process still allows: version 2 (``0::/path``) and version 1 (``N:memory:/path``)."""
    free = []
    for line in groups.splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        top = mount / controllers
        limit, used = ("memory.max", "memory.current") if not controllers else ("memory.limit_in_bytes", "memory.usage_in_bytes")
        inner = top / path.lstrip("/")
        for group in (inner, *inner.parents):
            if group.is_relative_to(top):
                free += _left(group / limit, group / used, group / "memory.stat")
    return free


def _left(limit: Path, used: Path, statistics: Path) -> list[int]:
    """Return limit − used of one group, files that the system would drop not counted as used; nothing where there is no limit."""
    if not (limit.is_file() and used.is_file()) or (text := limit.read_text().strip()) == "max":
        return []
    lines = statistics.read_text().splitlines() if statistics.is_file() else []
    droppable = sum(int(line.split()[1]) for line in lines if line.split()[0] == "inactive_file")
    return [max(0, int(text) - int(used.read_text()) + droppable)]


def megabytes(count: int) -> str:
    """Return a number of bytes for people: 9.4 MB, 139.8 GB (powers of ten)."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
