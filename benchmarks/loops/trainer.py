"""PyTorch Lightning's Trainer, held after every step."""

import logging
import warnings
from argparse import Namespace
from typing import Any

import pytorch_lightning as pl  # type: ignore[import-not-found]
from torch.utils.data import DataLoader

from benchmarks.loops.gate import Gate


class _Held(pl.Callback):  # type: ignore[misc]  # not installed where types are checked
    def __init__(self, gate: Gate) -> None:
        self.gate = gate

    def on_train_batch_end(self, *_: Any) -> None:
        self.gate.passed()


def fit(module: pl.LightningModule, loader: DataLoader[Any], asked: Namespace, gate: Gate) -> None:
    """Train without end. What costs time beside the steps (bars, checkpoints, loggers) is off."""
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    trainer = pl.Trainer(
        max_epochs=-1,
        accelerator="gpu" if asked.device == "cuda" else "cpu",
        devices=1,
        precision={"fp32": "32-true", "bf16": "bf16-mixed"}[asked.precision],
        callbacks=[_Held(gate)],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, loader)
