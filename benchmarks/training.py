"""Training images a second: ours beside the plain loop of the official code, on the same images, network and batch.

The peer is the loop of facebookresearch/simsiam (a7bc177) written anew from its published settings: torchvision's ResNet-18 with the CIFAR
stem, heads 512-512-2048 and 2048-512-2048 with BN, two PIL views by torchvision.transforms, a DataLoader without workers, fp32, torch.optim.SGD.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import cycle

import numpy as np
import torch
import torchvision
from PIL import Image
from torch import Tensor, nn

from benchmarks.measure import Spread, alternate, ratios, seconds, spread
from benchmarks.views import CIFAR, pil_view
from stopgrad.config import Run
from stopgrad.images.pool import Pool
from stopgrad.loader import Batch, Order
from stopgrad.methods import Method, Task, initialise
from stopgrad.optim import Optimizer, peak_lr
from stopgrad.recipes import RECIPES
from stopgrad.train import compile_backbones, render_views, train_step


class _TwoViews(torch.utils.data.Dataset[list[Tensor]]):
    def __init__(self, images: np.ndarray) -> None:
        self.images = [Image.fromarray(image.transpose(1, 2, 0)) for image in images]
        self.view = pil_view(CIFAR)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> list[Tensor]:
        return [self.view(self.images[i]), self.view(self.images[i])]


class _Peer(nn.Module):
    """The official model for a ResNet-18: encoder with a three-layer projector as its ``fc``, and the predictor."""

    def __init__(self, dim: int = 2048, pred_dim: int = 512) -> None:
        super().__init__()
        self.encoder = torchvision.models.resnet18(num_classes=dim, zero_init_residual=True)
        self.encoder.conv1 = nn.Conv2d(3, 64, 3, 1, 1, bias=False)
        self.encoder.maxpool = nn.Identity()
        hidden = self.encoder.fc.weight.shape[1]
        layers: list[nn.Module] = []
        for _ in range(2):
            layers += [nn.Linear(hidden, hidden, bias=False), nn.BatchNorm1d(hidden), nn.ReLU(inplace=True)]
        self.encoder.fc = nn.Sequential(*layers, self.encoder.fc, nn.BatchNorm1d(dim, affine=False))
        self.predictor = nn.Sequential(
            nn.Linear(dim, pred_dim, bias=False), nn.BatchNorm1d(pred_dim), nn.ReLU(inplace=True), nn.Linear(pred_dim, dim)
        )

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        z1, z2 = self.encoder(x1), self.encoder(x2)
        similarity = nn.CosineSimilarity(dim=1)
        loss: Tensor = -(similarity(self.predictor(z1), z2.detach()).mean() + similarity(self.predictor(z2), z1.detach()).mean()) * 0.5
        return loss


def peer_step(images: np.ndarray, batch: int, device: torch.device) -> Callable[[], object]:
    """Return a function that makes one step of the official loop."""
    torch.manual_seed(0)
    model = _Peer().to(device).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.03 * batch / 256, momentum=0.9, weight_decay=5e-4)
    loader = torch.utils.data.DataLoader(_TwoViews(images), batch_size=batch, shuffle=True, drop_last=True, num_workers=0)
    batches: Iterator[list[Tensor]] = (b for _ in cycle([0]) for b in loader)

    def step() -> float:
        x1, x2 = next(batches)
        loss = model(x1.to(device), x2.to(device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    return step


class Ours:
    """Our loop on the same network, and its stages one by one."""

    def __init__(self, images: np.ndarray, batch: int, precision: str, device: torch.device, compiled: bool = False) -> None:
        base = RECIPES["simsiam/cifar10"]()
        self.run: Run = replace(
            base,
            net=replace(base.net, zero_init_residual=True),
            method=replace(base.method, projector=(512, 512, 2048)),  # type: ignore[call-arg]  # SimSiam has one
            train=replace(base.train, batch=batch, precision=precision),  # type: ignore[arg-type]
        )
        self.pool = Pool.from_arrays(list(images)).to(device)
        self.method: Method = initialise(self.run, Task(len(images), batch)).to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        if compiled:
            compile_backbones(self.method)
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
        return float(train_step(self.run, self.method, self.optimizer, self.batch(), self.at, rate).loss)

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


def compare(images: np.ndarray, batch: int, turns: int, device: torch.device) -> tuple[dict[str, Spread], dict[str, Spread]]:
    """Return images a second of every case, and ours as multiples of the official loop's."""
    ours = {p: Ours(images, batch, p, device, compiled=device.type == "cuda") for p in ("fp32", "bf16")}
    cases = {"official loop, fp32": peer_step(images, batch, device), **{f"stopgrad, {p}": o.step for p, o in ours.items()}}
    times = alternate(cases, turns, device)
    rates = {name: spread([batch / t for t in taken]) for name, taken in times.items()}
    return rates, {name: ratios(times, name, "official loop, fp32") for name in times if name != "official loop, fp32"}


def split(images: np.ndarray, batch: int, turns: int, precision: str, device: torch.device) -> dict[str, float]:
    """Return the median share of every stage of a step, and of the whole step what no stage explains."""
    ours = Ours(images, batch, precision, device)
    rows: list[dict[str, float]] = []
    for turn in range(turns + 1):
        whole, stages = seconds(ours.step, device), ours.stages()
        if turn:
            rows.append({name: s / whole for name, s in stages.items()} | {"rest": 1 - sum(stages.values()) / whole})
    return {name: spread([row[name] for row in rows]).median for name in rows[0]}
