"""The verdict: since when a run looks collapsed, how that shows, why probably, and what to try.

Three signs, each the mean of the newest looks: outputs that are all alike (SimSiam Fig. 2), a loss that stays at chance
(ln K of SwAV, ln(2N − 1) of SimCLR, ln(K + 1) of MoCo), and keys that are always recognised (MoCo App. A.9: BN gives them away).
At the end of the schedule one more is asked: whether the views of an image are told from those of others better than at the start.
"""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch

from stopgrad.config import Run
from stopgrad.config.method import Sign
from stopgrad.methods import Output
from stopgrad.monitor.measures import alignment, effective_rank, output_std, told_apart, uniformity

LOOK_EVERY = 10
"""Steps between two looks at the outputs, however rarely records are written."""
LOOKS = 5
"""Looks whose mean decides: 50 steps, since without the stop-gradient the std falls in leaps."""
COLLAPSED_STD, COLLAPSED_STD_UNCENTRED = 0.4, 0.1
"""Below this std × √d the output is called collapsing: the lowest of a healthy run measured here is 0.59, one on its way to 0 passes it for good.
The second where no BN ends the projector: outputs then share a mean, and healthy runs were seen at 0.36 (BYOL)."""
RISING = 1.5
"""A measure that grew so many times over the looks is not called a collapse: SupCon's outputs begin at a std of 0.03 and are apart in 100 steps."""
STUCK_SHARE, STUCK_AFTER = 0.99, 500
"""A loss of this share of the one at chance, after this many steps, is called stuck: healthy runs begin there and leave within a few hundred."""
LEAKING_ACCURACY = 0.999
"""Contrastive accuracy at which the keys are given away: MoCo without shuffling exceeds 99.9 % (App. A.9)."""

UNLEARNED_SHARE, TOLD_APART = 0.8, 0.95
"""At the end the cases in which a view is taken for another image's must be fewer than this share of those at the start, or so few at all:
a run that began with trained weights. Measured: LOG.md, 2026-11-22. Methods that learn from labels bring other images near by intent."""


@dataclass
class Verdict:
    """What the monitor says of a run."""

    state: str = "healthy"
    """healthy, collapsed, diverged, or at the end unlearned."""
    text: str = ""
    since_step: int | None = None


@dataclass(frozen=True)
class Bar:
    """What makes a sign: the mean of the newest looks at a measure is beyond it."""

    sign: Sign
    measure: str
    beyond: Callable[[float, Run], bool]
    seen: str
    """What is said of it; {value} is the newest, {loss} the loss."""
    after: int = 0
    """Steps before it counts."""


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None


def alike_below(run: Run) -> float:
    """Return the std × √d below which outputs are called alike.

    BN on the output keeps it above 2/√N over the N images that are normalised together, even when all but one are equal (LOG.md).
    """
    if not run.method.centred:
        return COLLAPSED_STD_UNCENTRED
    together = run.train.batch // run.train.accumulate // (run.train.bn_splits if run.train.bn == "split" else 1)
    return max(COLLAPSED_STD, 2.4 / math.sqrt(together))


ALIKE = Bar(
    "alike",
    "std",
    lambda std, run: std < alike_below(run),
    "collapsed since step {since}: the outputs of all images are nearly the same "
    "(std x sqrt(d) = {value:.3f}, healthy runs are near 1), loss {loss:.3f}",
)
STUCK = Bar(
    "stuck",
    "of_chance",
    lambda share, _: share > STUCK_SHARE,
    "collapsed since step {since}: the loss ({loss:.3f}) stays at {value:.1%} of the least that outputs which tell nothing apart can have",
    STUCK_AFTER,
)
LEAKING = Bar(
    "leaking",
    "accuracy",
    lambda accuracy, run: run.method.keys_in_queue and accuracy >= LEAKING_ACCURACY,
    "collapsed since step {since}: every key is recognised (accuracy {value:.1%}) whatever the image shows; loss {loss:.3f}",
)


