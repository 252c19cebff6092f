"""Training a whole network, backbone and classifier, on cropped and flipped images: what fine-tuning and distillation have in common.

Views are those of pre-training, a function of (seed, step, place in the batch), so that what is resumed ends bit for bit as if undisturbed on
a CPU. BN is in training mode, and in evaluation mode when the network is judged. Everything is fp32 unless bf16 is asked for.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from stopgrad.checkpoint import load_checkpoint, save_checkpoint
from stopgrad.config import Optim, View
from stopgrad.config.tuning import Tuning, problems
from stopgrad.errors import UserError
from stopgrad.images.pool import Pool
from stopgrad.keys import seed_of
from stopgrad.loader import Order
from stopgrad.nets.classifier import Classifier
from stopgrad.optim import Group, Optimizer, lr_at, peak_lr
from stopgrad.protocols.features import Fetch, Preparation, exact
from stopgrad.views.render import render
from stopgrad.views.sample import sample, uniforms

CHECKPOINT_SECONDS = 60.0
"""Time between two checkpoints."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Lesson:
    """What a network is to learn, and from which images."""

    fetch: Fetch
    images: int
    """Numbered from 0."""
    loss: Callable[[Tensor, Tensor, Tensor], Tensor]
    """(logits (n, classes) float32, their views (n, C, S, S), numbers of the images (n,) on the CPU) to the mean loss, a scalar."""
    counted: Callable[[Tensor], float] = len
    """Of how many terms the loss of images of these numbers is the mean: what a part of a batch weighs."""
    prep: Preparation
    """Its size, mean and std are those of the views."""


class NotFinite(UserError):
    """The loss or a gradient is not finite."""


