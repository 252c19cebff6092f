"""torch.compile for backbones in training, and CUDA graphs, whose replays start hundreds of kernels in one go.

What a graph puts out lies in memory of its own, which its next replay writes anew. Two views pass a backbone in one step, as do a slow copy's keys,
the parts of a batch and the targets of EM, and gradients lie there until the update: so torch is told where a step begins (``begin_step``), and keeps
apart what is alive until the next one does. Nothing that a backbone or its gradients put out is kept longer: heads, losses and queues are computed
from it outside, and weights and running statistics are written in place, at the addresses that the graphs know.
"""

from types import MethodType

import torch
from torch import Tensor

from stopgrad.config.run import Compile, Train
from stopgrad.distributed import size
from stopgrad.errors import UserError
from stopgrad.nets.backbones import Backbone

GRAPHS: tuple[Compile, ...] = ("reduce-overhead", "max-autotune")
"""The modes that record CUDA graphs where there is a GPU."""


def refuse_graphs(train: Train, device: torch.device) -> None:
    """Raise UserError when ``train.compile`` is a mode that is nothing but CUDA graphs and there is no GPU, or when torch cannot compile the BN."""
    if train.compile == "reduce-overhead" and device.type != "cuda":
        raise UserError(f"train.compile: reduce-overhead records CUDA graphs, which {device.type} has none of; take default, max-autotune or no")
    if train.compile != "no" and train.bn == "sync" and size() > 1:
        raise UserError(
            f"train.compile: {train.compile} cannot compile BN that is synchronised over {size()} processes; take train.compile=no, or --bn local"
        )


def compile_backbones(backbones: list[Backbone], mode: Compile) -> None:
    """Compile what ``backbones`` do in training, by torch's ``mode``; ``no`` undoes it. In evaluation they compute as they are written.

    Evaluation has batches of any size, each of which would be compiled, and keeps what comes out, which a graph would write anew. What this process
    compiled before is dropped: torch compiles a function for so many modules and then no more.
    """
    if mode != "no":
        torch.compiler.reset()
    for backbone in backbones:
        vars(backbone).pop("forward", None)
        if mode != "no":
            _compile(backbone, mode)


def _compile(backbone: Backbone, mode: Compile) -> None:
    plain = MethodType(Backbone.forward, backbone)
    compiled = torch.compile(plain, mode=mode, dynamic=False)  # views come in one or two sizes, known by then

    def forward(x: Tensor) -> Tensor:
        features: Tensor = compiled(x) if backbone.training else plain(x)
        return features

    backbone.forward = forward  # type: ignore[method-assign]


def begin_step(train: Train, device: torch.device) -> None:
    """Let CUDA graphs write anew what they put out in the step before. Called before anything of a step passes a backbone."""
    if device.type == "cuda" and train.compile in GRAPHS:
        torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
