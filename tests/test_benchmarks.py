"""The benchmark harness at toy size, without peers, and the page it writes."""

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import __main__ as command
from benchmarks import child, gpu, jpeg, operations, page, peers, record, views
from benchmarks.loops.settings import SETTINGS, backbone, images
from benchmarks.measure import Case, Row, alternate, compare, spread
from benchmarks.training import BASE
from stopgrad.recipes import RECIPES

CPU = torch.device("cpu")


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No peer is installed."""
    monkeypatch.setattr(peers, "installed", lambda package: None)


def ticking(*seconds: float, amount: int = 10) -> Case:
    answers = iter(seconds)
    return Case(lambda: next(answers), amount)


def test_cases_alternate_after_a_turn_that_does_not_count() -> None:
    seen: list[str] = []

    def case(name: str) -> int:
        seen.append(name)
        return len(seen)

    found = alternate({"a": lambda: case("a"), "b": lambda: case("b")}, turns=2)
    assert "".join(seen) == "baabba"
    assert found == {"a": [3, 6], "b": [4, 5]}


def test_ratios_are_taken_turn_by_turn() -> None:
    base, ours, absent = compare({"peer": ticking(9, 10, 20, 30), "ours": ticking(9, 1, 4, 2, amount=20), "other": None}, "peer", turns=3)
    assert base == Row("peer", spread([1.0, 0.5, 1 / 3]), None)
    assert ours.rate is not None
    assert (ours.rate.smallest, ours.rate.median, ours.rate.largest) == (5, 10, 20)
    assert ours.times is not None
    assert (ours.times.smallest, ours.times.median, ours.times.largest) == (10, 20, 30)
    assert absent == Row("other", None, None)


def test_a_peer_that_is_not_installed_is_named(alone: None) -> None:
    rows = [Row("PIL", spread([10.0]), None), Row("kornia, batch 8", None, None), Row("ours", spread([30.0, 50.0]), spread([3.0, 5.0]))]
    assert page.rates(rows, "views/s", "PIL") == [
        "| case | views/s, median (range) | times PIL |",
        "|---|---|---|",
        "| PIL | 10 (10..10) | 1 |",
        "| kornia, batch 8 | not measured: kornia not installed |  |",
        "| ours | 40 (30..50) | 4.0 (3.0..5.0) |",
        "",
    ]
    assert page.absence("lightly in PyTorch Lightning, fp32") == "not measured: lightly, pytorch-lightning not installed"


def test_a_part_is_replaced_and_the_others_stay(tmp_path: Path) -> None:
    path = tmp_path / "results.md"
    page.write(path, "cpu", {"training": ["## Training", "", "| old |", ""]})
    page.write(path, "cpu", {"views": ["## Views", ""]})
    page.write(path, "cpu", {"training": ["## Training", "", "| new |", ""]})
    assert page.read(path.read_text()) == {"views": "## Views\n", "training": "## Training\n\n| new |\n"}
    assert path.read_text().index("## Views") < path.read_text().index("## Training")
    assert "on the CPU" in path.read_text().splitlines()[0]


def test_the_pages_in_the_repository_have_all_their_parts() -> None:
    written = (Path(command.__file__).parent / command.FILES["cpu"]).read_text()
    assert tuple(page.read(written)) == tuple(command.parts(CPU, True, 2))
    assert "not installed" not in written


def test_quick_numbers_replace_no_measured_ones(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["--quick"])
    assert "--quick needs --out" in capsys.readouterr().err


def test_views_and_files_at_toy_size(alone: None, tmp_path: Path) -> None:
    out = tmp_path / "results.md"
    threads = torch.get_num_threads()
    command.main(["--quick", "--only", "views", "jpeg", "--out", str(out)])
    torch.set_num_threads(threads)
    parts = page.read(out.read_text())
    assert tuple(parts) == ("views", "jpeg")
    for case in (views.PIL, "stopgrad, batch 8", "kornia, batch 8 | not measured", "albumentations on OpenCV | not measured"):
        assert f"| {case}" in parts["views"]
    for case in ("stopgrad streaming", f"prepared at {jpeg.SHORT}: stopgrad pack", f"prepared at {jpeg.SHORT}: {views.PIL}"):
        assert f"| {case}" in parts["jpeg"]


def test_operations_are_measured_alone() -> None:
    found = operations.operations(views.small_images(4), views.CIFAR, 2, CPU)
    assert {"jitter", "blur", "normalise"} < found.keys()
    assert all(row.median >= 0 for row in found.values())


def test_loops_train_what_the_recipes_say() -> None:
    """They must not import stopgrad, so their numbers stand twice."""
    for name, recipe in (("cifar", "simsiam/cifar10"), ("demo", "demo")):
        setting, run = SETTINGS[name], RECIPES[recipe]()
        view = run.views[0]
        assert (setting.size, setting.scale, setting.flip, setting.jitter, setting.grey) == (view.size, view.scale, view.flip, view.jitter, view.grey)
        assert (setting.channels, setting.mean, setting.std) == (run.data.channels, run.data.mean, run.data.std)
        side = 28 if setting.channels == 1 else 32
        decoded = images(setting)
        assert (len(decoded), decoded[0].size) == (setting.images, (side, side))
        net = backbone(name).eval()
        assert net(torch.zeros(2, setting.channels, setting.size, setting.size)).shape == (2, setting.features)


def test_the_demos_network_is_the_recipes() -> None:
    from stopgrad.methods import initial_backbone

    ours = sum(p.numel() for p in initial_backbone(RECIPES["demo"]()).parameters())
    assert sum(p.numel() for p in backbone("demo").parameters()) == ours


def test_a_command_that_ends_too_early_says_why(tmp_path: Path) -> None:
    script = f"open({str(tmp_path / 'marks')!r}, 'w').write('step\\n'); raise SystemExit('no more')"
    with pytest.raises(RuntimeError, match=r"(?s)after 1 of 2 steps.*no more"):
        child.watch([sys.executable, "-c", script], tmp_path / "marks", 2)


@pytest.mark.whole
def test_a_loop_that_ends_says_why() -> None:
    loop = child.Loop("official", ["--batch", "none"], "cpu")
    with pytest.raises(RuntimeError, match="invalid int value"):
        loop.seconds()
    loop.close()


@pytest.mark.whole
def test_training_and_startup_at_toy_size(alone: None, tmp_path: Path) -> None:
    out = tmp_path / "results.md"
    threads = torch.get_num_threads()
    command.main(["--quick", "--only", "training", "startup", "--batch", "2", "--out", str(out)])
    torch.set_num_threads(threads)
    parts = page.read(out.read_text())
    assert "| lightly in PyTorch Lightning, fp32 | not measured: lightly, pytorch-lightning not installed |" in parts["training"]
    assert "| stopgrad, bf16 | " in parts["training"]
    assert "| backward | " in parts["training"]
    assert "| stopgrad pretrain bundled --recipe demo | " in parts["startup"]


@pytest.mark.whole
def test_how_much_of_a_gpu_is_used_at_toy_size() -> None:
    """All but the GPU: every case makes its steps, from the device, from a pack, and without an input path."""
    lines = gpu.part(CPU, quick=True, batch=2)
    for case in (gpu.BARE, gpu.RESIDENT, gpu.PACKED, BASE, "an epoch", "arithmetic used"):
        assert any(line.startswith(f"| {case} |") for line in lines), case


@pytest.mark.parametrize(("spans", "length"), [([], 0), ([(1, 3), (2, 5), (8, 9)], 5), ([(8, 9), (0, 10)], 10), ([(0, 1), (1, 2)], 2)])
def test_what_overlaps_is_busy_once(spans: list[tuple[float, float]], length: float) -> None:
    assert gpu.covered(spans) == length


@pytest.mark.whole
def test_a_record_is_trained_judged_and_written_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    for part, count in (("data_batch_1", 40), ("test_batch", 20)):
        rows = random.integers(0, 256, (count, 3073), dtype=np.uint8)
        rows[:, 0] = np.arange(count) % 10
        rows.tofile(tmp_path / f"{part}.bin")
    monkeypatch.setitem(record.LINEAR, "simsiam", dataclasses.replace(record.LINEAR["simsiam"], epochs=1))
    small = (
        "train.epochs=1",
        "train.batch=20",
        "net.width=4",
        "views.size=8",
        "method.projector=16,16",
        "method.predictor_hidden=4",
        "train.threads=1",
    )
    page = tmp_path / "record.md"
    command = [str(tmp_path), "--out", str(tmp_path / "run"), "--page", str(page), "--device", "cpu", *(w for s in small for w in ("--set", s))]
    record.main(command)
    record.main(command)  # it is finished: judged again, and noted again
    text = page.read_text()
    assert text.startswith(record.HEAD)
    assert text.count("| linear, top-1 | ") == text.count("| knn, top-1 | ") == 2
    assert "Changed: method.predictor_hidden=4, method.projector=[16, 16], net.width=4, train.batch=20, train.epochs=1" in text
    assert f"torch {torch.__version__.partition('+')[0]}" in text
