"""From typing a command to the first finished training step, and the memory held after some: each in a fresh process, one thread.

All train the demo's slim ResNet-10 on views of 16 of the bundled images (10,000 of 28x28, one channel), SimSiam, batch 128. Peers' commands do
nothing but train; ours is ``stopgrad pretrain`` as it is, with its preflight, run directory, monitor and choice of precision.
"""

import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.child import Start, watch
from benchmarks.measure import alternate, ratios, spread
from benchmarks.page import absence, table
from benchmarks.peers import lacking

BATCH = 128
NOTE = (
    "A fresh process each, one thread, bytecode compiled. The peers' commands do nothing but train, in fp32, without bars, loggers and checkpoints; "
    "ours is the command as a user types it, with preflight, run directory, a record a step, and the precision that it chooses."
)
OURS = "stopgrad pretrain bundled --recipe demo"


def loop(module: str, marks: Path) -> list[str]:
    """Return the command of a peer's loop."""
    return [sys.executable, "-m", f"benchmarks.loops.{module}", "--setting", "demo", "--batch", str(BATCH), "--marks", str(marks)]


def once(name: str, steps: int) -> Start:
    """Start a case by its name, in a folder of its own, and watch it to the step asked for."""
    with tempfile.TemporaryDirectory() as folder:
        if name == OURS:
            out = Path(folder) / "run"
            command = [sys.executable, "-m", *OURS.split(), "--device", "cpu", "--batch", str(BATCH), "--out", str(out), "--set", "train.log_every=1"]
            return watch(command, out / "metrics.jsonl", steps)
        marks = Path(folder) / "marks"
        return watch(loop({"official loop": "official"}.get(name, "with_lightly"), marks), marks, steps)


def started(names: Sequence[str], steps: int, turns: int, warm: int) -> dict[str, list[Start]]:
    """Return every case's starts, by turns."""

    def case(name: str) -> Callable[[], Start]:
        return lambda: once(name, steps)

    return alternate({name: case(name) for name in names}, turns, warm)


def part(quick: bool) -> list[str]:
    """Measure, and return the lines of this part of the page."""
    names, lightly = ["official loop", OURS], "lightly in PyTorch Lightning"
    names[1:1] = [] if lacking("lightly") else [lightly]
    steps, turns = (1, 1) if quick else (20, 5)
    first = started(names, 1, turns, warm=0 if quick else 1)  # the first turn writes bytecode and fills the disk's cache
    later = first if quick else started(names, steps, 3, warm=0)
    walls = {name: [start.wall for start in starts] for name, starts in first.items()}
    rows = []
    for name in names:
        processor, peaks = spread([s.processor for s in first[name]]), [s.peak for s in later[name] if s.peak is not None]
        times = "1" if name == names[0] else ratios(walls, name, names[0]).text(2)
        rows.append((name, spread(walls[name]).text(2), processor.text(2), times, spread(peaks).text() if peaks else "not told by this system"))
    rows += [(lightly, absence(lightly), "", "", "")] if lightly not in names else []
    header = (
        "case",
        "s of the clock, median (range)",
        "s of the processor",
        "times the official loop (clock)",
        f"peak MB after {steps} step{'s' if steps > 1 else ''}",
    )
    return [f"## From the command to the first step, slim ResNet-10, batch {BATCH}, bundled images", "", NOTE, "", *table(header, rows)]
