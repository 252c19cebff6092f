"""A run's training steps, made to be timed: whole, or stage by stage."""

import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import repeat
from typing import TypeVar

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from stopgrad.config import Run
from stopgrad.finite import Finite
from stopgrad.heap import keep_heap
from stopgrad.images.pool import Pool
from stopgrad.loader import Batch
from stopgrad.methods import Task, When, initial_backbone, initialise
from stopgrad.methods.base import Views
from stopgrad.nets.compiled import begin_step, refuse_graphs
from stopgrad.nets.norm import set_bn
from stopgrad.optim import Optimizer
from stopgrad.settle import repeatable, settle_precision
from stopgrad.train import computing, prepare_backbones, render_views, taken, train_step

STAGES = ("render", "before", "forward", "backward", "check", "optimiser", "after")
"""In the order of a step. before: what a method prepares (EM's targets); after: its slow copies."""
UNWAITED = 10
"""Steps on a GPU that are timed in one go: waited for one by one, they would show the gaps that a run has not."""

T = TypeVar("T")


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """Return the time that ``work`` takes, its GPU kernels included."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    began = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began


class Trial:
    """A run at the beginning, on the images of a small pool that stand for all."""

    def __init__(self, run: Run, pool: Pool, images: int, device: torch.device) -> None:
        """``images``: how many a pass has, which some methods keep something of each of."""
        keep_heap()
        refuse_graphs(run.train, device)
        repeatable(run, device)
        backbone = initial_backbone(run)
        self.run = replace(run, train=replace(run.train, precision=settle_precision(run, backbone, device)))
        self.backbone = backbone
        self.device = device
        self.images = images
        numbers = torch.arange(run.train.batch)
        self.batch = Batch(pool.to(device), numbers % len(pool), numbers, numbers % 2)
        self.batches: Iterator[Batch] = repeat(self.batch)  # of ``steps``; others may be put in their place
        task = Task(max(images, run.train.batch), run.train.batch, 2)
        self.method = initialise(self.run, task, backbone)
        set_bn(self.method, self.run.train, device)
        self.method.to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        prepare_backbones(self.run, self.method)
        self.optimizer = Optimizer(self.method.param_groups(), self.run.optim)
        self.finite = Finite(self.run, late=device.type == "cuda")
        self.at = 0

    def make(self, number: int, rendered: Sequence[Views] | None = None) -> None:
        """Make whole steps, one behind the other as the training loop does, at a rate of 0.

        ``rendered``: the views of every part, once and for all, in place of those that each step would fetch and render.
        """
        for _ in range(number):
            batch = self.batch if rendered is not None else next(self.batches)
            self._prepare()
            parts: Iterable[Views] = render_views(self.run, batch, self.at) if rendered is None else rendered
            train_step(self.run, self.method, self.optimizer, batch, parts, self.at, 0.0, self.finite)
            self.method.after_step(self._when())
            self.at += 1

    def steps(self, number: int, rendered: Sequence[Views] | None = None) -> float:
        """Return the seconds of ``make``, waited for at its end only."""
        return seconds(lambda: self.make(number, rendered), self.device)

    def rendered(self) -> list[Views]:
        """Return the views of every part of a step."""
        return list(render_views(self.run, self.batch, self.at))

    def rate(self, times: int = 3, patience: float = 20.0) -> float:
        """Return images a second: of the median of ``times`` tries, fewer once ``patience`` seconds are over, after one that is not counted."""
        number = UNWAITED if self.device.type == "cuda" else 1
        self.steps(number)
        measured: list[float] = []
        while len(measured) < times and (not measured or sum(measured) < patience):
            measured.append(self.steps(number))
        return number * self.run.train.batch / statistics.median(measured)

    def stages(self) -> dict[str, float]:
        """Make a step by its parts and return the seconds of each of ``STAGES``."""
        spent = dict.fromkeys(STAGES, 0.0)

        def time_of(stage: str, work: Callable[[], T]) -> T:
            made: list[T] = []
            spent[stage] += seconds(lambda: made.append(work()), self.device)
            return made[0]

        time_of("before", self._prepare)
        self.optimizer.zero_grad()
        for views, given in zip(self._timed_views(spent), taken(self.run, self.method, self.batch), strict=True):
            loss = time_of("forward", lambda views=views, given=given: self._loss(views, given))  # type: ignore[misc]
            time_of("backward", loss.backward)
        time_of("check", lambda: self.finite.note(self.at + 1, loss, self.optimizer.gradient_norm()))
        time_of("optimiser", lambda: self.optimizer.step(0.0, 0.0))
        time_of("after", lambda: self.method.after_step(self._when()))
        self.at += 1
        return spent

    def operations(self) -> tuple[int, int]:
        """Return the floating-point operations of a step's forward and backward (a multiplication and an addition are two)."""
        if self.run.train.compile != "no":  # what is compiled cannot be counted
            return Trial(replace(self.run, train=replace(self.run.train, compile="no")), self.batch.pool, self.images, self.device).operations()
        counted = [0, 0]
        self.optimizer.zero_grad()
        self._prepare()
        for views, given in zip(render_views(self.run, self.batch, self.at), taken(self.run, self.method, self.batch), strict=True):
            with FlopCounterMode(display=False) as counter:
                loss = self._loss(views, given)
            counted[0] += counter.get_total_flops()
            with FlopCounterMode(display=False) as counter:
                loss.backward()  # type: ignore[no-untyped-call]
            counted[1] += counter.get_total_flops()
        return counted[0], counted[1]

    def parameter_bytes(self) -> int:
        """Return the bytes of all trained parameters."""
        return sum(p.numel() * p.element_size() for p in self.optimizer.parameters())

    def _loss(self, views: Views, given: dict[str, Tensor]) -> Tensor:
        with computing(self.run, self.device, self.at):
            loss: Tensor = self.method(*views, **given).loss
        return loss / self.run.train.accumulate

    def _prepare(self) -> None:
        begin_step(self.run.train, self.device)
        with computing(self.run, self.device, self.at):
            self.method.before_step(self._when(), self._coming)

    def _coming(self, steps: int) -> Iterator[Views]:
        for step in range(self.at, self.at + steps):
            yield from render_views(self.run, self.batch, step)

    def _timed_views(self, spent: dict[str, float]) -> Iterator[Views]:
        parts = render_views(self.run, self.batch, self.at)
        for _ in range(self.run.train.accumulate):
            made: list[Views] = []
            spent["render"] += seconds(lambda made=made: made.append(next(parts)), self.device)  # type: ignore[misc]
            yield made[0]

    def _when(self) -> When:
        return When(self.at, self.at + 10**6, 0.0)
