"""The command line under torchrun: the same words, one run; stopped, killed and refused as in one process."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.whole

SETTINGS = ("net.width=4", "views.size=14", "data.size=14", "train.batch=200", "train.log_every=1", "train.precision=fp32", "train.monitor_every=9")


def command(out: Path, *more: str, count: int = 2) -> list[str]:
    sets = [word for value in SETTINGS for word in ("--set", value)]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
    return [*launcher, "-m", "stopgrad", "pretrain", "bundled", "--recipe", "demo", "--method", "simclr", "--out", str(out), *sets, *more]


ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}


def begun(out: Path) -> None:
    """Wait until some steps are made."""
    for _ in range(600):
        if (out / "metrics.jsonl").exists() and len((out / "metrics.jsonl").read_bytes().splitlines()) >= 3:
            return
        time.sleep(0.1)
    raise AssertionError("it did not begin to train")


def left(out: Path) -> list[str]:
    """Return the processes that still have the run directory among their words."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode(errors="replace")
        except OSError:  # it ended just now
            continue
        found += [words] if str(out) in words else []
    return found


def gone(out: Path) -> bool:
    for _ in range(100):
        if not left(out):
            return True
        time.sleep(0.1)
    return False


def test_a_signal_saves_and_the_same_command_goes_on(tmp_path: Path) -> None:
    out = tmp_path / "run"
    job = subprocess.Popen(command(out, "--epochs", "2"), env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    begun(out)
    job.send_signal(signal.SIGTERM)
    said, _ = job.communicate(timeout=60)
    status = json.loads((out / "status.json").read_text())
    assert status["state"] == "interrupted", said
    assert f"step-{status['step']:08d}" in {p.name for p in (out / "checkpoints").iterdir()}
    assert gone(out)
    done = subprocess.run(command(out, "--epochs", "2"), env=ENVIRONMENT, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    assert f"resuming at step {status['step']}" in done.stdout
    assert done.stdout.count("trained 100 steps") == 1  # one process speaks
    assert json.loads((out / "environment.json").read_text())["processes"] == 2
    assert (out / "backbone.safetensors").exists()


def test_a_launcher_killed_leaves_nobody(tmp_path: Path) -> None:
    out = tmp_path / "run"
    job = subprocess.Popen(command(out, "--epochs", "50"), env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    begun(out)
    assert len(left(out)) == 3
    job.kill()
    job.wait()
    assert gone(out), left(out)


def test_mistakes_are_named_with_their_process(tmp_path: Path) -> None:
    out = tmp_path / "run"
    done = subprocess.run(command(out, "--set", "train.batch=201"), env=ENVIRONMENT, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 1
    assert "stopgrad: process 0: train.batch: 2 processes do not divide the 201 images of a part" in done.stderr
    assert not (out / "config.json").exists()
    assert gone(out)


def test_what_works_in_one_process_only_says_so() -> None:
    words = [sys.executable, "-m", "stopgrad", "evaluate", "nowhere"]
    done = subprocess.run(words, env=ENVIRONMENT | {"WORLD_SIZE": "2", "RANK": "1"}, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, "works in one process; start it without torchrun" in done.stderr) == (2, True)
