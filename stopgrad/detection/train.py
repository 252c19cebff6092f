"""Training a detector: SGD, warm-up and drops; resumed bit for bit on a CPU. Nothing of an iteration depends on the one before but the state."""

import math
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from pathlib import Path

import torch
from torch import Tensor, nn

from stopgrad import distributed
from stopgrad.checkpoint import load_together, save_checkpoint
from stopgrad.config.detection import Detection
from stopgrad.detection.examples import Colours, chosen, example
from stopgrad.detection.models import Detector
from stopgrad.detection.pictures import Picture
from stopgrad.errors import Diverged, Interrupted, UserError
from stopgrad.images.threads import in_threads
from stopgrad.keys import seed_of
from stopgrad.nets.norm import batch_norms
from stopgrad.progress import PLAIN_EVERY, duration
from stopgrad.runs import append_line, read_lines, write_lines
from stopgrad.stop import stop_requests
from stopgrad.world import world

LOG_EVERY = 20
"""Iterations a line of losses.jsonl is the mean of."""

Tell = Callable[[str], object]
Batch = tuple[list[Tensor], list[dict[str, Tensor]]]


def train(
    model: Detector, pictures: Sequence[Picture], settings: Detection, colours: Colours, folder: Path, device: torch.device, tell: Tell
) -> None:
    """Train ``model`` on ``pictures`` to the end of its schedule, from the newest whole checkpoint in ``folder`` if there is one.

    Raises UserError for an image that cannot be read, Diverged for a loss or gradient that is not finite, and Interrupted after a signal, saved.
    """
    model.to(device).train()
    optimizer = sgd(model, settings)
    begin, totals = _resume(folder, model, optimizer, tell)
    kept = begin
    report = _Report(settings, begin, tell)
    with stop_requests() as stop, closing(batches(pictures, settings, colours, range(begin, settings.iterations))) as supply:
        for iteration, (images, targets) in enumerate(supply, start=begin):
            losses = _step(model, optimizer, images, targets, settings, iteration, device)
            totals = {name: totals.get(name, 0.0) + value for name, value in losses.items()}
            done = iteration + 1
            if done % LOG_EVERY == 0 or done == settings.iterations:
                means = {name: value / (done % LOG_EVERY or LOG_EVERY) for name, value in totals.items()}
                if world().first:
                    append_line(folder / "losses.jsonl", {"iteration": done, "lr": settings.lr_at(iteration), **means})
                totals = {}
                report.note(means)
            report.step(done)
            stops = distributed.sums([bool(stop.signal)])[0] > 0  # all or none
            if done % settings.checkpoint_every == 0 or done == settings.iterations or stops:
                if world().first:
                    save_checkpoint(folder / "checkpoints", done, _tensors(model, optimizer), {"totals": totals}, keep=1)
                kept = done
            if stops and done < settings.iterations:
                distributed.wait()  # until it is saved: torchrun ends all when one leaves
                raise Interrupted(f"{folder}: interrupted at iteration {kept} of {settings.iterations}, saved; the same command goes on from there")


def sgd(model: nn.Module, settings: Detection) -> torch.optim.SGD:
    """Return SGD over all parameters; those of BN are not decayed, biases are, as in MoCo's configurations of detectron2."""
    norms = {id(p) for module in batch_norms(model) for p in module.parameters()}
    rest = [p for p in model.parameters() if id(p) not in norms]
    of_norms = [p for p in model.parameters() if id(p) in norms]
    groups = [{"params": rest, "weight_decay": settings.weight_decay}, {"params": of_norms, "weight_decay": 0.0}]
    return torch.optim.SGD(groups, lr=settings.lr_at(0), momentum=settings.momentum)


def batches(pictures: Sequence[Picture], settings: Detection, colours: Colours, iterations: range) -> Generator[Batch, None, None]:
    """Yield this process's images and objects of ``iterations``, on the CPU, decoded in threads ahead of time."""
    own = settings.batch // distributed.size()
    positions = range(distributed.rank() * own, (distributed.rank() + 1) * own)

    def one(place: tuple[int, int, int]) -> tuple[Tensor, dict[str, Tensor]]:
        iteration, position, row = place
        return example(pictures[row], settings, colours, iteration, position)

    places = (
        (iteration, position, chosen(settings.seed, len(pictures), settings.batch, iteration)[position])
        for iteration in iterations
        for position in positions
    )
    with closing(in_threads(one, places, chunk=1)) as examples:
        for _ in iterations:
            batch = [next(examples) for _ in positions]
            yield [image for image, _ in batch], [target for _, target in batch]


