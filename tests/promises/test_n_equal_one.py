"""Promise 4: N processes equal one, for every method; promise 3 with three of them; and what happens when their number changes."""

import hashlib
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from stopgrad.runs import read_lines
from tests.launched import torchrun
from tests.promises.processes import train
from tests.toys import TOYS

pytestmark = pytest.mark.whole


def state(run: Path, step: int) -> dict[str, torch.Tensor]:
    return load_file(run / "checkpoints" / f"step-{step:08d}" / "state.safetensors")


def final(run: Path) -> str:
    return hashlib.sha256((run / "checkpoints" / "step-00000005" / "state.safetensors").read_bytes()).hexdigest()


def same(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Equal up to the order of sums, measured against the tensor's largest number."""
    return float((a.double() - b.double()).abs().max()) <= 5e-3 * float(b.double().abs().max()) + 1e-4


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("alone")
    torch.set_num_threads(1)  # as those that torchrun starts: sums in another order grow tenfold a step
    for name in TOYS:
        train(name, folder)
    return folder


@pytest.fixture(scope="module", params=[2, 3])
def several(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("several")
    torchrun(request.param, "tests.promises.processes", str(folder), *TOYS)
    return folder


@pytest.mark.parametrize("name", TOYS)
def test_n_processes_equal_one(name: str, alone: Path, several: Path) -> None:
    """The losses and measures of the first steps, and every number of the state: weights, momentum, BN statistics, queues, targets.

    The first steps: sums in another order differ in the last bit, and toy networks with BN over two images multiply that tenfold a step.
    """
    one, many = (read_lines(folder / name / "metrics.jsonl") for folder in (alone, several))
    assert len(one) == len(many) == 5
    for a, b in zip(one[:2], many[:2], strict=True):
        for key in a.keys() - {"seconds", "waiting", "images_per_second"}:
            assert b[key] == pytest.approx(a[key], rel=3e-4, abs=1e-5), (key, a["step"])
    before, after = state(alone / name, 2), state(several / name, 2)
    assert before.keys() == after.keys()
    for key, x in before.items():
        assert same(after[key], x), key


@pytest.mark.parametrize("several", [3], indirect=True)  # a sum of two has one order: two cannot show it
def test_three_processes_resume_bit_for_bit(several: Path, tmp_path: Path) -> None:
    """Killed in the middle and started again, three processes end where three undisturbed ones do."""
    torchrun(3, "tests.promises.processes", str(tmp_path), "moco", "--kill-at", "3", ends=1)
    torchrun(3, "tests.promises.processes", str(tmp_path), "moco")
    assert final(tmp_path / "moco") == final(several / "moco")


@pytest.mark.slow
@pytest.mark.parametrize("name", TOYS)
def test_every_method_resumes_bit_for_bit_in_three_processes(name: str, tmp_path: Path) -> None:
    for folder, kill in (("undisturbed", None), ("killed", "3"), ("killed", None)):
        torchrun(3, "tests.promises.processes", str(tmp_path / folder), name, *(["--kill-at", kill] if kill else []), ends=1 if kill else 0)
    assert final(tmp_path / "killed" / name) == final(tmp_path / "undisturbed" / name)


def test_the_number_of_processes_may_change_with_synchronised_bn(alone: Path, tmp_path: Path) -> None:
    torchrun(3, "tests.promises.processes", str(tmp_path), "simsiam", "--kill-at", "3", ends=1)
    torchrun(2, "tests.promises.processes", str(tmp_path), "simsiam")
    for key, x in state(alone / "simsiam", 5).items():
        assert same(state(tmp_path / "simsiam", 5)[key], x), key


def test_local_bn_is_each_process_its_own_and_refuses_another_number(alone: Path, tmp_path: Path) -> None:
    torchrun(2, "tests.promises.processes", str(tmp_path), "simsiam", "--kill-at", "3", "--bn", "local", ends=1)
    first = [read_lines(folder / "simsiam" / "metrics.jsonl")[0]["loss"] for folder in (alone, tmp_path)]
    assert abs(first[0] - first[1]) > 1e-3  # not synchronised: the option does something
    said = torchrun(3, "tests.promises.processes", str(tmp_path), "simsiam", "--bn", "local", ends=1)
    assert "was begun in 2 processes with BN of each its own" in said
    assert "--bn sync" in said


def test_an_error_in_one_process_names_it_and_ends_all(tmp_path: Path) -> None:
    said = torchrun(3, "tests.promises.processes", str(tmp_path), "simsiam", "--fail", "1", ends=1)
    assert "process 1: made up" in said
    for _ in range(50):  # the launcher is gone; its processes may take a moment
        left = [p for p in Path("/proc").glob("[0-9]*/cmdline") if str(tmp_path) in p.read_bytes().decode(errors="replace")]
        if not left:
            break
        time.sleep(0.1)
    assert not left