def train(
    network: Classifier,
    groups: Sequence[Group],
    lesson: Lesson,
    settings: Tuning,
    work: Path | None,
    tell: Callable[[str], object],
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
) -> float:
    """Train ``network`` in place, on the device where it is, and return the mean loss of the last tenth of the steps.

    ``groups`` are its parameters, with their part of the rate; of ``settings`` every field has one value. ``work`` is a folder for checkpoints, of
    this training alone: what is there is taken up. Raises UserError for settings that cannot be, and NotFinite.
    """
    device = network.fc.weight.device
    refuse(settings, lesson.images, device)
    order, steps = Order(settings.seed, lesson.images, batch_of(settings, lesson.images)), steps_of(settings, lesson.images)
    cfg = optim(settings)
    network.to(memory_format=torch.channels_last).train()
    optimizer = Optimizer(groups, cfg)
    step, losses = _resume(work, network, optimizer)
    saved = time.monotonic()
    with _own_randomness(device), exact():
        for numbers, (pool, rows) in zip(order.of_steps(step, steps), lesson.fetch(order.of_steps(step, steps)), strict=True):
            torch.manual_seed(seed_of("tune", settings.seed, step))  # dropout draws from it
            loss, norm = _gradients(network, optimizer, lesson, settings, step, numbers, pool, rows)
            if not math.isfinite(loss + norm):
                raise NotFinite(
                    f"{settings.name}: step {step + 1} of {steps}: the loss ({loss:g}) or a gradient is not finite at lr {settings.lr[0]:g}; "
                    f"take a lower one (lr={settings.lr[0] / 4:g})"
                )
            optimizer.step(lr_at(cfg, order.batch, step, steps, steps), peak_lr(cfg, order.batch))
            step, losses = step + 1, [*losses, loss][-max(1, steps // 10) :]
            if step % max(1, steps // 10) == 0 or step == steps:
                tell(f"step {step}/{steps}, loss {sum(losses) / len(losses):.3f}")
            if work is not None and (step == steps or time.monotonic() - saved >= checkpoint_seconds):
                save_checkpoint(work, step, _state(network, optimizer), {"losses": losses}, keep=1)
                saved = time.monotonic()
    return sum(losses) / len(losses)


def refuse(settings: Tuning, images: int, device: torch.device) -> None:
    """Raise UserError where ``settings`` cannot be trained by, or there are too few ``images``."""
    if wrong := problems(settings):
        raise UserError(wrong[0])
    if images < 2:
        raise UserError(f"{settings.name}: BN needs at least 2 training images, there is {images}")
    if batch_of(settings, images) // settings.accumulate < 2:
        raise UserError(f"{settings.name}: accumulate: {settings.accumulate} parts of {images} images have fewer than the 2 that BN needs")
    if settings.precision == "bf16" and device.type == "cpu":
        raise UserError(f"{settings.name}: precision: bf16 is for GPUs, a CPU trains in fp32 (precision=fp32)")


def batch_of(settings: Tuning, images: int) -> int:
    """Return the images a step: no more than there are."""
    return min(settings.batch, images)


def steps_of(settings: Tuning, images: int) -> int:
    """Return the steps of the whole training; what is left of its last batch is filled up."""
    if settings.steps is not None:
        return settings.steps
    (epochs,) = settings.epochs
    return math.ceil(epochs * images / batch_of(settings, images))


def optim(settings: Tuning) -> Optim:
    """Return the optimiser's settings, in which an "epoch" is the whole training, as shares are here."""
    (lr,), (decay,) = settings.lr, settings.weight_decay
    return Optim(
        kind=settings.optimiser,
        lr=lr,
        lr_rule=settings.lr_rule,
        momentum=settings.momentum,
        nesterov=settings.nesterov,
        weight_decay=decay / lr if settings.decay_over_lr else decay,
        decay_bn_bias=settings.decay_bn_bias,
        trust=settings.trust,
        warmup_epochs=settings.warmup,
        schedule="cosine" if settings.schedule == "cosine" else "steps",
        drop=settings.drop,
        drop_epochs=settings.drops if settings.schedule == "steps" else (),
    )


def _gradients(
    network: Classifier, optimizer: Optimizer, lesson: Lesson, settings: Tuning, step: int, numbers: Tensor, pool: Pool, rows: Tensor
) -> tuple[float, float]:
    """Compute the gradients of a step, part by part; return the loss and the gradient's norm."""
    prep, device, total = lesson.prep, network.fc.weight.device, 0.0
    view = View(size=prep.size, scale=settings.scale, flip=settings.flip, jitter=(0.0, 0.0, 0.0, 0.0), jitter_p=0.0, grey=0.0, blur=0.0)
    drawn = uniforms(settings.seed, step, 0, len(rows))
    optimizer.zero_grad()
    for part in torch.arange(len(rows)).chunk(settings.accumulate):
        some = rows[part]
        views = render(pool, some, sample(view, drawn[part], pool.heights[some], pool.widths[some]), prep.mean, prep.std).to(device)
        views = views.contiguous(memory_format=torch.channels_last)
        with torch.autocast(device.type, torch.bfloat16, enabled=settings.precision == "bf16"):
            logits = network(views)
        loss = lesson.loss(logits.float(), views, numbers[part]) * (lesson.counted(numbers[part]) / max(lesson.counted(numbers), 1))
        loss.backward()  # type: ignore[no-untyped-call]
        total += float(loss.detach())
    return total, float(optimizer.gradient_norm())


def _state(network: Classifier, optimizer: Optimizer) -> dict[str, Tensor]:
    return {f"model.{k}": v for k, v in network.state_dict().items()} | {f"optim.{k}": v for k, v in optimizer.state().items()}


def _resume(work: Path | None, network: Classifier, optimizer: Optimizer) -> tuple[int, list[float]]:
    """Take up the newest whole checkpoint in ``work``; return its step and the losses that it ended with, or 0 and none."""
    if work is None:
        return 0, []
    try:
        work.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{work}: cannot be made ({error.strerror}); choose another place") from None
    saved = load_checkpoint(work)
    if saved is None:
        return 0, []
    network.load_state_dict({k.removeprefix("model."): v for k, v in saved.tensors.items() if k.startswith("model.")})
    optimizer.load({k.removeprefix("optim."): v for k, v in saved.tensors.items() if k.startswith("optim.")})
    return saved.step, list(map(float, saved.record["losses"]))


@contextmanager
def _own_randomness(device: torch.device) -> Iterator[None]:
    """Give the random state back as it was: who judges draws nothing from whom it judges."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield
