"""Whether every step is finite, asked without making a GPU wait."""

import math

import torch
from torch import Tensor

from stopgrad.config import Run
from stopgrad.errors import Diverged


class Finite:
    """Stops a run whose loss or gradient is not finite: on the CPU before the optimiser's step.

    On a GPU, ``late``, the answer about a step is read before the next one's update, when it has long come, and before anything is saved:
    asking at once would let the GPU run dry while the CPU prepares what is next.
    """

    def __init__(self, run: Run, late: bool) -> None:
        self.run, self.late = run, late
        self._pending: tuple[int, Tensor, torch.cuda.Event | None] | None = None

    def note(self, step: int, loss: Tensor, norm: Tensor) -> None:
        """Take note of the loss and the gradient's norm, scalars, of ``step`` (from 1). Raises Diverged, of the step before where ``late``."""
        self.settle()
        both = torch.stack([loss.float(), norm.float()]).detach()
        if not self.late:
            self._refuse(step, both)
            return
        host = torch.empty(2, pin_memory=both.is_cuda).copy_(both, non_blocking=True)
        event = torch.cuda.Event() if both.is_cuda else None  # type: ignore[no-untyped-call]
        if event is not None:
            event.record()
        self._pending = step, host, event

    def settle(self) -> None:
        """Read the answer that is still to come. Raises Diverged."""
        if self._pending is not None:
            step, both, event = self._pending
            self._pending = None
            if event is not None:
                event.synchronize()
            self._refuse(step, both)

    def _refuse(self, step: int, both: Tensor) -> None:
        loss, norm = both.tolist()
        if not math.isfinite(loss + norm):
            raise Diverged(
                f"step {step}: the loss ({loss:g}) or a gradient is not finite; nothing of it was saved, the last checkpoint is good. "
                f"Try a lower rate (--set optim.lr={self.run.optim.lr / 4:g}) or --set train.precision=fp32, in a new --out"
            )
