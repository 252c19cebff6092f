"""The training loop, read top to bottom. It knows four members of a method and nothing of how a backbone is judged."""

import math
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from types import FrameType
from typing import Literal

import torch
from torch import Tensor, nn

from stopgrad.checkpoint import load_checkpoint, save_checkpoint
from stopgrad.config import Run
from stopgrad.keys import seed_of
from stopgrad.loader import Batch, Order, Supply
from stopgrad.methods import Method, Output
from stopgrad.monitor import Journal, Listeners, Verdict
from stopgrad.optim import Optimizer, cosine_lr, peak_lr
from stopgrad.runs import RunDirectory
from stopgrad.views.render import render
from stopgrad.views.sample import ViewParams, sample, uniforms


class Diverged(RuntimeError):
    """The loss or a gradient is not finite; raised before the optimiser could spread it."""


@dataclass(frozen=True)
class Outcome:
    """How a call of ``pretrain`` ended."""

    state: Literal["finished", "collapsed", "interrupted"]
    """collapsed: stopped by the verdict under on_collapse=stop; interrupted: by a signal."""
    step: int
    steps: int
    seconds: float
    verdict: Verdict


def pretrain(run: Run, method: Method, supply: Supply, directory: RunDirectory, device: torch.device, listeners: Listeners) -> Outcome:
    """Train ``method`` on ``supply`` to the end of its schedule, from the newest whole checkpoint in ``directory`` if there is one.

    Raises UserError for what the user can mend, and Diverged when the loss or a gradient is not finite.
    """
    order = Order(run.train.seed, len(supply), run.train.batch)
    steps = run.train.epochs * order.steps_per_epoch
    method.to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    optimizer = Optimizer(method.param_groups(), run.optim)
    journal = Journal(run, order, directory, supply, listeners)
    step = _resume(directory, method, optimizer, journal)
    forward: nn.Module = torch.compile(method) if run.train.compile else method  # type: ignore[assignment]
    milestone = run.train.milestone_every * order.steps_per_epoch
    saved_step, saved_at = step, time.monotonic()

    with _stop_requests() as stop:
        began = time.perf_counter()
        for batch in supply.fetch(order.of_steps(step, step if _must_stop(run, journal) else steps)):
            journal.note_bad(batch)
            lr = cosine_lr(run.optim, run.train.batch, step, steps, order.steps_per_epoch)
            output = train_step(run, forward, method, optimizer, batch, step, steps, lr)
            step += 1
            journal.after_step(step, lr, output, method.backbone, began)
            is_milestone = milestone > 0 and step % milestone == 0
            if is_milestone or time.monotonic() - saved_at >= run.train.checkpoint_seconds:
                _save(run, directory, step, method, optimizer, journal, is_milestone)
                saved_step, saved_at = step, time.monotonic()
            if stop.signal or _must_stop(run, journal):
                break
            began = time.perf_counter()  # of the next step: waiting for its images counts
        if step > saved_step:
            _save(run, directory, step, method, optimizer, journal, milestone > 0 and step % milestone == 0)

    state: Literal["finished", "collapsed", "interrupted"]
    state = "collapsed" if _must_stop(run, journal) else "finished" if step == steps else "interrupted"
    return Outcome(state, step, steps, journal.seconds, journal.monitor.verdict)


def train_step(run: Run, forward: nn.Module, method: Method, optimizer: Optimizer, batch: Batch, step: int, steps: int, lr: float) -> Output:
    """Make step number ``step`` (from 0): views, forward, backward, check, update. Returns the last part's output with the whole batch's loss."""
    torch.manual_seed(seed_of("step", run.train.seed, step))  # for networks that draw (dropout): a function of the step too
    optimizer.zero_grad()
    loss = torch.zeros((), device=batch.pool.device)
    for views in render_views(run, batch, step):
        with torch.autocast(batch.pool.device.type, torch.bfloat16, enabled=run.train.precision == "bf16"):
            output: Output = forward(*views)
        part = output.loss / run.train.accumulate
        part.backward()  # type: ignore[no-untyped-call]
        loss += part.detach()
    method.after_backward(step)
    if not math.isfinite(float(loss + optimizer.gradient_norm())):
        raise Diverged(
            f"step {step + 1}: the loss ({float(loss):g}) or a gradient is not finite; nothing was updated, the last checkpoint is good. "
            f"Try a lower rate (--set optim.lr={run.optim.lr / 4:g}) or --set train.precision=fp32, in a new --out"
        )
    optimizer.step(lr, peak_lr(run.optim, run.train.batch))
    method.after_step((step + 1) / steps)
    return output._replace(loss=loss)


def render_views(run: Run, batch: Batch, step: int) -> Iterator[list[Tensor]]:
    """Return the views of the batch, part by part; each view is (batch / accumulate, C, S, S) float32, channels last."""
    drawn = [uniforms(run.train.seed, step, i, run.train.batch) for i in range(len(run.views))]
    for part in torch.arange(run.train.batch).chunk(run.train.accumulate):
        rows = batch.rows[part]
        heights, widths = batch.pool.heights[rows], batch.pool.widths[rows]
        params = [sample(view, u[part], heights, widths) for view, u in zip(run.views, drawn, strict=True)]
        if len({view.size for view in run.views}) == 1:  # in one call: measured up to a quarter faster at small batches
            together = render(batch.pool, rows.repeat(len(params)), reduce(ViewParams.concat, params), run.data.mean, run.data.std)
            rendered = list(together.chunk(len(params)))
        else:
            rendered = [render(batch.pool, rows, p, run.data.mean, run.data.std) for p in params]
        yield [x.contiguous(memory_format=torch.channels_last) for x in rendered]


def _save(run: Run, directory: RunDirectory, step: int, method: Method, optimizer: Optimizer, journal: Journal, milestone: bool) -> None:
    tensors = {f"model.{k}": v for k, v in method.state_dict().items()} | {f"optim.{k}": v for k, v in optimizer.state().items()}
    save_checkpoint(directory.checkpoints, step, tensors, journal.state(), run.train.keep, milestone)


def _resume(directory: RunDirectory, method: Method, optimizer: Optimizer, journal: Journal) -> int:
    """Take up the newest whole checkpoint and return its step; 0 when there is none."""
    saved = load_checkpoint(directory.checkpoints)
    if saved is None:
        directory.cut_metrics(0)
        return 0
    for line in saved.passed_over:
        journal.listeners.line(line)
    method.load_state_dict({k.removeprefix("model."): v for k, v in saved.tensors.items() if k.startswith("model.")})
    optimizer.load({k.removeprefix("optim."): v for k, v in saved.tensors.items() if k.startswith("optim.")})
    journal.load(saved.step, saved.record)
    journal.listeners.line(f"resuming at step {saved.step} of {journal.steps}")
    return saved.step


def _must_stop(run: Run, journal: Journal) -> bool:
    return run.train.on_collapse == "stop" and journal.monitor.verdict.state == "collapsed"


@dataclass
class _Stop:
    signal: str = ""


@contextmanager
def _stop_requests() -> Iterator[_Stop]:
    """Turn the first SIGTERM or SIGINT into a request to stop after the step; a second one ends the process at once."""
    stop = _Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop  # Python delivers signals to the main thread only
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def request(number: int, frame: FrameType | None) -> None:
        stop.signal = signal.Signals(number).name
        for n, handler in before.items():
            signal.signal(n, handler)

    for number in before:
        signal.signal(number, request)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
