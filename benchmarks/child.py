"""Processes that are measured from outside: loops that make a step when told to, and commands watched until a step is done."""

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from benchmarks.loops.gate import DONE

ROOT = Path(__file__).parent.parent
LOOK = 0.003
"""Seconds between two looks at a watched process' file."""


def environment(threads: int | None) -> dict[str, str]:
    """Return this process' environment, with so many threads of arithmetic where a number is given."""
    return os.environ | ({} if threads is None else dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(threads)))


class Loop:
    """A loop of ``benchmarks.loops``, held between its steps. It is started when its first step is asked for."""

    def __init__(self, module: str, arguments: Sequence[str], device: str) -> None:
        self.device = device
        self.command = [sys.executable, "-m", f"benchmarks.loops.{module}", "--device", device, *arguments]
        self.process: subprocess.Popen[str] | None = None
        self.said = tempfile.TemporaryFile("w+")  # noqa: SIM115  # closed with the process

    def seconds(self, steps: int = 1) -> float:
        """Let it make some steps, and return the seconds of the processor that they took; on a GPU, of the clock."""
        return sum(self._step() for _ in range(steps))

    def _step(self) -> float:
        if self.process is None:  # its first step begins untold
            environ = environment(1 if self.device == "cpu" else None)
            pipe = subprocess.PIPE
            self.process = subprocess.Popen(self.command, cwd=ROOT, env=environ, stdin=pipe, stdout=pipe, stderr=self.said, text=True)
        else:
            assert self.process.stdin is not None
            self.process.stdin.write("\n")
            self.process.stdin.flush()
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith(DONE):
                wall, processor = map(float, line.removeprefix(DONE).split())
                return processor if self.device == "cpu" else wall
        raise RuntimeError(f"{' '.join(self.command)} ended:\n{_tail(self.said)}")

    def close(self) -> None:
        """End it."""
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
        self.said.close()


@dataclass(frozen=True)
class Start:
    """A process, from its start to a number of finished steps."""

    wall: float
    processor: float
    """Seconds, of all its threads."""
    peak: float | None
    """Most memory it held, MB; None where the system does not say."""


def watch(command: Sequence[str], marks: Path, steps: int) -> Start:
    """Start a command with one thread, and kill it when ``marks``, a file to which it adds a line a step, has ``steps`` lines."""
    began = time.perf_counter()
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command, cwd=ROOT, env=environment(1), stdin=subprocess.DEVNULL, stdout=said, stderr=said)
        status = None
        while status is None and _lines(marks) < steps:
            time.sleep(LOOK)
            ended, found, used = os.wait4(process.pid, os.WNOHANG)
            status = found if ended else None
        wall = time.perf_counter() - began
        peak = None if status is not None else _peak(process.pid)
        if status is None:
            process.kill()
            _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)  # waited for above, which Popen does not know
        if _lines(marks) < steps:
            raise RuntimeError(f"{' '.join(command)} ended after {_lines(marks)} of {steps} steps:\n{_tail(said)}")
    return Start(wall, used.ru_utime + used.ru_stime, peak)


def _lines(marks: Path) -> int:
    return marks.read_bytes().count(b"\n") if marks.exists() else 0


def _peak(pid: int) -> float | None:
    """Return the MB of a living process' peak. Its resource usage would begin with the peak of this one, from which it was forked."""
    status = Path(f"/proc/{pid}/status")
    found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text()) if status.exists() else None
    return int(found[1]) * 1024 / 1e6 if found else None


def _tail(said: IO[str]) -> str:
    said.seek(0)
    return said.read()[-3000:]
