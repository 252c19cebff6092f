"""The GPU's kernels without a GPU: run by Triton's interpreter, and compiled for one."""

import os
import subprocess
import sys
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

TRITON = tuple(map(int, version("triton").split(".")[:2])) if find_spec("triton") else (0, 0)
pytestmark = pytest.mark.skipif(TRITON == (0, 0), reason="needs Triton")
interpretable = pytest.mark.skipif(
    TRITON < (3, 9) and np.lib.NumpyVersion(np.__version__) >= "2.4.0", reason="the interpreter of Triton 3.6 asks of NumPy what 2.4 refuses"
)

FILE = Path(__file__).with_name("interpreted.py")
COMPILE = """
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile
from stopgrad.views import triton_kernels as kernels

TYPES = {"buffer": "*u8", "numbers": "*i64"}

def build(kernel, **known):
    types = {name: "constexpr" if name in known else TYPES.get(name, "*fp32") for name in kernel.arg_names}
    made = compile(ASTSource(kernel, types, constexprs=known), target=GPUTarget("cuda", 90, 32), options={"num_warps": 4, "enable_fp_fusion": False})
    assert made.asm["cubin"]

small, large = ({"C": 3, "CP": 4, "S": size, "BLOCK": block} for size, block in ((32, 1024), (224, 512)))
build(kernels.make, PEAK=255.0, WHOLE=True, **small)
build(kernels.make, PEAK=255.0, WHOLE=False, **large)
build(kernels.finish, BLOCKS=128, **large)
build(kernels.blur, RADIUS=11, ALONG=True, **large)
"""


def interpret(*arguments: str) -> None:
    """In a process of its own: Triton reads the variable when kernels are defined."""
    environ = os.environ | {"TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist", str(FILE), *arguments]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@interpretable
@pytest.mark.whole
def test_interpreted_the_kernels_make_torchs_views() -> None:
    interpret("-m", "not slow")


@interpretable
@pytest.mark.slow
def test_interpreted_the_kernels_make_torchs_large_views() -> None:
    interpret("-m", "slow")


@pytest.mark.slow
def test_the_kernels_compile_for_a_gpu_that_is_not_there(tmp_path: Path) -> None:
    environ = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"} | {"TRITON_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", COMPILE], env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
