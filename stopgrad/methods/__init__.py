"""The methods: one file each, which reads as its algorithm."""

import torch

from stopgrad.config import Run
from stopgrad.keys import seed_of
from stopgrad.methods.base import Method, Output
from stopgrad.methods.simsiam import SimSiam
from stopgrad.nets.backbones import Backbone, build, wrap

__all__ = ["CLASSES", "Method", "Output", "SimSiam", "initialise"]

CLASSES: dict[str, type[SimSiam]] = {"simsiam": SimSiam}


def initialise(run: Run, backbone: Backbone | None = None) -> Method:
    """Return the run's method at its initialisation, a function of the seed alone; ``backbone`` replaces the one that the run names."""
    torch.manual_seed(seed_of("init", run.train.seed))
    if backbone is None:
        backbone = build(run.net, run.data.channels, run.views[0].size)
    wrap(backbone.net, run.data.channels, run.data.size)  # it must be usable at the size it is judged at: known now, not at the end
    return CLASSES[run.method.name](backbone, run.method)
