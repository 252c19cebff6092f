"""The sbatch template: run by bash with stand-ins for the scheduler's commands."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

TEMPLATE = Path(__file__).parent.parent / "docs" / "slurm" / "pretrain.sbatch"
STAND_INS = {
    "scontrol": 'if [ "$1" = show ]; then echo node1; else echo "$@" >> "$CALLS"; fi',
    "scancel": 'echo "$@" >> "$CALLS"; pkill -TERM -P "$(cat "$CALLS.srun")"',
    "srun": 'echo $$ > "$CALLS.srun"; trap "wait" TERM; while [ "$1" != torchrun ]; do shift; done; "$@" & wait $!; wait; exit 1',
    "torchrun": """echo "torchrun $*" >> "$CALLS"; trap 'echo "{\\"state\\": \\"interrupted\\"}" > "$RUN/status.json"; exit 1' TERM
for i in $(seq 100); do sleep 0.1; done""",
}


@pytest.fixture
def scheduler(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "bin").mkdir()
    (tmp_path / "run").mkdir()
    for name, body in STAND_INS.items():
        path = tmp_path / "bin" / name
        path.write_text(f"#!/usr/bin/env bash\n{body}\n")
        path.chmod(0o755)
    own = {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "CALLS": str(tmp_path / "calls"), "RUN": str(tmp_path / "run")}
    return os.environ | own | {"SLURM_JOB_NODELIST": "node[1-2]", "SLURM_NNODES": "2", "SLURM_JOB_ID": "7", "SLURM_GPUS_ON_NODE": "8"}


def wait_for(calls: Path) -> None:
    for _ in range(200):
        if calls.exists() and "torchrun" in calls.read_text():
            return
        time.sleep(0.05)
    raise AssertionError("torchrun was not called")


def test_a_signal_saves_and_requeues(scheduler: dict[str, str], tmp_path: Path) -> None:
    job = subprocess.Popen(["bash", str(TEMPLATE), "images", str(tmp_path / "run"), "--recipe", "simclr/imagenet"], env=scheduler)
    calls = tmp_path / "calls"
    wait_for(calls)
    job.send_signal(signal.SIGUSR1)
    assert job.wait(timeout=20) == 0
    said = calls.read_text()
    assert f"-m stopgrad pretrain images --out {tmp_path / 'run'} --recipe simclr/imagenet" in said
    assert "--nnodes 2 --nproc-per-node 8" in said
    assert "requeue 7" in said


@pytest.mark.parametrize(("state", "again"), [("finished", False), ("failed", False), ("running", True), (None, True)])
def test_what_the_signal_finds_decides(state: str | None, again: bool, scheduler: dict[str, str], tmp_path: Path) -> None:
    """Stopped while loading or killed while saving it is requeued; what ended by itself just then is not."""
    written = f'echo \'{{"state": "{state}"}}\' > "$RUN/status.json"' if state else "true"
    stand_in = f'#!/usr/bin/env bash\n{written}; echo "torchrun $*" >> "$CALLS"; trap "exit 1" TERM\nfor i in $(seq 100); do sleep 0.1; done\n'
    (tmp_path / "bin" / "torchrun").write_text(stand_in)
    job = subprocess.Popen(["bash", str(TEMPLATE), "images", str(tmp_path / "run")], env=scheduler)
    wait_for(tmp_path / "calls")
    job.send_signal(signal.SIGUSR1)
    assert (job.wait(timeout=20) == 0) == again
    assert ("requeue 7" in (tmp_path / "calls").read_text()) == again


def test_a_run_that_fails_by_itself_is_not_requeued(scheduler: dict[str, str], tmp_path: Path) -> None:
    """Even when an earlier stop left its state behind."""
    (tmp_path / "run" / "status.json").write_text('{"state": "interrupted"}')
    (tmp_path / "bin" / "torchrun").write_text("#!/usr/bin/env bash\nexit 1\n")
    (tmp_path / "bin" / "srun").write_text('#!/usr/bin/env bash\nwhile [ "$1" != torchrun ]; do shift; done; exec "$@"\n')
    assert subprocess.run(["bash", str(TEMPLATE), "images", str(tmp_path / "run")], env=scheduler, timeout=20, check=False).returncode == 1
    assert not (tmp_path / "calls").exists()


def test_a_finished_run_is_not_requeued(scheduler: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "bin" / "torchrun").write_text('#!/usr/bin/env bash\necho "{\\"state\\": \\"finished\\"}" > "$RUN/status.json"\n')
    (tmp_path / "bin" / "srun").write_text('#!/usr/bin/env bash\nwhile [ "$1" != torchrun ]; do shift; done; exec "$@"\n')
    assert subprocess.run(["bash", str(TEMPLATE), "images", str(tmp_path / "run")], env=scheduler, timeout=20, check=False).returncode == 0
    assert not (tmp_path / "calls").exists()
