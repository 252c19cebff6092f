"""Training images a second: ours beside the peers' loops, on the same images, network and batch.

ResNet-18 with the CIFAR stem, heads 512-512-2048 and 2048-512-2048 with BN, where the network is nearly all; and the slim ResNet-10 of
``stopgrad demo``, where making views counts too. Every loop is a process of its own
(``benchmarks.loops``) and makes a step when it is told to, so that they take turns and nothing of one touches another.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch

from benchmarks.child import Loop
from benchmarks.images import small_images
from benchmarks.measure import Case, Row, compare, spread
from benchmarks.page import rates, table
from benchmarks.peers import lacking
from stopgrad.bench.trial import Trial
from stopgrad.config import Run
from stopgrad.config.run import Compile, Precision
from stopgrad.device import pick_precision
from stopgrad.heap import keep_heap
from stopgrad.images.planes import Planes
from stopgrad.images.pool import Pool
from stopgrad.images.threads import cores
from stopgrad.loader import Order, Resident
from stopgrad.recipes import RECIPES

BASE = "official loop, fp32"
LOOPS: dict[str, tuple[str, Precision]] = {
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
    "Same images, network and batch for all, every loop in a process of its own; loader workers: one a core beside a GPU, else none. official "
    "loop: facebookresearch/simsiam (a7bc177), re-created. lightly: its heads, loss, transform and data set in a Trainer with `precision` 32-true "
    "or bf16-mixed. solo-learn: its package asks for torchvision 0.10.1 and cannot be installed; re-created from its published CIFAR settings "
    "(channels last, online classifier, its own crops and blur)."
)
PEERS = {"with_lightly": "lightly", "solo_learn": "solo-learn"}
EXPLAINED = {"render": "both views", "check": "gradient norm, finite or not", "rest": "order, keys, bookkeeping"}
ENDLESS = 10**6
"""Steps, more than are ever measured."""
A_TURN = 40
"""Steps that a loop on a GPU makes before it is waited for."""


def as_peers() -> Run:
    """Return the recipe for CIFAR with the three-layer head of the official code, which the peers' loops have."""
    base = RECIPES["simsiam/cifar10"]()
    method = replace(base.method, projector=(512, 512, 2048))  # type: ignore[call-arg]  # SimSiam has one
    return replace(base, net=replace(base.net, zero_init_residual=True), method=method)


def ours(setting: str, images: Sequence[Planes], batch: int, precision: Precision, device: torch.device, mode: Compile = "no") -> Trial:
    """Return our loop on the network and the settings that the peers' loops have."""
    base = as_peers() if setting == "cifar" else RECIPES["demo"]()
    run = replace(base, train=replace(base.train, batch=batch, precision=precision, compile=mode))
    pool = Pool.from_arrays(list(images)).to(device)
    trial = Trial(run, pool, len(images), device)
    trial.batches = Resident(pool, np.arange(len(images)), device).fetch(Order(0, len(images), batch).of_steps(0, ENDLESS))
    return trial


def split(images: Sequence[Planes], batch: int, turns: int, precision: Precision, device: torch.device) -> dict[str, float]:
    """Return the median share of every stage of a step, and of the whole step what no stage explains."""
    trial = ours("cifar", images, batch, precision, device)
    rows: list[dict[str, float]] = []
    for turn in range(turns + 1):
        whole, stages = trial.steps(1), trial.stages()
        if turn:
            rows.append({name: s / whole for name, s in stages.items()} | {"rest": 1 - sum(stages.values()) / whole})
    return {name: spread([row[name] for row in rows]).median for name in rows[0]}


def loop(module: str, setting: str, batch: int, precision: Precision, device: torch.device) -> Loop:
    """Return a loop. On a GPU as many workers as there are cores load a peer's images, and it is waited for every ``A_TURN`` steps only."""
    large = ["--workers", str(cores()), "--every", str(A_TURN)] if device.type == "cuda" else []
    return Loop(module, ["--setting", setting, "--batch", str(batch), "--precision", precision, *large], device.type)


def a_turn(loop: Loop, steps: int, device: torch.device) -> float:
    """Return the seconds of ``steps`` steps, on a GPU of ``A_TURN``: after as many that use up what workers loaded while others had their turn."""
    if device.type == "cuda":
        loop.seconds()
        return loop.seconds()
    return loop.seconds(steps)


def measured(setting: str, batch: int, steps: int, turns: int, device: torch.device) -> list[Row]:
    """Return a row for every loop, each making ``steps`` steps a turn; on a GPU ``A_TURN``."""
    loops: dict[str, Loop] = {}
    for case, (module, precision) in LOOPS.items():
        if module not in PEERS or not lacking(PEERS[module]):
            loops[case] = loop(module, setting, batch, precision, device)
    made = batch * (A_TURN if device.type == "cuda" else steps)
    try:
        return compare({case: Case(partial(a_turn, loops[case], steps, device), made) if case in loops else None for case in LOOPS}, BASE, turns)
    finally:
        for one in loops.values():
            one.close()


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
    return [
        *lines,
        *table(("stage", "share of the step", ""), [(name, f"{share:.1%}", EXPLAINED.get(name, "")) for name, share in shares.items() if share]),
    ]
