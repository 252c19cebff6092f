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
    "srun": 'echo $$ > "$CALLS.srun"; trap "wait" TERM; shift; "$@" & wait $!; wait; exit 1',
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


def test_a_signal_saves_and_requeues(scheduler: dict[str, str], tmp_path: Path) -> None:
    job = subprocess.Popen(["bash", str(TEMPLATE), "images", str(tmp_path / "run"), "--recipe", "simclr/imagenet"], env=scheduler)
    calls = tmp_path / "calls"
    for _ in range(100):
        time.sleep(0.05)
        if calls.exists() and "torchrun" in calls.read_text():
            break
    job.send_signal(signal.SIGUSR1)
    assert job.wait(timeout=20) == 0
    said = calls.read_text()
    assert f"-m stopgrad pretrain images --out {tmp_path / 'run'} --recipe simclr/imagenet" in said
    assert "--nnodes 2 --nproc-per-node 8" in said
    assert "requeue 7" in said


def test_a_finished_run_is_not_requeued(scheduler: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "bin" / "torchrun").write_text('#!/usr/bin/env bash\necho "{\\"state\\": \\"finished\\"}" > "$RUN/status.json"\n')
    (tmp_path / "bin" / "srun").write_text('#!/usr/bin/env bash\nshift; exec "$@"\n')
    assert subprocess.run(["bash", str(TEMPLATE), "images", str(tmp_path / "run")], env=scheduler, timeout=20, check=False).returncode == 0
    assert not (tmp_path / "calls").exists()