class Monitor:
    """Watches the outputs of a method and remembers since when they look collapsed."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.verdict = Verdict()
        self.looks: list[dict[str, float]] = []  # the newest, with their step
        self.began: list[float] = []  # the share of views told apart in the first steps

    def look(self, step: int, output: Output) -> dict[str, float]:
        """Return the cheap measures of a step; every ``LOOK_EVERY`` steps the verdict is updated, however often records are written."""
        values = {"loss": output.loss.detach().float()}
        if output.z:
            values["std"] = output_std(output.z[0])
        if len(output.z) > 1:
            values["alignment"] = alignment(output.z[0], output.z[1])
            values["told_apart"] = told_apart(output.z[0], output.z[1])
            if output.p:
                values["gap"] = alignment(output.p[0], output.z[1])  # how far the prediction is from its target
        if output.accuracy is not None:
            values["accuracy"] = output.accuracy
        measured = dict(zip(values, torch.stack([v.float() for v in values.values()]).tolist(), strict=True))  # one transfer
        if output.chance is not None:
            measured["of_chance"] = measured["loss"] / output.chance
        if step <= LOOKS and "told_apart" in measured:
            self.began = [*self.began, measured["told_apart"]]
        if step % LOOK_EVERY == 0:
            self._judge(step, measured)
        return measured

    def look_closely(self, output: Output) -> dict[str, float]:
        """Return the measures that need a decomposition or all pairs, over one batch; none of a method without projections."""
        return {"rank": float(effective_rank(output.z[0])), "uniformity": float(uniformity(output.z[0]))} if output.z else {}

    def conclude(self, step: int, measured: dict[str, float]) -> None:
        """Judge the end of the schedule, whose last measures are given: a run that is well may yet have learned nothing."""
        newest = [look for look in self.looks if look["step"] != step]
        end = _mean([look["told_apart"] for look in [*newest, {"step": step} | measured][-LOOKS:] if "told_apart" in look])
        if self.verdict.state != "healthy" or not self.began or end is None or self.run.method.needs_labels:
            return
        if step <= LOOKS:  # its end is its start
            return
        start = sum(self.began) / len(self.began)
        if end < TOLD_APART and 1 - end > UNLEARNED_SHARE * (1 - start):
            seen = f"a view is nearer to the other view of its image than to another image's in {end:.0%} of cases, at the start in {start:.0%}"
            more = f"train longer (--epochs {4 * self.run.train.epochs}), on more images if there are any"
            rate = f"or try a higher rate (--set optim.lr={4 * self.run.optim.lr:g}), gentler views (--set views.scale=0.4,1)"
            suspects = self.run.method.suspects("alike")  # what makes outputs alike keeps them from being learned
            advice = f"Why: {suspects[0]}" if suspects else f"Next: {more}, {rate}, in a new --out"
            self.verdict = Verdict("unlearned", f"has not learned: after {step} steps {seen} (chance is 50%). {advice}")

    def _judge(self, step: int, measured: dict[str, float]) -> None:
        self.looks = [*self.looks, {"step": step} | measured][-LOOKS:]
        for bar in (ALIKE, STUCK, LEAKING):
            values = [look[bar.measure] for look in self.looks if bar.measure in look]
            if self.verdict.state != "collapsed" and len(values) == LOOKS and values[-1] > RISING * values[0]:
                continue  # it begins where a collapse ends, and leaves
            if len(values) == LOOKS and step >= bar.after and bar.beyond(sum(values) / LOOKS, self.run):
                first = next(int(look["step"]) for look in self.looks if bar.beyond(look[bar.measure], self.run))
                since = self.verdict.since_step if self.verdict.state == "collapsed" else first
                said = bar.seen.format(since=since, value=values[-1], loss=measured["loss"])
                self.verdict = Verdict("collapsed", f"{said}. {self._cause(bar.sign)}", since)
                return
        self.verdict = Verdict()

    def _cause(self, sign: Sign) -> str:
        """Return why it probably collapsed and what to try, from what the configuration says."""
        if suspects := self.run.method.suspects(sign):
            return f"Why: {suspects[0]}"
        lower = self.run.optim.lr / 4
        return f"Try: a lower rate (--set optim.lr={lower:g}), a warm-up (--set optim.warmup_epochs=10), larger crops (--set views.scale=0.3,1)"

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint must keep."""
        return {"verdict": asdict(self.verdict), "looks": self.looks, "began": self.began}

    def load(self, state: dict[str, Any]) -> None:
        """Take up a saved state."""
        self.verdict, self.looks, self.began = (
            Verdict(**state["verdict"]),
            state["looks"],
            state.get("began", []),
        )  # a checkpoint of an older version has none
