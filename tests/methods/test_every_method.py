"""One suite over all methods: each learns from real images, survives a kill, and hands its backbone over."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import stopgrad
from stopgrad.cli import main
from stopgrad.config import METHODS
from stopgrad.config.protocols import Knn
from stopgrad.errors import UserError
from stopgrad.methods import Task, initialise
from stopgrad.methods.losses import similarities
from stopgrad.nets.backbones import Backbone
from stopgrad.publish.export import export
from stopgrad.runs import read_lines
from stopgrad.train import render_views
from tests.golden.runs import IMAGES, images
from tests.promises.test_stop_anywhere import Killed, final_state, train
from tests.toys import TOYS, toy_run

SCALED = {
    "train.epochs": 4,
    "train.batch": 64,
    "net.width": 16,
    "views.size": 14,
    "data.size": 14,
    "train.monitor_every": 4.0,
    "train.on_collapse": "stop",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_it_learns_from_real_images(name: str, tmp_path: Path) -> None:
    """Nearest neighbours in the trained features beat those at random initialisation by more than chance allows; nothing collapses."""
    out = tmp_path / name
    rate = {"optim.lr": 0.7} if name == "em" else {}  # the demo's, of SimSiam; at what fits hundreds of epochs, four teach it nothing
    outcome = stopgrad.pretrain("bundled", out, method=name, recipe="demo", settings=SCALED | rate, device="cpu")
    assert outcome.state == "finished"
    assert outcome.verdict.state == "healthy"
    scores = {r["features"]: r for r in stopgrad.evaluate(out, (Knn(),), features=("random", "backbone"), device="cpu")}
    assert scores["backbone"]["interval"][0] > scores["random"]["interval"][1]


@pytest.mark.parametrize("name", TOYS)
def test_killed_and_resumed_it_ends_the_same(name: str, tmp_path: Path) -> None:
    run = toy_run(name, epochs=1, checkpoint_seconds=0.0)
    train(run, tmp_path / "undisturbed")
    with pytest.raises(Killed):
        train(run, tmp_path / "killed", kill_at=3)
    train(run, tmp_path / "killed")
    assert final_state(tmp_path / "killed") == final_state(tmp_path / "undisturbed")


@pytest.mark.whole
@pytest.mark.parametrize("name", METHODS)
def test_its_backbone_goes_out_and_comes_back(name: str, tmp_path: Path) -> None:
    """Through its own file and through plain weights the outputs stay the same; from inside the head they have that layer's width."""
    settings = {"net.width": 4, "views.size": 8, "data.size": 8, "train.epochs": 1, "train.batch": 1000, "train.precision": "fp32"}
    head = {} if name == "supervised" else {"method.projector": (32, 16)}
    out = tmp_path / name
    stopgrad.pretrain("bundled", out, method=name, recipe="demo", settings=settings | head, device="cpu")
    backbone, x = stopgrad.load_backbone(out), torch.rand(3, 1, 8, 8)
    lines = export(out / "backbone.safetensors", "safetensors", tmp_path / "weights.safetensors")
    plain = load_file(tmp_path / "weights.safetensors")
    assert plain.keys() == backbone.net.state_dict().keys()
    assert "weights.safetensors" in "\n".join(lines)
    again = stopgrad.load_backbone(out / "backbone.safetensors")
    again.net.load_state_dict(plain)
    assert torch.equal(again(x), backbone(x))
    if head:
        inside = stopgrad.load_backbone(out, head=1)
        assert inside(x).shape == (3, 32)
        assert torch.equal(inside.net[0](x), backbone(x))
        assert stopgrad.load_backbone(out, head=2)(x).shape == (3, 16)
        assert all(p.requires_grad for p in inside.parameters())  # to be fine-tuned
    with pytest.raises(UserError, match=f"the projector of {name} has {2 if head else 0} layers"):
        stopgrad.load_backbone(out, head=3)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("name", "mode", "others"),
    [
        *((name, "default", {}) for name in ("simsiam", "swav", "byol", "moco", "em")),
        ("simsiam", "default", {"accumulate": 2}),
        ("simsiam", "max-autotune", {}),
    ],
)
def test_compiled_it_computes_the_same(name: str, mode: str, others: dict[str, int], tmp_path: Path) -> None:
    plain, compiled = (toy_run(name, epochs=1, compile=compiled, log_every=1, **others) for compiled in ("no", mode))
    train(plain, tmp_path / "plain")
    train(compiled, tmp_path / "compiled")
    losses = [[r["loss"] for r in read_lines(tmp_path / out / "metrics.jsonl")] for out in ("plain", "compiled")]
    assert losses[1][:2] == pytest.approx(losses[0][:2], rel=1e-4, abs=1e-5)
    assert (tmp_path / "compiled" / "checkpoints").exists()


def test_graphs_are_refused_where_there_is_no_gpu(tmp_path: Path) -> None:
    settings = {"train.compile": "reduce-overhead", "train.batch": 1000}
    with pytest.raises(UserError, match="reduce-overhead records CUDA graphs, which cpu has none of"):
        stopgrad.pretrain("bundled", tmp_path / "run", recipe="demo", settings=settings, device="cpu")


def slow_similarities(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return (a.double()[:, None] * b.double()[None]).sum(dim=2)


def test_similarities_are_exact_under_autocast() -> None:
    """In bf16 a logit at temperature 0.05 would be off by a tenth; SwAV's codes by 9 % (measured)."""
    a, b = torch.randn(7, 32), torch.randn(5, 32)
    with torch.autocast("cpu", torch.bfloat16):
        assert similarities(a, b).dtype == torch.float32
        torch.testing.assert_close(similarities(a, b).double(), slow_similarities(a, b), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", TOYS)
def test_its_loss_is_computed_in_fp32_under_autocast(name: str) -> None:
    """With a network that autocast leaves alone, the loss under autocast is the loss without, to six digits."""
    run, supply = toy_run(name), images()
    losses = []
    for enabled in (False, True):
        method = initialise(run, Task(IMAGES, run.train.batch, 3))
        batch = next(supply.fetch([torch.arange(run.train.batch)]))
        views = next(iter(render_views(run, batch, 0)))
        taken = {name: {"labels": batch.labels, "images": batch.numbers}[name] for name in method.takes}
        for module in method.modules():
            if isinstance(module, torch.nn.Sequential | torch.nn.Linear | Backbone):
                module.forward = torch.autocast("cpu", enabled=False)(module.forward)  # type: ignore[method-assign]
        torch.manual_seed(0)
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            losses.append(float(method(*views, **taken).loss.detach()))
    assert losses[1] == pytest.approx(losses[0], rel=2e-6, abs=1e-6)


@pytest.mark.whole
def test_features_inside_the_head_are_judged_by_their_own_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = {"net.width": 4, "views.size": 14, "data.size": 14, "train.epochs": 1, "train.batch": 1000, "method.projector": (32, 16)}
    out = tmp_path / "run"
    stopgrad.pretrain("bundled", out, method="simclr", recipe="demo", settings=settings, device="cpu")
    assert main(["evaluate", str(out), "--protocol", "knn", "--features", "backbone", "--head", "1", "--device", "cpu"]) == 0
    assert "trained, after head 1" in capsys.readouterr().out
    assert main(["evaluate", str(out), "--protocol", "knn", "--features", "backbone", "--device", "cpu"]) == 0
    judged = {r["features"]: r["top1"] for r in read_lines(out / "evaluations.jsonl")}
    assert judged.keys() == {"head 1", "backbone"}
    assert judged["head 1"] != judged["backbone"]
    assert main(["report", str(out)]) == 0
