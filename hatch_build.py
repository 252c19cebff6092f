"""Compile views/kernels.c while the package is built, by Zig's C compiler: it comes from the package index, so no machine needs one of its own.

Once for every kind of processor that torch tells apart (``torch.backends.cpu.get_cpu_capability``): views/kernels-KIND.so. Every library
carries the digest of its source, so that one left over from an older source is not used.
"""

import hashlib
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

KINDS = {"default": "x86_64_v2", "avx2": "x86_64_v3", "avx512": "x86_64_v4"}
FLAGS = ["-shared", "-fPIC", "-s", "-O3", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-Wall", "-Wextra", "-Werror"]
"""No contraction and no reordering: every processor then computes the same bits."""


class Kernels(BuildHookInterface):  # type: ignore[type-arg]
    """Hatchling's hook."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile beside the source; a wheel is then for this platform, and any Python."""
        if self.target_name != "wheel":
            return
        views = Path(self.root) / "stopgrad" / "views"
        for kind, processor in kinds().items():
            compile_kernels(views / "kernels.c", views / f"kernels-{kind}.so", processor)
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{_platform()}"


def kinds() -> dict[str, str | None]:
    """Return what to compile for: kind to Zig's name of the processor; None is the least of its architecture."""
    return dict(KINDS) if platform.machine().lower() in ("x86_64", "amd64") else {"default": None}


def compile_kernels(source: Path, library: Path, processor: str | None) -> None:
    """Compile ``source`` into ``library``."""
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    march = [f"-march={processor}"] if processor else []
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / library.name
        asked = [*FLAGS, *march, f'-DSOURCE="{digest}"', str(source), "-o", str(made)]
        subprocess.run([sys.executable, "-m", "ziglang", "cc", *asked], check=True)
        new = library.with_suffix(".new")
        new.write_bytes(made.read_bytes())
        new.replace(library)  # a process that has the old one open keeps it


def _platform() -> str:
    from packaging.tags import platform_tags

    return next(iter(platform_tags()))
