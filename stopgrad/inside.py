"""The trained backbone with the first layers of its projector: features from inside the head (SimCLRv2, arXiv:2006.10029, Sec. 2)."""

from itertools import accumulate
from pathlib import Path

from torch import nn

from stopgrad.beforehand import refuse_head
from stopgrad.checkpoint import load_checkpoint
from stopgrad.errors import UserError
from stopgrad.methods import Task, initialise
from stopgrad.nets.backbones import Backbone
from stopgrad.runs import RunDirectory


def with_head(run: Path, layers: int) -> Backbone:
    """Return the backbone of ``run`` and the first ``layers`` of its projector as one trainable module, (N, C, H, W) to (N, width of that layer).

    A layer is a Linear with the BN and ReLU that follow it. Raises UserError where the run has no checkpoint or fewer layers.
    """
    refuse_head(run, layers)
    directory = RunDirectory(run)
    settled, saved = directory.read_config(), load_checkpoint(directory.checkpoints)
    if saved is None:
        raise UserError(f"{run}: has no checkpoint, and the head stands only there")
    method = initialise(settled, Task(saved.record["images"], settled.train.batch, classes=2))  # no projector depends on classes
    projector = getattr(method, "projector", nn.Sequential())
    starts = list(accumulate(int(isinstance(m, nn.Linear)) for m in projector))  # the number of every module's layer, from 1
    method.load_state_dict({k.removeprefix("model."): v for k, v in saved.tensors.items() if k.startswith("model.")})
    head = nn.Sequential(*(m for m, layer in zip(projector, starts, strict=True) if layer <= layers))
    width = next(m.out_features for m in reversed(head) if isinstance(m, nn.Linear))
    return Backbone(nn.Sequential(method.backbone, head), width, method.backbone.channels)
