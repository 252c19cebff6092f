"""What the page proposes works for the run as it is."""

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from stopgrad import onward
from stopgrad.cli import parser
from stopgrad.config import to_json
from tests.report.reading import Page, change, page
from tests.report.runs import make_config, make_metrics, write_lines


def reconfigure(run: Path, part: str, **fields: Any) -> None:
    record = to_json(make_config())
    record[part] |= fields
    (run / "config.json").write_text(json.dumps(record))


def proposed(found: Page) -> list[str]:
    """The commands of the page's last section, without the one that started the run; each is parsed as the command line would."""
    parts = found.html.partition('<section id="next">')[2].split('<code class="copy">')[1:]
    words = [part.partition("</code>")[0].replace("&#39;", "'").replace("&amp;", "&") for part in parts]
    for command in words:
        if command.startswith("stopgrad "):
            parser().parse_args(shlex.split(command)[1:])
    return words[1:] if "a call in Python, or" not in found.html else words


def test_of_a_run_with_everything_only_the_backbone_is_left(healthy: Path) -> None:
    assert proposed(page(healthy)) == [
        f"stopgrad export {healthy} --to safetensors",  # timm has no CIFAR stem
        f"stopgrad.load_backbone('{healthy}')",
        f"stopgrad report {healthy}",
    ]


def test_timm_is_proposed_for_what_timm_can_express(healthy: Path) -> None:
    reconfigure(healthy, "net", stem="imagenet", width=64)
    assert f"stopgrad export {healthy} --to timm" in proposed(page(healthy))


def test_what_is_there_is_not_proposed(healthy: Path) -> None:
    (healthy / "weights.safetensors").touch()
    assert not any("export" in command for command in proposed(page(healthy)))


def test_without_labels_others_are_to_be_named(healthy: Path) -> None:
    (healthy / "evaluations.jsonl").unlink()
    reconfigure(healthy, "data", source="bundled")
    assert f"stopgrad evaluate {healthy}" in proposed(page(healthy))
    write_lines(healthy / "metrics.jsonl", [{k: v for k, v in r.items() if k != "knn"} for r in make_metrics(400, 20)])
    assert f"stopgrad evaluate {healthy} --data LABELLED" in proposed(page(healthy))


def test_without_a_backbone_nothing_that_needs_it_is_proposed(healthy: Path) -> None:
    for name in ("backbone.safetensors", "evaluations.jsonl", "embeddings.parquet"):
        (healthy / name).unlink()
    change(healthy / "status.json", state="interrupted")
    assert proposed(page(healthy)) == ["stopgrad pretrain 'my clothes' --epochs 20", f"stopgrad report {healthy}"]


@pytest.mark.parametrize("verdict", ["collapsed", "unlearned"])
def test_a_run_that_failed_is_begun_again_elsewhere(healthy: Path, verdict: str) -> None:
    change(healthy / "status.json", verdict={"state": verdict, "text": "x", "since_step": None})
    change(healthy / "environment.json", command=["/x/stopgrad/__main__.py", "pretrain", "my clothes", "--out", "runs/a", "--epochs", "20"])
    assert proposed(page(healthy)) == [f"stopgrad pretrain 'my clothes' --epochs 20 --out {healthy}-again", f"stopgrad report {healthy}"]


@pytest.mark.parametrize(
    ("text", "tail"),
    [
        (
            "collapsed. Why: it is off (SimSiam Fig. 2). Try: --set method.stop_gradient=true",
            "--set optim.lr=0.1 --epochs 20 --set method.stop_gradient=true",
        ),
        ("collapsed. Try: a lower rate (--set optim.lr=0.025), larger crops", "--set method.stop_gradient=false --epochs 20 --set optim.lr=0.025"),
        ("has not learned. Next: train longer (--epochs 80), on more", "--set method.stop_gradient=false --set optim.lr=0.1 --epochs 80"),
    ],
)
def test_what_the_verdict_says_to_try_is_in_the_command(healthy: Path, text: str, tail: str) -> None:
    change(healthy / "status.json", verdict={"state": "collapsed", "text": text, "since_step": 40})
    typed = ["/x/stopgrad", "pretrain", "x", "--set", "method.stop_gradient=false", "--set=optim.lr=0.1", "--out", "a", "--epochs", "20"]
    change(healthy / "environment.json", command=typed)
    assert proposed(page(healthy))[0].replace("--set=", "--set ") == f"stopgrad pretrain x {tail} --out {healthy}-again"


