"""stopgrad's training step on the same images and network, as its loop makes it."""

import torch

from benchmarks.images import small_images
from benchmarks.loops.gate import asked
from benchmarks.training import ours
from stopgrad.config.run import Compile
from stopgrad.heap import keep_heap
from stopgrad.images.bundled import open_bundled
from stopgrad.images.planes import Planes
from stopgrad.views.on_gpu import has_triton


def pixels(setting: str) -> list[Planes]:
    """Return the images of a setting, as the peers' loops have them."""
    images = open_bundled().train.array()
    assert images is not None
    return small_images() if setting == "cifar" else [*images]


def main() -> None:
    """Train until nobody asks for more."""
    found, gate = asked(__doc__)
    keep_heap()  # as stopgrad pretrain does
    device = torch.device(found.device)
    mode: Compile = "reduce-overhead" if device.type == "cuda" and has_triton() else "no"
    trial = ours(found.setting, pixels(found.setting), found.batch, found.precision, device, mode)
    while True:
        trial.steps(found.every)
        for _ in range(found.every):
            gate.passed()


if __name__ == "__main__":
    main()
