"""stopgrad bench: stages that add up to a step, ceilings that are rates, and words that can be typed."""

import re
import shlex

import pytest
import torch

from stopgrad.bench import ceiling
from stopgrad.bench.trial import STAGES, Trial
from stopgrad.cli import main, parser
from stopgrad.images.pool import Pool
from tests.toys import toy_run

CPU = torch.device("cpu")
SMALL = ("net.backbone=resnet10", "net.width=4", "net.stem=small", "train.batch=8", "method.projector=16,16", "method.predictor_hidden=4")


def trial(name: str, **settings: object) -> Trial:
    run = toy_run(name, **settings)
    images = torch.randint(0, 255, (6, run.data.channels, 12, 12), dtype=torch.uint8)
    return Trial(run, Pool.from_arrays(list(images.numpy())), 40, CPU)


@pytest.mark.parametrize("name", ["simsiam", "em", "moco", "byol", "swav", "supcon", "supervised"])
def test_every_method_is_split_into_stages(name: str) -> None:
    made = trial(name)
    spent = made.stages()
    assert tuple(spent) == STAGES
    assert min(spent[stage] for stage in ("render", "forward", "backward", "optimiser")) > 0
    assert sum(spent.values()) < 5
    assert made.rate(2) > 0


def test_operations_are_those_of_the_layers() -> None:
    """Of all layers but the first, which passes no gradient to the images, the way back is twice the way there."""
    forward, backward = trial("simsiam").operations()
    assert forward > 0
    assert 1.5 * forward < backward <= 2 * forward


def test_what_is_compiled_is_counted_as_it_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", lambda function, **_: lambda x: function(x).detach().requires_grad_())  # nothing within is seen
    monkeypatch.setattr(torch.compiler, "reset", lambda: None)
    assert trial("simsiam", compile="default").operations() == trial("simsiam").operations()


def test_parts_of_a_batch_are_one_step() -> None:
    whole, parts = trial("simsiam", batch=8).operations(), trial("simsiam", batch=8, accumulate=2).operations()
    assert parts == whole


def test_ceilings_are_rates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ceiling, "TRIES", 1)
    assert ceiling.product_rate(CPU, torch.float32) > 1e8
    assert ceiling.convolution_rate(CPU, torch.bfloat16) > 1e7
    assert ceiling.copy_rate(CPU) > 1e7


@pytest.mark.whole
def test_the_page_names_stages_and_words_that_pretrain_takes(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ceiling, "TRIES", 1)
    assert main(["bench", "--device", "cpu", *(w for s in SMALL for w in ("--set", s))]) == 0
    said = capsys.readouterr().out
    lines = {line.split("  ")[0].strip(): line for line in said.splitlines()}
    assert {"machine", "ceilings", "run", "render", "forward", "backward", "optimiser", "step", "images", "schedule", "batch"} <= lines.keys()
    shares = [float(x) for x in re.findall(r"(\d+\.\d)%", said)]
    assert 50 < sum(shares) < 300  # stages are timed in other steps than the whole, a few ms each
    words = re.match(r"suggested  (.*) \(", lines["suggested"])
    assert words is not None
    parser().parse_args(["pretrain", "bundled", *shlex.split(words[1])])


def test_what_cannot_be_measured_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--data", "nowhere"]) == 2
    assert main(["bench", "--set", "optim.lrr=1"]) == 2
    assert capsys.readouterr().err.count("\n") == 2
