"""The methods: one file each, which reads as its algorithm. The name of a method is that of its file, of its settings and of its recipes."""

from importlib import import_module

import torch

from stopgrad.config import Run
from stopgrad.keys import seed_of
from stopgrad.methods.base import Method, Output, Task, When
from stopgrad.nets.backbones import Backbone, build, wrap

__all__ = ["Method", "Output", "Task", "When", "class_of", "initial_backbone", "initialise"]


def class_of(name: str) -> type[Method]:
    """Return the method ``name`` of config.METHODS: the one subclass of Method in ``methods/NAME.py``."""
    found = [c for c in vars(import_module(f"stopgrad.methods.{name}")).values() if isinstance(c, type) and issubclass(c, Method) and c is not Method]
    assert [c.settings.name for c in found] == [name], found
    return found[0]


def initialise(run: Run, task: Task, backbone: Backbone | None = None) -> Method:
    """Return the run's method at its initialisation, a function of the seed alone; ``backbone`` replaces the one that the run names.

    Raises UserError when the images do not suit the method.
    """
    initial = initial_backbone(run) if backbone is None else backbone
    wrap(initial.net, run.data.channels, run.data.size)  # it must be usable at the size it is judged at: known now, not at the end
    torch.manual_seed(seed_of("heads", run.train.seed))
    return class_of(run.method.name).make(initial, run.method, task)


def initial_backbone(run: Run) -> Backbone:
    """Return the backbone that ``run`` begins with."""
    torch.manual_seed(seed_of("init", run.train.seed))
    return build(run.net, run.data.channels, run.views[0].size)
