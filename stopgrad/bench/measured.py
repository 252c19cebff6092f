"""What ``stopgrad bench`` prints: the machine's ceilings, the stages of a run's step, and what to choose."""

import math
import os
import platform
import statistics
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from stopgrad.bench.ceiling import convolution_rate, copy_rate, product_rate, transfer_rate
from stopgrad.bench.trial import STAGES, Trial
from stopgrad.config import Data, Run, problems
from stopgrad.config.run import Precision
from stopgrad.errors import UserError
from stopgrad.estimate import peak_bytes
from stopgrad.images.bad import BadImage
from stopgrad.images.pool import Pool, load, room
from stopgrad.images.residence import decide, free_device, free_ram
from stopgrad.images.source import Source
from stopgrad.images.survey import survey
from stopgrad.progress import duration, table
from stopgrad.settle import computing_with, settle_threads
from stopgrad.views.on_gpu import has_triton

SAMPLE = 64
"""Images that stand for all."""
SPLITS = 5
"""Steps that are split into stages."""
WORTH = 1.05
"""A batch that is not so many times as fast as half of it is not worth its memory."""


def measured(run: Run, source: Source, device: torch.device) -> Iterator[str]:
    """Yield the lines, as they are found. ``run`` is what would be trained on ``source``. Raises UserError when no image can be read."""
    headers = survey(source, run.data.max_pixels)
    wanted = headers.wanted(run.data)
    usable = wanted.usable()
    if not len(usable):
        raise UserError(f"{source.name}: no usable image")
    some = usable[np.unique(np.linspace(0, len(usable) - 1, min(SAMPLE, len(usable))).round().astype(np.int64))]
    loaded = load(source, run.data, keep=some, headers=headers).pool
    pool = loaded.take(torch.arange(len(loaded)))  # of a pack it would be all of the file
    trial = Trial(run, pool, len(source), device)
    threads = settle_threads(trial.run, trial.backbone, device)
    with computing_with(threads):
        yield _machine(device)
        yield f"run        {_named(trial.run)}"
        rate, peak = trial.rate(), peak_bytes(device)  # before anything else takes memory
        ceilings = _ceilings(device)
        yield f"ceilings   {ceilings.line}"
        yield from _stages(trial, rate, ceilings, device)
        yield ""
        decoded = _decode_rate(source, run.data, some)
        if decoded is not None:
            yield f"decode     {decoded:,.0f} images/s in one process: {_decoding(decoded, rate)}"
        needed, place = room(source, run.data, wanted)
        yield f"images     {decide(needed, run.data.residence, free_ram(), free_device(str(device)), place).line}"
        yield f"memory     {peak / 2**30:.1f} GiB for training, and the images"
        total = len(usable) // run.train.batch * run.train.batch * run.train.epochs / rate
        yield f"schedule   {run.train.epochs} epochs of {len(usable):,} images in about {duration(total)}"
        yield from _choices(run, trial, pool, len(source), rate, threads, device)


class _Ceilings:
    def __init__(self, product: dict[Precision, float], convolution: dict[Precision, float], copy: float, transfer: float | None) -> None:
        self.convolution, self.copy = convolution, copy
        parts = [f"{name} {_short(product[name])}FLOP/s products, {_short(convolution[name])}FLOP/s convolutions" for name in product]
        parts.append(f"copy {_short(copy)}B/s")
        if transfer is not None:
            parts.append(f"to the device {_short(transfer)}B/s")
        self.line = "; ".join(parts)


def _ceilings(device: torch.device) -> _Ceilings:
    kinds: dict[Precision, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16}
    return _Ceilings(
        {name: product_rate(device, kind) for name, kind in kinds.items()},
        {name: convolution_rate(device, kind) for name, kind in kinds.items()},
        copy_rate(device),
        transfer_rate(device) if device.type == "cuda" else None,
    )


def _machine(device: torch.device) -> str:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()
    views = "" if device.type == "cpu" else f"; views by {'Triton' if has_triton() else 'torch, since Triton or a C compiler is missing'}"
    return f"machine    {name}, {os.cpu_count()} cores, {torch.get_num_threads()} used; torch {torch.__version__}{views}"


