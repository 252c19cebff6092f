"""What a run says while it trains: records, set-aside images, the verdict. The truth is in the files; callers may listen."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import nn

from stopgrad.config import Run
from stopgrad.distributed import everyones, gather, size, sums
from stopgrad.errors import UserError
from stopgrad.loader import Batch, Order, Supply
from stopgrad.methods import Output
from stopgrad.monitor.verdict import LOOK_EVERY, LOOKS, Monitor
from stopgrad.runs import RunDirectory, append_line, read_lines

Record = dict[str, Any]


def _ignore(*_: object) -> None:
    """Nobody listens."""


@dataclass(frozen=True)
class Listeners:
    """Who hears of a run while it trains."""

    line: Callable[[str], None] = _ignore
    """A line that the user should see."""
    record: Callable[[Record], None] = _ignore
    """Every record of metrics.jsonl, as it is written."""
    step: Callable[[int, int], None] = _ignore
    """(step, steps) after every step."""
    probe: Callable[[nn.Module], dict[str, float]] | None = None
    """Judges the backbone at the monitor's steps (kNN); its numbers join the record."""


class Journal:
    """Writes metrics.jsonl and bad_images.jsonl, and keeps the monitor and the clock."""

    def __init__(self, run: Run, order: Order, directory: RunDirectory, supply: Supply, listeners: Listeners) -> None:
        self.run, self.order, self.directory, self.supply, self.listeners = run, order, directory, supply, listeners
        self.steps = run.train.epochs * order.steps_per_epoch
        self.monitor = Monitor(run)
        self.close_every = max(1, round(run.train.monitor_every * order.steps_per_epoch))
        self.seconds = 0.0  # of training, over all restarts; monitoring and saving not counted
        self._window = self._waited = 0.0
        self._window_steps = 0
        self._bad = {r["name"] for r in read_lines(directory.bad_images)}
        self._set_aside = len(self._bad)

    def note_bad(self, batch: Batch) -> None:
        """Name images that turned out unreadable while streaming, each once. Raises UserError when they are too many."""
        if self.run.data.residence != "stream" or not sums([len(batch.bad)])[0]:
            return
        for name, reason in (bad for some in everyones(batch.bad) for bad in some):
            if name not in self._bad:
                self._bad.add(name)
                self._append(self.directory.bad_images, {"name": name, "reason": reason})
                self.listeners.line(f"set aside: {name}: {reason}")
                self.directory.update_status(images={"used": self.order.images - len(self._bad) + self._set_aside, "bad": len(self._bad)})
        if len(self._bad) > self.run.data.max_bad * self.order.images:
            raise UserError(
                f"{self.directory.bad_images}: {len(self._bad)} of {self.order.images} images are unreadable, "
                f"more than data.max_bad={self.run.data.max_bad:g}; mend or remove them, or raise it"
            )

    def after_step(self, step: int, lr: float, output: Output, backbone: nn.Module, began: float) -> None:
        """Look, judge and record after ``step`` (from 1); the wait for its images began at ``time.perf_counter()`` = ``began``."""
        spent = time.perf_counter() - began
        self.seconds, self._window, self._window_steps = self.seconds + spent, self._window + spent, self._window_steps + 1
        self._look(step, lr, output, backbone)
        self.listeners.step(step, self.steps)  # after the record, so that a last line shows the last step

    def looks_at(self, step: int) -> bool:
        """Whether the numbers of ``step`` are read: for a record, for the verdict, or as one of the first few, which show where the run began."""
        return step % self.run.train.log_every == 0 or step % LOOK_EVERY == 0 or step <= LOOKS or self._closely(step)

    def _closely(self, step: int) -> bool:
        return step % self.close_every == 0 or step == self.steps

    def _look(self, step: int, lr: float, output: Output, backbone: nn.Module) -> None:
        if not self.looks_at(step):
            return
        closely = self._closely(step)
        due = step % self.run.train.log_every == 0 or closely
        output = _joined(output)
        before = self.monitor.verdict.state
        measured = self.monitor.look(step, output)
        if step == self.steps:
            self.monitor.conclude(step, measured)
        if self.monitor.verdict.state != before:
            self.directory.update_status(verdict=asdict(self.monitor.verdict))
            self.listeners.line(self.monitor.verdict.text or f"step {step}: the outputs differ again, no longer collapsed")
        if closely:
            measured |= self.monitor.look_closely(output)
            measured |= self.listeners.probe(backbone) if self.listeners.probe and self.directory.writes else {}
        if due:
            self._write({"step": step, "epoch": step / self.order.steps_per_epoch, "lr": lr, **measured})

    def _write(self, record: Record) -> None:
        record["images_per_second"] = self._window_steps * self.run.train.batch / self._window
        record["waiting"] = (self.supply.waited - self._waited) / self._window
        record["seconds"] = self.seconds
        self._window, self._window_steps, self._waited = 0.0, 0, self.supply.waited
        self._append(self.directory.metrics, record)
        self.listeners.record(record)

    def _append(self, path: Path, record: Record) -> None:
        if self.directory.writes:
            append_line(path, record)

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint must keep."""
        return {"monitor": self.monitor.state(), "seconds": self.seconds, "images": self.order.images, "processes": size()}

    def load(self, step: int, state: dict[str, Any]) -> None:
        """Take up a saved state; records after its step are dropped, they will be written again.

        Raises UserError when other images are readable now: the order would be another one; and when BN is local and the number of
        processes changed: the statistics would be over other parts of the batch.
        """
        if state["images"] != self.order.images:
            raise UserError(
                f"{self.directory.path}: was begun with {state['images']} readable images, now there are {self.order.images}; "
                "restore them, or choose another --out"
            )
        if self.run.train.bn == "local" and state["processes"] != size():
            raise UserError(
                f"{self.directory.path}: was begun in {state['processes']} processes with BN of each its own (train.bn=local), this is {size()}; "
                f"start as many, or begin with --bn sync or split, which allow any number"
            )
        self.monitor.load(state["monitor"])
        self.seconds = state["seconds"]
        self.directory.cut_metrics(step)


def _joined(output: Output) -> Output:
    """Return what the processes put out together: every process then sees, and decides, the same."""
    accuracy = None if output.accuracy is None else gather(output.accuracy.reshape(1)).mean()
    return output._replace(z=tuple(map(gather, output.z)), p=tuple(map(gather, output.p)), accuracy=accuracy)
