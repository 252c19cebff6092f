"""Several processes of a module, as torchrun starts them."""

import os
import subprocess
import sys


def torchrun(count: int, *words: str, ends: int = 0) -> str:
    """Start ``count`` processes of the module that ``words`` begin with, on the CPU; return what they said. ``ends``: the launcher's exit status."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}", "-m"]
    own = os.environ | {"OMP_NUM_THREADS": "1", "TORCH_CPP_LOG_LEVEL": "ERROR"}
    done = subprocess.run([*launcher, *words], capture_output=True, text=True, timeout=240, check=False, env=own)
    assert done.returncode == ends, done.stderr[-3000:]
    return done.stdout + done.stderr
