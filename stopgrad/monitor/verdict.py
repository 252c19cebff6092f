"""The verdict: since when the outputs look collapsed, why probably, and what to try."""

from dataclasses import asdict, dataclass
from typing import Any

import torch

from stopgrad.config import Run
from stopgrad.methods import Output
from stopgrad.monitor.measures import alignment, effective_rank, output_std, uniformity

LOOK_EVERY = 10
"""Steps between two looks at the output's std, however rarely records are written."""
COLLAPSED_STD = 0.4
"""Below this std × √d the output is called collapsing: the lowest of a healthy run measured here is 0.59, one on its way to 0 passes it for good."""
LOOKS = 5
"""Looks whose mean decides: 50 steps, since without the stop-gradient the std falls in leaps."""


@dataclass
class Verdict:
    """What the monitor says of a run."""

    state: str = "healthy"
    """healthy, collapsed or diverged."""
    text: str = ""
    since_step: int | None = None


class Monitor:
    """Watches the outputs of a method and remembers since when they look collapsed."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.verdict = Verdict()
        self.looks: list[tuple[int, float]] = []  # (step, std) of the newest

    def look(self, step: int, output: Output) -> dict[str, float]:
        """Return the cheap measures of a step; every ``LOOK_EVERY`` steps the verdict is updated, however often records are written."""
        z1, z2 = output.z[:2]
        values = {"std": output_std(z1), "alignment": alignment(z1, z2)}
        if output.p:
            values["gap"] = alignment(output.p[0], z2)  # how far the prediction is from its target
        names, numbers = list(values), torch.stack(list(values.values())).tolist()  # one transfer
        measured = dict(zip(names, numbers, strict=True))
        if step % LOOK_EVERY == 0:
            self._judge(step, measured["std"], float(output.loss.detach()))
        return measured

    def look_closely(self, output: Output) -> dict[str, float]:
        """Return the measures that need a decomposition or all pairs, over one batch."""
        return {"rank": float(effective_rank(output.z[0])), "uniformity": float(uniformity(output.z[0]))}

    def _judge(self, step: int, std: float, loss: float) -> None:
        self.looks = [*self.looks, (step, std)][-LOOKS:]
        if len(self.looks) < LOOKS or sum(s for _, s in self.looks) / LOOKS >= COLLAPSED_STD:
            self.verdict = Verdict()
            return
        since = self.verdict.since_step if self.verdict.state == "collapsed" else next(at for at, s in self.looks if s < COLLAPSED_STD)
        self.verdict = Verdict("collapsed", self._explain(since, std, loss), since)

    def _explain(self, since: int | None, std: float, loss: float) -> str:
        seen = (
            f"collapsed since step {since}: the outputs of all images are nearly the same "
            f"(std x sqrt(d) = {std:.3f}, healthy runs are near 1), loss {loss:.3f}"
        )
        return f"{seen}. {_cause(self.run)}"

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint must keep."""
        return {"verdict": asdict(self.verdict), "looks": self.looks}

    def load(self, state: dict[str, Any]) -> None:
        """Take up a saved state."""
        self.verdict, self.looks = Verdict(**state["verdict"]), [(step, std) for step, std in state["looks"]]


def _cause(run: Run) -> str:
    """Return why it probably collapsed and what to try, from what the configuration says."""
    method = run.method
    if not method.stop_gradient:
        return "Why: the stop-gradient is off (SimSiam Fig. 2). Try: --set method.stop_gradient=true"
    if method.predictor == "none":
        return "Why: there is no predictor (SimSiam Table 1a). Try: --set method.predictor=trained"
    if not any(method.projector_bn):
        return "Why: probably the projector without BN (SimSiam Table 3a). Try: --set method.projector_bn=true,true"
    lower = run.optim.lr / 4
    return f"Try: a lower rate (--set optim.lr={lower:g}), a warm-up (--set optim.warmup_epochs=10), larger crops (--set views.scale=0.3,1)"