def precise_bn(model: Detector, pictures: Sequence[Picture], settings: Detection, colours: Colours, device: torch.device) -> None:
    """Set BN's running statistics to their mean over ``settings.precise_bn`` training images, a batch at a time (detectron2's precise BN)."""
    norms = batch_norms(model)
    rounds = math.ceil(settings.precise_bn / settings.batch)
    if not rounds:
        return
    momenta = [bn.momentum for bn in norms]
    for bn in norms:
        bn.reset_running_stats()
        bn.momentum = None  # the mean of all that is seen
    model.train()
    with torch.no_grad(), closing(batches(pictures, settings, colours, range(settings.iterations, settings.iterations + rounds))) as supply:
        for iteration, (images, targets) in enumerate(supply, start=settings.iterations):
            torch.manual_seed(seed_of("detection", settings.seed, iteration))
            model(*_to(device, images, targets))
    for bn, momentum in zip(norms, momenta, strict=True):
        bn.momentum = momentum


def _step(
    model: Detector,
    optimizer: torch.optim.SGD,
    images: list[Tensor],
    targets: list[dict[str, Tensor]],
    settings: Detection,
    iteration: int,
    device: torch.device,
) -> dict[str, float]:
    """Make an iteration and return its losses, their sum among them. Raises Diverged before anything is changed."""
    torch.manual_seed(seed_of("detection", settings.seed, iteration))  # which anchors and proposals are looked at
    optimizer.zero_grad()
    _, losses = model(*_to(device, images, targets))
    loss = torch.stack(list(losses.values())).sum()
    loss.backward()  # type: ignore[no-untyped-call]
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    distributed.average_(gradients)
    norm = torch.stack(torch._foreach_norm(gradients)).norm()
    own = {"loss": loss.item()} | {name: value.item() for name, value in losses.items()}
    values = {name: summed / distributed.size() for name, summed in zip(own, distributed.sums(list(own.values())), strict=True)}
    if not math.isfinite(values["loss"] + norm.item()):
        raise Diverged(
            f"iteration {iteration + 1}: the loss ({values['loss']:g}) or a gradient is not finite; nothing of it was saved. "
            f"Try a lower rate (--set lr={settings.lr / 4:g}) or a longer warm-up (--set warmup={max(100, 4 * settings.warmup)}), in a new --out"
        )
    for group in optimizer.param_groups:
        group["lr"] = settings.lr_at(iteration)
    optimizer.step()
    return values


def _to(device: torch.device, images: list[Tensor], targets: list[dict[str, Tensor]]) -> Batch:
    return [image.to(device) for image in images], [{name: value.to(device) for name, value in target.items()} for target in targets]


def _tensors(model: Detector, optimizer: torch.optim.SGD) -> dict[str, Tensor]:
    """Return the state: parameters, statistics, and momenta where there are some yet."""
    momenta = {
        f"momentum.{name}": optimizer.state[p]["momentum_buffer"]
        for name, p in model.named_parameters()
        if optimizer.state[p].get("momentum_buffer") is not None
    }
    return {f"model.{name}": value for name, value in model.state_dict().items()} | momenta


def _resume(folder: Path, model: Detector, optimizer: torch.optim.SGD, tell: Tell) -> tuple[int, dict[str, float]]:
    """Take up the newest whole checkpoint; return the iterations made, and the losses summed since the last line."""
    saved = load_together(folder / "checkpoints")
    step = 0 if saved is None else saved.step
    losses = folder / "losses.jsonl"
    if world().first:
        write_lines(losses, [line for line in read_lines(losses) if line["iteration"] <= step])
    if saved is None:
        return 0, {}
    for line in saved.passed_over:
        tell(line)
    try:
        model.load_state_dict({name.removeprefix("model."): v for name, v in saved.tensors.items() if name.startswith("model.")})
    except RuntimeError:
        raise UserError(f"{folder}: its checkpoint is of another detector; remove the folder, or choose another --out") from None
    for name, p in model.named_parameters():
        if f"momentum.{name}" in saved.tensors:
            optimizer.state[p]["momentum_buffer"] = saved.tensors[f"momentum.{name}"].to(p.device)
    totals: dict[str, float] = saved.record["totals"]
    return step, totals


class _Report:
    """Tells how the training goes, now and then."""

    def __init__(self, settings: Detection, begin: int, tell: Tell) -> None:
        self.settings, self.begin, self.tell = settings, begin, tell
        self.began = self.told = time.monotonic()
        self.loss = ""
        if 0 < begin < settings.iterations:
            tell(f"resuming at iteration {begin} of {settings.iterations}")

    def note(self, means: dict[str, float]) -> None:
        self.loss = f"  loss {means['loss']:.3f}"

    def step(self, done: int) -> None:
        now, last = time.monotonic(), done == self.settings.iterations
        if now - self.told < PLAIN_EVERY and not last:
            return
        self.told = now
        each = (now - self.began) / (done - self.begin)
        left = "" if last else f"  {duration(each * (self.settings.iterations - done))} left"
        self.tell(f"iteration {done}/{self.settings.iterations}{self.loss}  lr {self.settings.lr_at(done - 1):.5f}  {each:.2f} s an iteration{left}")
