"""SGD and LARS over named parameters, and the learning rate of a step.

Own code for three reasons: LARS must be ours anyway, the state is kept by parameter name (a checkpoint is then plain
tensors), and importing torch.optim costs over a second of start-up. Tests hold SGD equal to torch.optim.SGD.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import Parameter

from stopgrad.config import Optim


@dataclass(frozen=True)
class Group:
    """Parameters that share a rule for the learning rate."""

    params: tuple[tuple[str, Parameter], ...]
    fixed_lr: bool = False
    """True: the learning rate stays at its peak the whole run (SimSiam's predictor, Table 1c)."""
    scale: float = 1.0
    """Multiplies the learning rate (BYOL's predictor without a momentum encoder: 10)."""
    plain: bool = False
    """True: as BN and biases are, neither decayed nor under LARS adapted (SimCLR's classifier)."""


def peak_lr(cfg: Optim, batch: int) -> float:
    """Return the learning rate at its highest: ``lr * batch / 256``, under the square-root rule ``lr * sqrt(batch)``, or ``lr`` where it is fixed."""
    return cfg.lr * {"linear": batch / 256, "sqrt": math.sqrt(batch), "fixed": 1.0}[cfg.lr_rule]


def lr_at(cfg: Optim, batch: int, step: int, steps: int, steps_per_epoch: int) -> float:
    """Return the rate of ``step`` (from 0) of ``steps``: linear warm-up, then a cosine to the floor, or drops at given epochs."""
    peak, warmup = peak_lr(cfg, batch), cfg.warmup_epochs * steps_per_epoch
    if step < warmup:
        return peak * (cfg.warmup_from + (1 - cfg.warmup_from) * step / warmup)
    if cfg.schedule == "steps":
        return float(peak * cfg.drop ** sum(step >= epoch * steps_per_epoch for epoch in cfg.drop_epochs))
    down = 0.5 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup)))
    return peak * (cfg.floor + (1 - cfg.floor) * down)


class Optimizer:
    """SGD with momentum, or LARS, over groups of named parameters.

    SGD: g ← g + λw, v ← μv + g, w ← w − lr·v (Nesterov: w ← w − lr·(g + μv)). LARS (You et al., arXiv:1708.03888, as SimCLR uses it): g ← g + λw,
    r = trust·‖w‖/‖g‖ (1 where either norm is 0), v ← μv + lr·r·g, w ← w − v; BN and bias parameters
    have r = 1 and λ = 0, unless ``decay_bn_bias``; so have groups that are ``plain``.
    """

    def __init__(self, groups: Sequence[Group], cfg: Optim) -> None:
        self.cfg = cfg
        # One list a rule: (fixed rate?, scale of the rate, decayed and under LARS adapted?) -> names, parameters, momentum.
        self.parts: dict[tuple[bool, float, bool], _Part] = {}
        for group in groups:
            for name, p in group.params:
                full = not group.plain and (cfg.decay_bn_bias or p.ndim > 1)  # BN scales and all biases have one dimension
                key = (group.fixed_lr, group.scale, full)
                part = self.parts.setdefault(key, _Part([], [], []))
                part.names.append(name)
                part.params.append(p)
                part.momentum.append(torch.zeros_like(p))

    def parameters(self) -> list[Tensor]:
        """Return every parameter, in a fixed order."""
        return [p for part in self.parts.values() for p in part.params]

    def gradient_norm(self) -> Tensor:
        """Return the norm of the whole gradient (a scalar on the device); not finite when any element is not."""
        grads = [p.grad for p in self.parameters() if p.grad is not None]
        norm: Tensor = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(grads)))
        return norm

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for p in self.parameters():
            p.grad = None

    @torch.no_grad()
    def step(self, lr: float, peak: float) -> None:
        """Take one step: groups with a fixed rate use ``peak``, the others ``lr``. A parameter without gradient is left alone."""
        for (fixed, scale, full), part in self.parts.items():
            rows = [i for i, p in enumerate(part.params) if p.grad is not None]
            if rows:
                self._update([part.params[i] for i in rows], [part.momentum[i] for i in rows], scale * (peak if fixed else lr), full)

    def _update(self, params: list[Tensor], momentum: list[Tensor], rate: float, full: bool) -> None:
        grads = [p.grad for p in params if p.grad is not None]
        if full and self.cfg.weight_decay:
            grads = list(torch._foreach_add(grads, params, alpha=self.cfg.weight_decay))
        torch._foreach_mul_(momentum, self.cfg.momentum)
        if self.cfg.kind == "sgd":
            torch._foreach_add_(momentum, grads)
            ahead = torch._foreach_add(grads, momentum, alpha=self.cfg.momentum) if self.cfg.nesterov else momentum
            torch._foreach_add_(params, ahead, alpha=-rate)
            return
        if full:
            grads = list(torch._foreach_mul(grads, self._trust_ratios(params, grads)))
        torch._foreach_add_(momentum, grads, alpha=rate)
        torch._foreach_add_(params, momentum, alpha=-1)

    def _trust_ratios(self, params: list[Tensor], grads: list[Tensor]) -> list[Tensor]:
        w, g = torch.stack(torch._foreach_norm(params)), torch.stack(torch._foreach_norm(grads))
        ratio = torch.where((w > 0) & (g > 0), self.cfg.trust * w / g, torch.ones_like(w))
        return list(ratio.unbind())

    def state(self) -> dict[str, Tensor]:
        """Return the momentum by parameter name."""
        return {name: v for part in self.parts.values() for name, v in zip(part.names, part.momentum, strict=True)}

    def load(self, state: dict[str, Tensor]) -> None:
        """Copy a saved momentum in. The names must be those of ``state()``."""
        mine = self.state()
        assert mine.keys() == state.keys(), "a checkpoint of another model"
        for name, v in mine.items():
            v.copy_(state[name])


@dataclass
class _Part:
    names: list[str]
    params: list[Tensor]
    momentum: list[Tensor]
