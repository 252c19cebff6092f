"""The label-free scores of a finished run: of the features of its own training images, seen whole and through its own views."""

import json
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stopgrad.config import Run
from stopgrad.device import pick_device
from stopgrad.files import write_whole
from stopgrad.images.opened import own_images
from stopgrad.images.pool import Pool, load
from stopgrad.judging import preparation
from stopgrad.loader import Resident
from stopgrad.monitor.measures import alignment, effective_rank, uniformity
from stopgrad.nets.backbones import Backbone
from stopgrad.nets.files import digest
from stopgrad.nets.files import load as load_backbone
from stopgrad.protocols.features import PART, Preparation, apply, featurise, frozen
from stopgrad.protocols.label_free import alpha_req, lidar
from stopgrad.runs import RunDirectory, backbone_file
from stopgrad.views.sample import sample, uniforms

IMAGES = 5000
"""Images whose features are taken, at most, evenly spread over the training part."""
SEEN, VIEWS = 1000, 10
"""Of these, how many are seen through views, and through how many each, for LiDAR."""


def score(path: Path, device_name: str) -> dict[str, Any]:
    """Take the scores of the run in ``path``, write them to scores.json in it and return them.

    Raises UserError where there is no finished backbone, or its images are not there any more.
    """
    directory, device = RunDirectory(path), pick_device(device_name)
    run = directory.read_config()
    backbone = load_backbone(backbone_file(path)).backbone.to(device).eval()
    source = own_images(run, path).train
    keep = np.unique(np.linspace(0, len(source) - 1, min(IMAGES, len(source))).round().astype(np.int64))
    loaded = load(source, run.data, keep=keep)
    supply = Resident(loaded.pool, loaded.rows, device)
    prep, pool = preparation(run.data, supply), loaded.pool.to(device)
    with frozen(backbone):
        whole = torch.cat([featurise(backbone, pool, rows, prep, device).cpu() for rows in torch.split(torch.arange(len(pool)), PART)])
        seen = _through_views(run, backbone, pool, prep, device)
    record = {
        "scores": {name: value for name, value in _scores(whole, seen).items() if math.isfinite(value)},
        "images": len(whole),
        "seen_through_views": list(seen.shape[:2]),
        "weights_sha256": digest(backbone),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    write_whole(path / "scores.json", (json.dumps(record, indent=2) + "\n").encode())
    return record


def _through_views(run: Run, backbone: Backbone, pool: Pool, prep: Preparation, device: torch.device) -> Tensor:
    """Return the features (n, q, d) of the first view's distribution, q times each of n images."""
    rows = torch.linspace(0, len(pool) - 1, min(SEEN, len(pool))).round().long()
    found = []
    for turn in range(VIEWS):
        drawn = uniforms(run.train.seed, turn, 0, len(rows), run.views[0].further)
        parts = [
            (some, sample(run.views[0], u, pool.heights[some], pool.widths[some]))
            for some, u in zip(torch.split(rows, PART), torch.split(drawn, PART), strict=True)
        ]
        found.append(torch.cat([apply(backbone, pool, some, params, prep, device).cpu() for some, params in parts]))
    return torch.stack(found, dim=1)


def _scores(whole: Tensor, seen: Tensor) -> dict[str, float]:
    return {
        "RankMe": float(effective_rank(whole)),
        "alpha-ReQ": alpha_req(whole),
        "LiDAR": lidar(seen),
        "alignment of features": float(alignment(seen[:, 0], seen[:, 1])),
        "uniformity of features": float(uniformity(seen[:, 0])),
    }
