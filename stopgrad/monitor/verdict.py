"""The verdict: since when the outputs look collapsed, why probably, and what to try."""

from dataclasses import asdict, dataclass
from typing import Any

import torch

from stopgrad.config import Run
from stopgrad.methods import Output
from stopgrad.monitor.measures import alignment, effective_rank, output_std, uniformity

LOOK_EVERY = 10
"""Steps between two looks at the output's std, however rarely records are written."""
COLLAPSED_STD = 0.3
"""Below this std × √d the output is called collapsed; healthy runs stay above 0.8, collapse goes to 0."""
PATIENCE = 3
"""Looks in a row that must agree before the verdict falls: 30 steps."""


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
        self.low_since: int | None = None
        self.low_looks = 0

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
        if std >= COLLAPSED_STD:
            self.low_since, self.low_looks = None, 0
            self.verdict = Verdict()
            return
        self.low_looks += 1
        self.low_since = step if self.low_since is None else self.low_since
        if self.low_looks >= PATIENCE:
            self.verdict = Verdict("collapsed", self._explain(std, loss), self.low_since)

    def _explain(self, std: float, loss: float) -> str:
        seen = (
            f"collapsed since step {self.low_since}: the outputs of all images are nearly the same "
            f"(std x sqrt(d) = {std:.3f}, healthy runs are near 1), loss {loss:.3f}"
        )
        return f"{seen}. {_cause(self.run)}"

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint must keep."""
        return {"verdict": asdict(self.verdict), "low_since": self.low_since, "low_looks": self.low_looks}

    def load(self, state: dict[str, Any]) -> None:
        """Take up a saved state."""
        self.verdict, self.low_since, self.low_looks = Verdict(**state["verdict"]), state["low_since"], state["low_looks"]


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