def _processor() -> str:
    """Return the processor's name, as Linux tells it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _named(run: Run) -> str:
    views = " + ".join(f"{sum(v.size == size for v in run.shown)} x {size} px" for size in dict.fromkeys(v.size for v in run.shown))
    return f"{run.recipe}: {run.method.name}, {run.net.backbone}, batch {run.train.batch}, views {views}, {run.train.precision}"


def _stages(trial: Trial, rate: float, ceilings: _Ceilings, device: torch.device) -> Iterator[str]:
    """Yield the table of a step's stages."""
    splits = [trial.stages() for _ in range(SPLITS)]
    spent = {stage: statistics.median(split[stage] for split in splits) for stage in STAGES}
    step = trial.run.train.batch / rate
    forward, backward = trial.operations()
    best = ceilings.convolution[trial.run.train.precision if trial.run.train.precision == "bf16" else "fp32"]
    moved = (5 if trial.run.optim.kind == "sgd" else 7) * trial.parameter_bytes()  # g, w and v read, w and v written; LARS reads w and g again
    said = {
        "render": (f"{len(trial.run.shown) * trial.run.train.batch / max(spent['render'], 1e-9):,.0f} views/s", ""),
        "forward": _of(forward / spent["forward"], "FLOP/s", best),
        "backward": _of(backward / spent["backward"], "FLOP/s", best),
        "optimiser": _of(moved / spent["optimiser"], "B/s", ceilings.copy),
    }
    rows = [[name, f"{1e3 * spent[name]:.2f}", f"{spent[name] / step:.1%}", *said.get(name, ("", ""))] for name in STAGES if spent[name] > 1e-5]
    rest = step - sum(spent.values())
    rows += [["rest", f"{1e3 * rest:.2f}", f"{rest / step:.1%}", "", ""]] if rest > 0 else []
    rows.append(["step", f"{1e3 * step:.2f}", "100%", f"{rate:,.1f} images/s", ""])
    yield ""
    yield from table(["stage", "ms", "share", "rate", "of the ceiling"], rows)
    if device.type == "cuda":
        yield "stages are waited for one by one: overlapped, their sum exceeds the step"


def _of(rate: float, unit: str, ceiling: float) -> tuple[str, str]:
    return f"{_short(rate)}{unit}", f"{rate / ceiling:.0%}"


def _short(value: float) -> str:
    """Return a rate with the prefix that fits it."""
    power = max(0, min(5, int(math.log10(max(value, 1)) // 3)))
    return f"{value / 1000**power:.3g} {' kMGTP'[power].strip()}"


def _decode_rate(source: Source, data: Data, some: np.ndarray) -> float | None:
    """Return how many images a second one process decodes; None of images that lie decoded."""
    if source.array() is not None or source.mapped() is not None:
        return None
    done, began = 0, time.perf_counter()
    for i in some:
        try:
            source.read(int(i), data)
        except BadImage:
            continue
        done += 1
    return done / (time.perf_counter() - began) if done else None


def _decoding(decoded: float, rate: float) -> str:
    workers = math.ceil(rate / decoded)
    keeps = "keeps" if workers == 1 else "keep"
    return f"where they are streamed, {workers} worker{'s' if workers > 1 else ''} {keeps} the step fed"


def _choices(run: Run, trial: Trial, pool: Pool, images: int, rate: float, threads: int, device: torch.device) -> Iterator[str]:
    """Yield what other settings would bring, and the words that choose the best."""
    chosen = trial.run.train.precision
    rates: dict[str, float | None] = {chosen: rate}
    if run.train.precision == "auto" and chosen == "bf16":  # fp32 alone is left to try; where bf16 was not chosen the device has none
        rates["fp32"] = _rate(run, pool, images, device, precision="fp32")
    yield ""
    yield "precision  " + ", ".join(f"{name} {_said(value)}" for name, value in rates.items())
    if device.type == "cpu":
        yield f"threads    {threads}: as a run would settle it now"
    batches: dict[int, float | None] = {run.train.batch: rate}
    for batch in (run.train.batch // 2, run.train.batch * 2):
        if 4 <= batch <= images and not problems(replace(run, train=replace(run.train, batch=batch))):
            batches[batch] = _rate(run, pool, images, device, batch=batch)
    yield "batch      " + ", ".join(f"{batch}: {_said(batches[batch])}" for batch in sorted(batches))
    fit = {batch: value for batch, value in batches.items() if value is not None}
    best = max(rates, key=lambda name: rates[name] or 0.0)
    enough = min(batch for batch, value in fit.items() if value * WORTH >= max(fit.values()))
    words = [f"--set train.precision={best}"] + ([f"--set train.threads={threads}"] if threads else []) + [f"--batch {enough}"]
    yield f"suggested  {' '.join(words)} (a batch decides what is learned, too: SimSiam is as good from 128 to 2048)"


def _rate(run: Run, pool: Pool, images: int, device: torch.device, **changed: Any) -> float | None:
    """Return images a second with other values of ``train``; None where they do not fit the GPU's memory."""
    try:
        return Trial(replace(run, train=replace(run.train, **changed)), pool, images, device).rate()
    except torch.OutOfMemoryError:
        return None


def _said(rate: float | None) -> str:
    return "does not fit the memory" if rate is None else f"{rate:,.1f} images/s"
