"""The methods: one file each, which reads as its algorithm."""

from stopgrad.config import MethodConfig
from stopgrad.methods.base import Method, Output
from stopgrad.methods.simsiam import SimSiam
from stopgrad.nets.backbones import Backbone

__all__ = ["CLASSES", "Method", "Output", "SimSiam", "build"]

CLASSES: dict[str, type[SimSiam]] = {"simsiam": SimSiam}


def build(backbone: Backbone, cfg: MethodConfig) -> Method:
    """Return the method that ``cfg`` configures, around ``backbone``."""
    return CLASSES[cfg.name](backbone, cfg)
