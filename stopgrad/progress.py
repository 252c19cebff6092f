"""How a run shows itself: one live line on a terminal, plain lines elsewhere, and tables."""

import shutil
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, TextIO

PLAIN_EVERY = 10.0
"""Seconds between two plain lines where there is no terminal."""


class Progress:
    """Shows records of a run: the newest as a live line, the monitor's as lines that stay."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stdout
        self.live = self.stream.isatty()
        self._shown = ""
        self._record: dict[str, Any] = {}
        self._knn: float | None = None
        self._rank: float | None = None
        self._began: tuple[float, int] | None = None
        self._last_plain = 0.0
        self._last_live = 0.0

    def line(self, text: str) -> None:
        """Print a line that stays."""
        self._clear()
        print(text, file=self.stream, flush=True)

    def record(self, record: dict[str, Any]) -> None:
        """Take note of a record of metrics.jsonl."""
        self._record = record
        self._knn = record.get("knn", self._knn)
        self._rank = record.get("rank", self._rank)

    def step(self, step: int, steps: int) -> None:
        """Show where the run is."""
        now = time.monotonic()
        if self._began is None:
            self._began = (now, step)
        if self._record:
            self._show(lambda: self._text(step, steps, now), now, step == steps)

    def count(self, done: int, total: int) -> None:
        """Show how many images are done, in work that is no training."""
        now = time.monotonic()
        if self._began is None:
            self._began, self._last_live, self._last_plain = (now, done), now, now
        began, before = self._began
        rate = (done - before) / max(now - began, 1e-9)
        left = (total - done) / max(rate, 1e-9)
        self._show(lambda: f"{done:,}/{total:,} images  {rate:,.0f} images/s  {duration(left)} left", now, done == total)

    def close(self) -> None:
        """Leave the live line standing and go to the next."""
        if self._shown:
            print(file=self.stream, flush=True)
            self._shown = ""

    def _show(self, text: Callable[[], str], now: float, last: bool) -> None:
        """Show a line that the next one replaces, or a plain one where there is no terminal; not too often, but the last always."""
        if self.live and (now - self._last_live > 0.2 or last):
            self._last_live = now
            shown = text()[: shutil.get_terminal_size().columns - 1]
            print("\r" + shown.ljust(len(self._shown)), end="", file=self.stream, flush=True)
            self._shown = shown
        elif not self.live and (now - self._last_plain > PLAIN_EVERY or last):
            self._last_plain = now
            print(text(), file=self.stream, flush=True)

    def _clear(self) -> None:
        if self._shown:
            print("\r" + " " * len(self._shown) + "\r", end="", file=self.stream)
            self._shown = ""

    def _text(self, step: int, steps: int, now: float) -> str:
        assert self._began is not None
        r = self._record
        done, began_step = now - self._began[0], self._began[1]
        left = done / max(step - began_step, 1) * (steps - step)
        parts = [f"step {step}/{steps}", f"epoch {step * r['epoch'] / r['step']:.1f}", f"loss {r['loss']:+.3f}", f"lr {r['lr']:.4f}"]
        parts += [f"std {r['std']:.2f} (healthy 1, collapsed 0)"] if "std" in r else []
        parts += [f"accuracy {r['accuracy']:.0%}"] if "accuracy" in r else []
        parts += [f"rank {self._rank:.0f}"] if self._rank is not None else []
        parts += [f"kNN {self._knn:.1%}"] if self._knn is not None else []
        parts += [f"{r['images_per_second']:.0f} img/s", f"waiting {r['waiting']:.0%}", f"{duration(left)} left"]
        return "  ".join(parts)


def duration(seconds: float) -> str:
    """Return a time as a person would say it: 42 s, 3 min 20 s, 5 h 10 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table: the first column to the left, the others to the right."""
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        return "  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(cells, widths, strict=True))).rstrip()

    return [line(header), line(["-" * w for w in widths]), *(line(row) for row in rows)]
