"""How long what is left of studies will take, by a few steps of every kind of run that is left."""

import gc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stopgrad.config import Run
from stopgrad.progress import duration
from stopgrad.runs import RunDirectory
from stopgrad.studies.jobs import UNTRAINED, Job
from stopgrad.studies.resolve import Planned

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Share:
    """How runs share the machine."""

    at_once: int
    cores: int
    gpus: int
    """0: they are trained on the CPU."""

    @property
    def together(self) -> int:
        """How many runs train as fast as if each were alone: with more than one a GPU they wait for each other."""
        return min(self.at_once, self.gpus or self.cores)


def foretold(tables: Mapping[str, Mapping[str, Planned]], todo: Sequence[Job], images: int, share: Share, device: str) -> str:
    """Return what is to be done and how long the training takes: judging comes on top."""
    runs = {job.out: row.run for rows in tables.values() for row in rows.values() for job in row.jobs}
    undone = [job for job in todo if job.commands()]
    waiting = [job for job in undone if job.state() in UNTRAINED]
    left = [(runs[job.out], RunDirectory(job.out).status().get("step", 0)) for job in waiting]
    said = f"{len(todo)} runs, {len(todo) - len(undone)} of them done already"
    if not left:
        return f"{said}; the others are trained, and are judged now" if undone else said
    training = "training the others" if len(left) == len(undone) else f"training {len(left)} of the others"
    seconds, known = _seconds(left, images, share, device)
    if known < len(left):
        training += f", of which {len(left) - known} need more memory than there is,"
    if not known:
        return f"{said}; {training} takes no known time: no kind of them has room for a step"
    takes = duration(max(seconds) if len(left) <= share.together else sum(seconds) / share.together)
    together = f" ({share.at_once} at a time)" if share.at_once > 1 else ""
    return f"{said}; {training} takes about {takes}{together}; judging comes on top"


def _seconds(runs: Sequence[tuple[Run, int]], images: int, share: Share, device: str) -> tuple[list[float], int]:
    """Return the seconds of every run from its step on, by a trial of each kind, and how many of them have room."""
    from stopgrad.device import pick_device
    from stopgrad.settle import computing_with

    rates: dict[tuple[object, ...], float | None] = {}
    where = pick_device(device)
    with computing_with(max(1, share.cores // share.at_once)):
        for run, _ in runs:
            if _kind(run) not in rates:
                rates[_kind(run)] = _rate(run, images, where)
    _give_back()
    seen = [((images // run.train.batch * run.train.epochs - step) * run.train.batch, rates[_kind(run)]) for run, step in runs]
    return [number / rate if rate else 0.0 for number, rate in seen], sum(rate is not None for _, rate in seen)


def _kind(run: Run) -> tuple[object, ...]:
    """Return what decides how fast a run is, as far as studies change it: no weight, rate or temperature does."""
    method = tuple((name, value) for name, value in vars(run.method).items() if not isinstance(value, float))
    views = tuple((view.size, view.policy, view.blur > 0, view.rotate > 0, view.sobel > 0, view.noise > 0) for view in run.views)
    return run.method.name, method, run.net, views, run.train.batch


def _rate(run: Run, images: int, device: "torch.device") -> float | None:
    """Return images a second; None where there is no room for a step."""
    import torch

    from stopgrad.estimate import measured_rate

    try:
        return measured_rate(run, images, device)[0]
    except torch.OutOfMemoryError:
        return None
    except RuntimeError as error:
        if "allocate memory" not in str(error):  # as torch says of a CPU
            raise
        return None


def _give_back() -> None:
    """Give back what the trials took of a GPU: the runs are other processes."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