@pytest.mark.parametrize(
    ("words", "processes", "again"),
    [
        (["/x/stopgrad/__main__.py", "pretrain", "x", "--out=a"], 8, "torchrun --nproc-per-node 8 -m stopgrad pretrain x --out {}-again"),
        (["/x/stopgrad", "demo"], 1, "stopgrad.pretrain(…, '{}-again', …)"),  # takes no settings
        (["work/train.py", "--x"], 8, "stopgrad.pretrain(…, '{}-again', …)"),
        (["work/train.py", "stopgrad", "pretrain"], 1, "stopgrad.pretrain(…, '{}-again', …)"),
        (["/x/train", "pretrain"], 1, "stopgrad.pretrain(…, '{}-again', …)"),
        (["-c"], 1, "stopgrad.pretrain(…, '{}-again', …)"),
    ],
)
def test_only_a_command_of_stopgrad_is_begun_again_as_one(healthy: Path, words: list[str], processes: int, again: str) -> None:
    change(healthy / "status.json", verdict={"state": "collapsed", "text": "x", "since_step": None})
    change(healthy / "environment.json", command=words, processes=processes)
    assert proposed(page(healthy))[0] == again.format(healthy)


def test_a_run_killed_after_its_backbone_was_saved_is_resumed(healthy: Path) -> None:
    (healthy / "evaluations.jsonl").unlink()
    change(healthy / "status.json", state="running")
    found = page(healthy)
    assert proposed(found) == ["stopgrad pretrain 'my clothes' --epochs 20", f"stopgrad report {healthy}"]
    assert "That needs the finished backbone" in found.text


def test_a_run_is_asked_once_for_what_it_lacks(healthy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Path] = []
    monkeypatch.setattr(onward, "next_steps", lambda path, ask=onward.next_steps: asked.append(path) or ask(path))
    (healthy / "evaluations.jsonl").unlink()
    assert page(healthy).html.count(f"stopgrad evaluate {healthy}") == 2  # where the results would stand, and under Next
    assert asked == [healthy]


def test_a_module_of_the_users_own_is_handed_over_in_python(healthy: Path) -> None:
    reconfigure(healthy, "net", backbone="module:Tiny", stem="imagenet", zero_init_residual=False)
    (healthy / "embeddings.parquet").unlink()
    assert f"This writes it: stopgrad.embed('{healthy}', …, backbone=Tiny())" in page(healthy).text
    found = proposed(page(healthy))
    assert found == [f"stopgrad.embed('{healthy}', …, backbone=Tiny())", f"stopgrad.load_backbone('{healthy}', Tiny())", f"stopgrad report {healthy}"]


@pytest.mark.parametrize(
    ("words", "processes", "typed"),
    [
        (["/usr/bin/stopgrad", "pretrain", "x y"], 1, "stopgrad pretrain 'x y'"),
        (["/a/stopgrad/__main__.py", "pretrain", "x"], 1, "stopgrad pretrain x"),
        (["/a/stopgrad/__main__.py", "pretrain", "x"], 8, "torchrun --nproc-per-node 8 -m stopgrad pretrain x"),
        (["work/train.py", "--x"], 1, "python work/train.py --x"),
        (["/a/ipykernel_launcher.py", "-f", "k.json"], 1, None),
        (["-c"], 1, None),
        ([], 1, None),
    ],
)
def test_the_command_is_as_one_would_type_it(healthy: Path, words: list[str], processes: int, typed: str | None) -> None:
    change(healthy / "environment.json", command=words, processes=processes)
    expected = "a call in Python, or a command that environment.json does not tell" if typed is None else typed
    assert f"This run was started with {expected} " in page(healthy).text


def test_a_run_of_arrays_goes_on_in_python(empty: Path) -> None:
    reconfigure(empty, "data", source="arrays")
    assert proposed(page(empty))[0] == f"stopgrad.pretrain(…, '{empty}', …)"
