"""Files of runs written by hand, with the numbers a healthy or a collapsed run would leave."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from stopgrad.config import Data, Net, Optim, Run, SimSiamConfig, Train, View

CLASSES = ("boot", "coat", "hat", "shirt")


def make_config(**train: Any) -> Run:
    view = View(size=28, scale=(0.2, 1.0), flip=0.5, jitter=(0.4, 0.4, 0.4, 0.1), jitter_p=0.8, grey=0.2, blur=0.0)
    method = SimSiamConfig(
        projector=(512, 512),
        predictor_hidden=128,
        predictor="trained",
        predictor_fixed_lr=True,
        stop_gradient=True,
        projector_bn=(True, True),
        predictor_bn=(True, False),
        output_affine=False,
        similarity="cosine",
        symmetrised=True,
        pairs_of_views=1,
    )
    return Run(
        recipe="small_images",
        data=Data(source="clothes", channels=3, mean=(0.5,), std=(0.25,), size=32, short_side=None),
        views=(view, view),
        net=Net(backbone="resnet18", stem="cifar", zero_init_residual=True),
        method=method,
        optim=Optim(kind="sgd", lr=0.03, momentum=0.9, weight_decay=5e-4, decay_bn_bias=True, warmup_epochs=0),
        train=Train(**{"epochs": 20, "batch": 256, "seed": 0} | train),
    )


def make_metrics(steps: int, per_epoch: int, *, collapsed: bool = False, every: int = 10, seed: int = 0) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    records = []
    for step in range(every, steps + 1, every):
        t = step / steps
        spread = 0.02 if collapsed and step > 30 else 1 - 0.3 * math.exp(-12 * t) - 0.05 * t
        record = {
            "step": step,
            "epoch": step / per_epoch,
            "loss": -0.999 if collapsed and step > 30 else -0.9 + 0.6 * math.exp(-6 * t) + 0.015 * rng.standard_normal(),
            "lr": 0.015 * (1 + math.cos(math.pi * t)),
            "std": spread,
            "told_apart": 0.5 if collapsed else 0.99 - 0.3 * math.exp(-6 * t) - 0.01 * rng.random(),
            "alignment": 2e-3 if collapsed else 0.25 + 1.2 * math.exp(-6 * t) + 0.02 * rng.random(),
            "gap": 0.2,
            "images_per_second": 1800 + 60 * rng.standard_normal(),
            "waiting": abs(0.01 * rng.standard_normal()),
            "seconds": step * 0.14,
        }
        if step % per_epoch == 0:
            record |= {
                "rank": 1.2 if collapsed else 180 * (1 - math.exp(-5 * t)) + 2,
                "uniformity": -0.01 if collapsed else -3.7 * (1 - math.exp(-9 * t)),
                "knn": 0.25 if collapsed else 0.55 + 0.3 * (1 - math.exp(-4 * t)),
            }
        records.append(record)
    return records


def make_evaluation(protocol: str, features: str, top1: float, **more: Any) -> dict[str, Any]:
    record = {"protocol": protocol, "features": features, "top1": top1, "top5": min(1.0, top1 + 0.1), "step": 400, "seconds": 3.5}
    sizes = {"train_images": 12000, "test_images": 2000, "classes": 4}
    settings = {"k": 200, "temperature": 0.1} if protocol == "knn" else {"l2": 1e-3}
    return record | sizes | {"settings": settings, "weights_sha256": "ab" * 32, "date": "2026-01-02T03:04:05+00:00"} | more


def write_lines(path: Path, records: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


def write_embeddings(path: Path, names: list[str], labels: list[Any], embedding: np.ndarray) -> None:
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(embedding.astype(np.float32).ravel()), embedding.shape[1])
    pq.write_table(pa.table({"path": pa.array(names), "label": pa.array(labels), "embedding": vectors}), path)


def clusters(count: int, width: int = 16, spread: float = 0.6, seed: int = 0) -> tuple[list[str], list[str], np.ndarray]:
    """Names, labels and embeddings (count, width) of images that lie around one centre a class."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((len(CLASSES), width))
    which = rng.integers(len(CLASSES), size=count)
    names = [f"{CLASSES[c]}/{i:05}.jpg" for i, c in enumerate(which)]
    return names, [CLASSES[c] for c in which], centres[which] + spread * rng.standard_normal((count, width))


def picture(run: Path, name: str) -> Image.Image:
    """A picture whose colour tells its class."""
    return Image.new("RGB", (40, 30), {"boot": "brown", "coat": "navy", "hat": "gold"}.get(name.split("/")[0], "grey"))
