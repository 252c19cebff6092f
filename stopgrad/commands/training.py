"""A plan carried out at a terminal: the live line, how it ended, and the exit status."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from stopgrad.errors import Diverged
from stopgrad.onward import next_lines
from stopgrad.plan import Plan
from stopgrad.progress import Progress, duration
from stopgrad.world import world

if TYPE_CHECKING:
    from stopgrad.images.sources import Splits
    from stopgrad.train import Outcome

DONE, COLLAPSED, DIVERGED, INTERRUPTED = 0, 3, 4, 75
"""Exit statuses of commands; 2 is a mistake in what was asked."""


def has_gpu() -> bool:
    """Whether there is a GPU; asked only where it decides something, since torch is imported for it."""
    from stopgrad.device import has_gpu

    return has_gpu()


def train(planned: Plan, splits: "Splits", device: str, tensorboard: bool) -> int:
    """Carry out a plan with a live line, and say how it ended."""
    out = planned.directory.path
    if planned.finished and not world().first:
        return DONE
    if planned.finished:
        said = planned.directory.status().get("verdict", {}).get("text", "")
        print(f"{out}: finished ({planned.run.train.epochs} epochs); nothing to do" + (f". It {said}" if said else ""))
        print("\n".join(next_lines(out)))
        return DONE
    from stopgrad.api import carry_out
    from stopgrad.monitor import Listeners

    if not world().first:
        try:
            return _status(carry_out(planned, splits, device, Listeners()))
        except Diverged:  # the first process says so
            return DIVERGED
    progress = Progress()
    for reason in planned.reasons:
        progress.line(f"  {reason}")
    listeners = Listeners(line=progress.line, record=progress.record, step=progress.step)
    if tensorboard:
        from stopgrad.monitor.tensorboard import with_tensorboard

        listeners = with_tensorboard(listeners, out / "tensorboard")
    try:
        outcome = carry_out(planned, splits, device, listeners)
    except Diverged as diverged:
        progress.close()
        print(f"stopgrad: {diverged}", file=sys.stderr)
        return DIVERGED
    progress.close()
    return _ended(outcome, out)


def _status(outcome: "Outcome") -> int:
    return {"finished": DONE, "collapsed": COLLAPSED, "interrupted": INTERRUPTED}[outcome.state]


def _ended(outcome: "Outcome", out: Path) -> int:
    if outcome.state == "interrupted":
        print(f"{out}: interrupted at step {outcome.step} of {outcome.steps}, saved; the same command goes on from there")
        return _status(outcome)
    if outcome.state == "collapsed":
        print(f"stopgrad: {out}: stopped at step {outcome.step}: {outcome.verdict.text}", file=sys.stderr)
        return _status(outcome)
    seen = {"healthy": "no collapse", "unlearned": "it has not learned, as said above"}.get(outcome.verdict.state, outcome.verdict.text)
    print(f"{out}: trained {outcome.steps} steps in {duration(outcome.seconds)}; {seen}")
    print(f"backbone: {out / 'backbone.safetensors'}")
    print("\n".join(next_lines(out)))
    return _status(outcome)
