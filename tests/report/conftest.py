"""Run directories at toy size: one with everything, one that has only begun."""

import json
from pathlib import Path

import pytest

from stopgrad.config import to_json
from tests.report.runs import clusters, make_config, make_evaluation, make_metrics, write_embeddings, write_lines


@pytest.fixture
def healthy(tmp_path: Path) -> Path:
    """A finished run with everything: results with baselines, embeddings, two images set aside."""
    run = tmp_path / "healthy"
    run.mkdir()
    (run / "config.json").write_text(json.dumps(to_json(make_config())))
    environment = {
        "command": ["/usr/bin/stopgrad", "pretrain", "my clothes", "--epochs", "20"],
        "python": "3.12.1",
        "versions": {"torch": "2.15.0", "timm": None},
    }
    (run / "environment.json").write_text(json.dumps(environment | {"commit": "0123abc", "images_sha256": "cd" * 32}))
    verdict = {"state": "healthy", "text": "", "since_step": None}
    status = {"state": "finished", "step": 400, "steps": 400, "seconds": 3725.0, "images": {"used": 11998, "bad": 2}, "verdict": verdict}
    (run / "status.json").write_text(json.dumps(status | {"chosen": ["stem: cifar, because the images are 28 pixels wide"]}))
    write_lines(run / "bad_images.jsonl", [{"name": f"hat/{i}.jpg", "reason": "truncated"} for i in (3, 7)])
    write_lines(run / "metrics.jsonl", make_metrics(400, 20))
    results = {"pixels": (0.712, 0.784), "random": (0.655, 0.744), "backbone": (0.8665, 0.901)}
    lines = [make_evaluation(p, f, r[i], interval=[r[i] - 0.0123, r[i] + 0.0117]) for i, p in enumerate(("knn", "lbfgs")) for f, r in results.items()]
    write_lines(run / "evaluations.jsonl", lines)
    write_embeddings(run / "embeddings.parquet", *clusters(300))
    (run / "backbone.safetensors").touch()
    return run


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    """A run that wrote its configuration and no more."""
    run = tmp_path / "empty"
    run.mkdir()
    (run / "config.json").write_text(json.dumps(to_json(make_config())))
    return run
