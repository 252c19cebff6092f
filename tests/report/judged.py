"""Folders with results, written by hand: runs of a comparison, transfer, detection, and a backbone that is no run's."""

import json
from pathlib import Path
from typing import Any

from stopgrad.config import to_json
from tests.report.runs import make_config, make_evaluation, write_lines


def make_run(path: Path, lines: list[dict[str, Any]], seed: int = 0, step: int = 400, **changes: Any) -> Path:
    """A finished run; ``changes`` are fields of its configuration, as ``optim={"lr": 0.1}``."""
    path.mkdir(parents=True)
    config = to_json(make_config(seed=seed, threads=1 + seed))  # settled by a measurement: not what tells two rows apart
    for part, fields in changes.items():
        config[part] = config[part] | fields if isinstance(fields, dict) and "name" not in fields else fields
    (path / "config.json").write_text(json.dumps(config))
    status = {"state": "finished", "step": step, "steps": 400, "verdict": {"state": "healthy"}}
    (path / "status.json").write_text(json.dumps(status))
    (path / "environment.json").write_text(json.dumps({"images_sha256": "cd" * 32}))
    (path / "backbone.safetensors").touch()
    write_lines(path / "evaluations.jsonl", lines)
    return path


def make_what(path: Path, lines: list[dict[str, Any]], name: str = "torchvision/resnet18", digest: str = "77" * 32, **settings: Any) -> Path:
    """What was judged that is no run."""
    path.mkdir(parents=True)
    (path / "what.json").write_text(json.dumps({"name": name, "digest": digest, "settings": settings}))
    write_lines(path / "evaluations.jsonl", lines)
    return path


def line(protocol: str, value: float, features: str = "backbone", metric: str = "top1", **more: Any) -> dict[str, Any]:
    """A line of evaluations.jsonl of a metric that need not be top-1."""
    record = make_evaluation(protocol, features, value)
    weights = {"pixels": None, "random": "00" * 32}.get(features, f"{round(1e6 * value):064x}")
    record |= {"weights_sha256": weights, "step": 400 if features == "backbone" else 0, "notes": [], "metric": metric}
    if metric != "top1":
        record = {k: v for k, v in record.items() if k not in ("top1", "top5")} | {"value": value, "interval": None}
    return record | more


def detection(box: tuple[float, float, float], mask: tuple[float, float, float], features: str = "backbone", **more: Any) -> dict[str, Any]:
    """A line of detection: AP, AP50 and AP75 of boxes and masks."""
    names = [f"{region}_ap{at}" for region in ("box", "mask") for at in ("", "50", "75")]
    settings = {"name": "coco-1x", "lr": 0.02, "iterations": 90000}
    scores = dict(zip(names, (*box, *mask), strict=True))
    return line("detection", box[0], features, "ap", scores=scores, settings=settings, data="coco", variant="coco-1x", **more)


def everything(features: str, plus: float) -> list[dict[str, Any]]:
    """A line of every protocol; ``plus`` is added to all figures."""
    sure = {"interval": [0.6 + plus, 0.64 + plus]}
    tune = {"settings": {"name": "simclr", "lr": 0.05, "epochs": 60, "tuned_on": "lr and weight decay on 20 % of the training images held out"}}
    svm = {"settings": {"cost": 0.5, "tuned_on": "cost on 3 folds of the training images"}, "notes": ["few images a class"]}
    student = {"settings": {"teacher": "runs/big", "temperature": 0.1, "lr": 0.03, "epochs": 400}}
    return [
        line("knn", 0.62 + plus, features, **sure),
        line("lbfgs", 0.62 + plus, features, **sure),
        line("semi", 0.4 + plus, features, variant="1 %", train_images=120, **tune),
        line("semi", 0.5 + plus, features, variant="10 %", train_images=1200, **tune),
        line("finetune", 0.7 + plus, features, data="cifar10", **tune),
        line("finetune", 0.5 + plus, features, "mean_per_class", data="flowers102", **tune),
        line("svm", 0.3 + plus, features, "map11", data="voc07", **svm),
        line("distill", 0.71 + plus, features, **student),
        detection((0.2 + plus, 0.4 + plus, 0.18 + plus), (0.17 + plus, 0.36 + plus, 0.15 + plus), features),
    ]
