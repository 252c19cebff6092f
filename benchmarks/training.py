"""Training images a second: ours beside the peers' loops, on the same images, network and batch.

ResNet-18 with the CIFAR stem, heads 512-512-2048 and 2048-512-2048 with BN, where the network is nearly all; and the slim ResNet-10 of
``stopgrad demo``, where making views counts too. Every loop is a process of its own
(``benchmarks.loops``) and makes a step when it is told to, so that they take turns and nothing of one touches another.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from benchmarks.child import Loop
from benchmarks.images import small_images
from benchmarks.measure import Case, Row, compare, seconds, spread
from benchmarks.page import rates, table
from benchmarks.peers import lacking
from stopgrad.config import Run
from stopgrad.config.run import Precision
from stopgrad.device import pick_precision
from stopgrad.finite import Finite
from stopgrad.heap import keep_heap
from stopgrad.images.planes import Planes
from stopgrad.images.pool import Pool
from stopgrad.loader import Batch, Order
from stopgrad.methods import Method, Task, initialise
from stopgrad.optim import Optimizer, peak_lr
from stopgrad.recipes import RECIPES
from stopgrad.train import prepare_backbones, render_views, train_step

BASE = "official loop, fp32"
LOOPS = {
    BASE: ("official", "fp32"),
    "lightly in PyTorch Lightning, fp32": ("with_lightly", "fp32"),
    "lightly in PyTorch Lightning, bf16-mixed": ("with_lightly", "bf16"),
    "solo-learn re-created, fp32": ("solo_learn", "fp32"),
    "solo-learn re-created, bf16-mixed": ("solo_learn", "bf16"),
    "stopgrad, fp32": ("ours", "fp32"),
    "stopgrad, bf16": ("ours", "bf16"),
}
"""Module and precision of every case. The official code has no switch for another precision."""
NOTE = (
    "Same images, network and batch for all, every loop in a process of its own, no loader workers. official loop: facebookresearch/simsiam "
    "(a7bc177), re-created. lightly: its heads, loss, transform and data set in a Trainer with `precision` 32-true or bf16-mixed. solo-learn: its "
    "package asks for torchvision 0.10.1 and cannot be installed; re-created from its published CIFAR settings (channels last, online classifier, "
    "its own crops and blur)."
)
PEERS = {"with_lightly": "lightly", "solo_learn": "solo-learn"}
STAGES = {
    "render": "both views",
    "forward": "",
    "backward": "",
    "check": "gradient norm, finite or not",
    "optimiser": "",
    "rest": "order, keys, bookkeeping",
}


def as_peers() -> Run:
    """Return the recipe for CIFAR with the three-layer head of the official code, which the peers' loops have."""
    base = RECIPES["simsiam/cifar10"]()
    method = replace(base.method, projector=(512, 512, 2048))  # type: ignore[call-arg]  # SimSiam has one
    return replace(base, net=replace(base.net, zero_init_residual=True), method=method)


class Ours:
    """Our loop on the same network, and its stages one by one."""

    def __init__(
        self, images: Sequence[Planes], batch: int, precision: Precision, device: torch.device, compiled: bool = False, setting: str = "cifar"
    ) -> None:
        base = as_peers() if setting == "cifar" else RECIPES["demo"]()
        self.run: Run = replace(base, train=replace(base.train, batch=batch, precision=precision, compile=compiled))
        self.pool = Pool.from_arrays(list(images)).to(device)
        self.method: Method = initialise(self.run, Task(len(images), batch)).to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        prepare_backbones(self.run, self.method)
        self.finite = Finite(self.run, late=device.type == "cuda")
        self.optimizer = Optimizer(self.method.param_groups(), self.run.optim)
        self.order = Order(0, len(images), batch)
        self.at = 0
        self.device = device

    def batch(self) -> Batch:
        """Return the next batch."""
        self.at += 1
        rows = self.order.of_step(self.at)
        return Batch(self.pool, rows, rows)

    def step(self) -> float:
        """Make one step and return its loss."""
        rate = peak_lr(self.run.optim, self.run.train.batch)
        return float(train_step(self.run, self.method, self.optimizer, self.batch(), self.at, rate, self.finite).loss)

    def stages(self) -> dict[str, float]:
        """Make one step by its parts and return the seconds of each."""
        batch, found, rate = self.batch(), {}, peak_lr(self.run.optim, self.run.train.batch)
        views: list[Tensor] = []
        found["render"] = seconds(lambda: views.extend(next(iter(render_views(self.run, batch, self.at)))), self.device)
        losses: list[Tensor] = []

        def forward() -> None:
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.run.train.precision == "bf16"):
                losses.append(self.method(*views).loss)

        self.optimizer.zero_grad()
        found["forward"] = seconds(forward, self.device)
        found["backward"] = seconds(lambda: losses[0].backward(), self.device)  # type: ignore[no-untyped-call]
        found["check"] = seconds(lambda: float(self.optimizer.gradient_norm()), self.device)
        found["optimiser"] = seconds(lambda: self.optimizer.step(rate, rate), self.device)
        return found


def split(images: Sequence[Planes], batch: int, turns: int, precision: Precision, device: torch.device) -> dict[str, float]:
    """Return the median share of every stage of a step, and of the whole step what no stage explains."""
    ours = Ours(images, batch, precision, device)
    rows: list[dict[str, float]] = []
    for turn in range(turns + 1):
        whole, stages = seconds(ours.step, device), ours.stages()
        if turn:
            rows.append({name: s / whole for name, s in stages.items()} | {"rest": 1 - sum(stages.values()) / whole})
    return {name: spread([row[name] for row in rows]).median for name in rows[0]}


def measured(setting: str, batch: int, steps: int, turns: int, device: torch.device) -> list[Row]:
    """Return a row for every loop, each making ``steps`` steps a turn."""
    loops: dict[str, Loop] = {}
    for case, (module, precision) in LOOPS.items():
        if module not in PEERS or not lacking(PEERS[module]):
            loops[case] = Loop(module, ["--setting", setting, "--batch", str(batch), "--precision", precision], device.type)
    try:
        cases = {case: Case(partial(loops[case].seconds, steps), batch * steps) if case in loops else None for case in LOOPS}
        return compare(cases, BASE, turns)
    finally:
        for loop in loops.values():
            loop.close()


def part(device: torch.device, quick: bool, batch: int) -> list[str]:
    """Measure, and return the lines of this part of the page."""
    turns, small = (1, batch) if quick else (5, 128)
    lines = [f"## Training, ResNet-18 with the CIFAR stem, views of 32x32, batch {batch}", "", NOTE, ""]
    lines += rates(measured("cifar", batch, 1, turns, device), "images/s", "the official loop", digits=1)
    if not quick:
        lines += [f"## Training, the demo's slim ResNet-10, views of 16x16 in one channel, batch {small}", ""]
        lines += rates(measured("demo", small, 8, turns, device), "images/s", "the official loop", digits=1)
    keep_heap()
    precision = pick_precision("auto", device)
    shares = split(small_images(), batch, turns, precision, device)
    lines += [f"Where a step of ours goes (ResNet-18, {precision}):", ""]
    return [*lines, *table(("stage", "share of the step", ""), [(name, f"{share:.1%}", STAGES[name]) for name, share in shares.items()])]
