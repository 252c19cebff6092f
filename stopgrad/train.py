"""The training loop, read top to bottom. It knows four members of a method and nothing of how a backbone is judged."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial, reduce
from itertools import groupby
from typing import Literal

import torch
from torch import Tensor

from stopgrad.checkpoint import load_together, save_checkpoint
from stopgrad.config import Run
from stopgrad.distributed import average_, mine, size, sums
from stopgrad.errors import UserError
from stopgrad.finite import Finite
from stopgrad.keys import seed_of
from stopgrad.loader import Batch, Order, Supply
from stopgrad.methods import Method, Output, When
from stopgrad.methods.base import Views
from stopgrad.monitor import Journal, Listeners, Verdict
from stopgrad.nets.backbones import Backbone
from stopgrad.nets.compiled import begin_step, compile_backbones
from stopgrad.nets.norm import running_statistics, set_bn
from stopgrad.nets.recompute import keep_blocks, recompute_blocks
from stopgrad.optim import Optimizer, lr_at, peak_lr
from stopgrad.runs import RunDirectory
from stopgrad.sending import send
from stopgrad.stop import stop_requests
from stopgrad.views.render import render
from stopgrad.views.sample import ViewParams, sample, uniforms
from stopgrad.world import world


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
    places = local_places(run)
    set_bn(method, run.train, device)
    method.to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    optimizer = Optimizer(method.param_groups(), run.optim)
    journal = Journal(run, order, directory, supply, listeners)
    step = _resume(directory, method, optimizer, journal)
    prepare_backbones(run, method)
    finite = Finite(run, late=device.type == "cuda")
    milestone = run.train.milestone_every * order.steps_per_epoch
    saved_step, saved_at = step, time.monotonic()

    with stop_requests() as stop:
        began = time.perf_counter()
        batches = supply.fetch(rows[places] for rows in order.of_steps(step, step if _must_stop(run, journal) else steps))
        for batch in batches:
            journal.note_bad(batch)
            lr = lr_at(run.optim, run.train.batch, step, steps, order.steps_per_epoch)
            begin_step(run.train, device)
            with computing(run, batch.pool.device, step):
                method.before_step(_when(step, steps, order), partial(_coming, run, supply, order, places, step, steps))
            output = train_step(run, method, optimizer, batch, render_views(run, batch, step), step, lr, finite)
            method.after_step(_when(step, steps, order))
            step += 1
            if journal.looks_at(step):
                finite.settle()  # before it is read and written down, for which a GPU is waited for anyway
            journal.after_step(step, lr, output, method.backbone, began)
            is_milestone = milestone > 0 and step % milestone == 0
            due = world().first and time.monotonic() - saved_at >= run.train.checkpoint_seconds
            saves, stops = sums([is_milestone or due, bool(stop.signal) or _must_stop(run, journal)])  # all or none
            if saves:
                finite.settle()
                _save(run, directory, step, method, optimizer, journal, is_milestone)
                saved_step, saved_at = step, time.monotonic()
            if stops:
                break
            began = time.perf_counter()  # of the next step: waiting for its images counts
        finite.settle()
        if step > saved_step:
            _save(run, directory, step, method, optimizer, journal, milestone > 0 and step % milestone == 0)

    state: Literal["finished", "collapsed", "interrupted"]
    state = "collapsed" if _must_stop(run, journal) else "finished" if step == steps else "interrupted"
    return Outcome(state, step, steps, journal.seconds, journal.monitor.verdict)


def train_step(run: Run, method: Method, optimizer: Optimizer, batch: Batch, parts: Iterable[Views], step: int, lr: float, finite: Finite) -> Output:
    """Make step number ``step`` (from 0): of the views of every part forward, backward; average over the processes, check, update.

    ``parts`` are those of ``render_views``, rendered when their turn comes. Returns the last part's output, with the loss of the whole batch.
    """
    optimizer.zero_grad()
    loss = torch.zeros((), device=batch.pool.device)
    precisely = computing(run, batch.pool.device, step)
    for views, given in zip(parts, taken(run, method, batch), strict=True):
        with precisely:
            output: Output = method(*views, **given)
        part = output.loss / run.train.accumulate
        part.backward()  # type: ignore[no-untyped-call]
        loss += part.detach()
    average_([*(p.grad for p in optimizer.parameters() if p.grad is not None), loss])
    finite.note(step + 1, loss, optimizer.gradient_norm())
    optimizer.step(lr, peak_lr(run.optim, run.train.batch))
    if run.train.bn != "sync":
        average_(running_statistics(method))  # each process saw its own
    return output._replace(loss=loss)


def computing(run: Run, device: torch.device, step: int) -> torch.autocast:
    """Seed what a step draws by itself (dropout, MoCo's shuffling), a function of the step too, and return the precision it computes in."""
    torch.manual_seed(seed_of("step", run.train.seed, step))
    return torch.autocast(device.type, torch.bfloat16, enabled=run.train.precision == "bf16")


def prepare_backbones(run: Run, method: Method) -> None:
    """Let every backbone, slow copies too, compute its blocks twice or be compiled, where the run says so: most of the arithmetic is theirs."""
    backbones = [module for module in method.modules() if isinstance(module, Backbone)]
    for backbone in backbones:
        keep_blocks(backbone)
        if run.train.recompute:
            recompute_blocks(backbone, run.net.backbone)
    compile_backbones(backbones, run.train.compile)


def taken(run: Run, method: Method, batch: Batch) -> Iterator[dict[str, Tensor]]:
    """Return what the method takes beside the views, part by part: labels, or numbers of the images, (n,) int64 each."""
    known = {"labels": batch.labels, "images": batch.numbers}
    there = {name: x for name in method.takes if (x := known[name]) is not None}
    given = dict(zip(there, send(list(there.values()), batch.pool.device), strict=True))
    for part in torch.arange(len(batch.rows)).chunk(run.train.accumulate):
        yield {name: x[int(part[0]) : int(part[-1]) + 1] for name, x in given.items()}


def local_places(run: Run) -> Tensor:
    """Return the places in a batch that this process holds, part after part; of every part, the slice of its rank.

    Raises UserError when the processes do not divide the parts.
    """
    part = run.train.batch // run.train.accumulate
    if part % size():
        fits = max(part // size(), 2) * size() * run.train.accumulate
        raise UserError(f"train.batch: {size()} processes do not divide the {part} images of a part; take --batch {fits}")
    return torch.cat([mine(part) for part in torch.arange(run.train.batch).chunk(run.train.accumulate)])


def render_views(run: Run, batch: Batch, step: int) -> Iterator[Views]:
    """Return this process's views of the batch, part by part; each view is (n, C, S, S) float32, channels last.

    Parameters are drawn for the whole batch and then sliced: every process shows its images as one process would (promise 2).
    """
    places = local_places(run).chunk(run.train.accumulate)
    drawn = [uniforms(run.train.seed, step, i, run.train.batch, view.further) for i, view in enumerate(run.shown)]
    for here, rows in zip(places, batch.rows.chunk(run.train.accumulate), strict=True):
        heights, widths = batch.pool.heights[rows], batch.pool.widths[rows]
        params = [sample(view, u[here], heights, widths) for view, u in zip(run.shown, drawn, strict=True)]
        rendered: Views = []
        alike = groupby(range(len(params)), key=lambda i: (run.shown[i].size, run.shown[i].further))
        for _, same in alike:  # in one call: measured up to a quarter faster
            some = [params[i] for i in same]
            with torch.autocast(batch.pool.device.type, enabled=False):  # views rendered ahead for a method are rendered alike
                together = render(batch.pool, rows.repeat(len(some)), reduce(ViewParams.concat, some), run.data.mean, run.data.std)
            rendered += together.chunk(len(some))
        yield [x.contiguous(memory_format=torch.channels_last) for x in rendered]


def _coming(run: Run, supply: Supply, order: Order, places: Tensor, step: int, steps: int, k: int) -> Iterator[Views]:
    """Render this process's views of the ``k`` steps from ``step`` on, in one part each."""
    numbers = (rows[places] for rows in order.of_steps(step, min(step + k, steps)))
    for i, batch in enumerate(supply.fetch(numbers)):
        yield from render_views(run, batch, step + i)


def _when(step: int, steps: int, order: Order) -> When:
    return When(step, steps, step / order.steps_per_epoch)


def _tensors(method: Method, optimizer: Optimizer) -> dict[str, Tensor]:
    return {f"model.{k}": v for k, v in method.state_dict().items()} | {f"optim.{k}": v for k, v in optimizer.state().items()}


def _save(run: Run, directory: RunDirectory, step: int, method: Method, optimizer: Optimizer, journal: Journal, milestone: bool) -> None:
    """The state is the same in every process (BN statistics are averaged, queues hold everyone's keys): the first one writes it."""
    if world().first:
        save_checkpoint(directory.checkpoints, step, _tensors(method, optimizer), journal.state(), run.train.keep, milestone)


def _resume(directory: RunDirectory, method: Method, optimizer: Optimizer, journal: Journal) -> int:
    """Take up the newest whole checkpoint and return its step; 0 when there is none."""
    saved = load_together(directory.checkpoints)
    if saved is None:
        directory.cut_metrics(0)
        return 0
    for line in saved.passed_over:
        journal.listeners.line(line)
    expected = {name: t.shape for name, t in _tensors(method, optimizer).items()}
    if expected != {name: t.shape for name, t in saved.tensors.items()}:
        raise UserError(
            f"{directory.checkpoints}: step {saved.step} is of another model than {directory.config} describes; remove it, or choose another --out"
        )
    method.load_state_dict({k.removeprefix("model."): v for k, v in saved.tensors.items() if k.startswith("model.")})
    optimizer.load({k.removeprefix("optim."): v for k, v in saved.tensors.items() if k.startswith("optim.")})
    journal.load(saved.step, saved.record)
    journal.listeners.line(f"resuming at step {saved.step} of {journal.steps}")
    return saved.step


def _must_stop(run: Run, journal: Journal) -> bool:
    return run.train.on_collapse == "stop" and journal.monitor.verdict.state == "collapsed"
