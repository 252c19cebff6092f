"""The estimate of a study's time, and the GPUs that its runs are spread over."""

import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from stopgrad.compare.work import work
from stopgrad.config import Run
from stopgrad.images.sources import open_splits
from stopgrad.studies.catalogue import choose
from stopgrad.studies.command import gpus
from stopgrad.studies.foretold import Share, foretold
from stopgrad.studies.resolve import Asked, Planned, planned


@pytest.fixture
def tables(tmp_path: Path) -> dict[str, dict[str, Planned]]:
    asked = Asked(scale="small", images="bundled", recipe=None, options={"epochs": "1"}, pairs=[], device="cpu", seeds=2, out=tmp_path)
    splits = open_splits("bundled", "auto")
    names = ["symmetrisation", "crossings"]
    return {name: planned(study, rows, asked, splits, lambda: False) for name, (study, rows) in choose(names, "small", None).items()}


@pytest.fixture
def trials(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Methods that were tried, and with how many threads; SimSiam makes 1,000 images a second, BYOL has no room, all others make 250."""
    seen: list[tuple[str, int]] = []

    def rate(run: Run, images: int, device: torch.device) -> tuple[float, str]:
        seen.append((run.method.name, torch.get_num_threads()))
        if run.method.name == "byol":
            raise torch.OutOfMemoryError("no room")
        return (1000.0 if run.method.name == "simsiam" else 250.0), "fp32"

    monkeypatch.setattr("stopgrad.estimate.measured_rate", rate)
    return seen


def said(tables: dict[str, dict[str, Planned]], name: str, share: Share) -> str:
    jobs = [job for row in tables[name].values() for job in row.jobs]
    return foretold({name: tables[name]}, jobs, 10_000, share, "cpu")


def test_every_kind_of_run_is_tried_once_with_the_threads_that_it_will_have(
    tables: dict[str, dict[str, Planned]], trials: list[tuple[str, int]]
) -> None:
    # three rows of two seeds, 9,984 images each: 10 s a run, alone or beside another
    line = said(tables, "symmetrisation", Share(1, 2, 0))
    assert line == "6 runs, 0 of them done already; training the others takes about 1 min 0 s; judging comes on top"
    assert [name for name, _ in trials] == ["simsiam"] * 3, "symmetric, asymmetric, and with two pairs: each takes a time of its own"
    assert "takes about 30 s (2 at a time)" in said(tables, "symmetrisation", Share(2, 2, 0))
    assert trials[-1][1] == 1, "two at a time on two cores"


def test_what_is_interrupted_goes_on_from_its_step(tables: dict[str, dict[str, Planned]], trials: list[tuple[str, int]]) -> None:
    for row in tables["symmetrisation"].values():
        for job in row.jobs:
            job.out.mkdir(parents=True)
            (job.out / "status.json").write_text('{"state": "interrupted", "step": 39}')  # of 78
    assert "takes about 30 s;" in said(tables, "symmetrisation", Share(1, 2, 0))


def test_nothing_is_foretold_of_what_has_no_room(tables: dict[str, dict[str, Planned]], monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr("stopgrad.estimate.measured_rate", full)
    assert said(tables, "symmetrisation", Share(1, 2, 0)).endswith("takes no known time: no kind of them has room for a step")


def test_gpus_are_as_fast_as_there_are_of_them(tables: dict[str, dict[str, Planned]], trials: list[tuple[str, int]]) -> None:
    assert "takes about 1 min 0 s (4 at a time)" in said(tables, "symmetrisation", Share(4, 16, 1)), "four on one GPU wait for each other"
    assert "takes about 30 s (2 at a time)" in said(tables, "symmetrisation", Share(2, 16, 2))


def test_each_method_counts_by_its_own_rate_and_what_has_no_room_is_said(
    tables: dict[str, dict[str, Planned]], trials: list[tuple[str, int]]
) -> None:
    # six rows of SimCLR and SwAV, two seeds each, 40 s a run
    line = said(tables, "crossings", Share(1, 2, 0))
    assert "training the others, of which 4 need more memory than there is, takes about 7 min 59 s" in line
    assert sorted({name for name, _ in trials}) == ["byol", "simclr", "swav"]


@pytest.mark.parametrize(
    ("device", "visible", "count", "names"),
    [
        ("cpu", None, 2, []),
        ("auto", None, 0, []),
        ("auto", None, 2, ["0", "1"]),
        ("auto", "3,5", 2, ["3", "5"]),
        ("auto", "GPU-a,GPU-b", 2, ["GPU-a", "GPU-b"]),
        ("auto", "3,9", 1, ["0"]),
        ("cuda:1", None, 2, ["1"]),
    ],
)
def test_gpus_are_named_as_the_system_does(device: str, visible: str | None, count: int, names: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stopgrad.device.gpu_count", lambda: count)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert gpus(device) == names


@dataclass(frozen=True)
class Says:
    """A row that writes which GPUs it sees, and waits for another to do so: two have to be at work at once."""

    out: Path

    def commands(self) -> list[tuple[str, ...]]:
        return [] if self.out.exists() else [(str(self.out),)]


def test_rows_are_spread_over_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = (
        "import os, sys, time, pathlib; out = pathlib.Path(sys.argv[1]); out.write_text(os.environ['CUDA_VISIBLE_DEVICES']); began = time.time()\n"
        "while len(list(out.parent.glob('row-*[0-9]'))) < 2 and time.time() - began < 60: time.sleep(0.05)"
    )
    monkeypatch.setattr("stopgrad.compare.work.executable", lambda words: [sys.executable, "-c", script, *words])
    rows = [Says(tmp_path / f"row-{i}") for i in range(4)]
    assert work(rows, 2, 2, lambda line: None, ["3", "7"]) == {}
    seen = [row.out.read_text() for row in rows]
    assert set(seen[:2]) == {"3", "7"}
    assert set(seen) == {"3", "7"}
