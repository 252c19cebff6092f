"""MoCo as published. He et al., arXiv:1911.05722 (v1), Chen et al., arXiv:2003.04297 (v2), and their official code (the code)."""

from dataclasses import replace

from stopgrad.config import MoCoConfig, Net, Optim, Run, Train, View
from stopgrad.recipes.data import CIFAR10, IMAGENET
from stopgrad.recipes.fit import Fitted, Known


def imagenet() -> Run:
    """MoCo v2, ResNet-50, ImageNet, 200 epochs.

    Command: ``stopgrad pretrain IMAGENET --recipe moco/imagenet --out RUN``. Published: linear 67.5 % at 200 epochs, 71.1 at 800 (v2, and the
    code's README). SimSiam's reproduction with the symmetric loss (``--set method.symmetric=true``): 67.4 at 100, 69.9 at 200, 71.0 at 400,
    72.2 at 800 (its Table 4).
    """
    view = View(
        size=224,
        scale=(0.2, 1.0),  # the code
        flip=0.5,  # the code
        jitter=(0.4, 0.4, 0.4, 0.1),  # the code
        jitter_p=0.8,  # the code
        grey=0.2,  # the code
        blur=0.5,  # the code
    )
    return Run(
        recipe="moco/imagenet",
        data=IMAGENET,
        views=(view, view),
        net=Net(backbone="resnet50", zero_init_residual=False),  # the code
        method=MoCoConfig(
            projector=(2048, 128),  # v2
            temperature=0.2,  # v2
            queue=65536,  # v1
            momentum=0.999,  # v1
            shuffle=True,  # v1, Sec. 3.3
            symmetric=False,
        ),
        optim=Optim(
            kind="sgd",
            lr=0.03,  # v1, for a batch of 256
            momentum=0.9,  # v1
            weight_decay=1e-4,  # v1
            decay_bn_bias=True,  # the code: all parameters
            warmup_epochs=0,
            schedule="cosine",  # v2
        ),
        train=Train(epochs=200, batch=256, bn="split", bn_splits=8),  # v1, v2: on 8 GPUs, BN not synchronised
    )


def imagenet_v1() -> Run:
    """MoCo v1, ResNet-50, ImageNet, 200 epochs.

    Command: ``stopgrad pretrain IMAGENET --recipe moco/imagenet-v1 --out RUN``. Published: linear 60.6 % (v1; 60.8 ± 0.2 over 5 runs, the
    code's README).
    """
    base = imagenet()
    view = replace(base.views[0], jitter=(0.4, 0.4, 0.4, 0.4), jitter_p=1.0, blur=0.0)  # the code
    return replace(
        base,
        recipe="moco/imagenet-v1",
        views=(view, view),
        method=MoCoConfig(
            projector=(128,),  # v1: one layer
            temperature=0.07,  # v1
            queue=65536,
            momentum=0.999,
            shuffle=True,
            symmetric=False,
        ),
        optim=replace(base.optim, schedule="steps", drop=0.1, drop_epochs=(120.0, 160.0)),  # v1
    )


def cifar10() -> Run:
    """MoCo, ResNet-18 with the CIFAR stem, CIFAR-10, 800 epochs.

    Command: ``stopgrad pretrain CIFAR10 --recipe moco/cifar10 --out RUN``. Published in the code's CIFAR-10 demo: kNN 82.6 % at 200 epochs, 86.3 at
    400, 88.7 at 800; with ``--set method.symmetric=true`` 85.3, 88.5, 89.7, and linear 90.7 for the last.
    """
    view = View(
        size=32,
        scale=(0.08, 1.0),  # the demo
        flip=0.5,
        jitter=(0.4, 0.4, 0.4, 0.1),  # as v2
        jitter_p=0.8,
        grey=0.2,
        blur=0.0,  # the demo
    )
    return Run(
        recipe="moco/cifar10",
        data=CIFAR10,
        views=(view, view),
        net=Net(backbone="resnet18", stem="cifar", zero_init_residual=False),  # the demo
        method=MoCoConfig(
            projector=(128,),  # the demo
            temperature=0.1,  # the demo
            queue=4096,  # the demo
            momentum=0.99,  # the demo
            shuffle=True,
            symmetric=False,
        ),
        optim=Optim(
            kind="sgd",
            lr=0.03,  # the demo: 0.06 for 512
            momentum=0.9,
            weight_decay=5e-4,  # the demo
            decay_bn_bias=True,
            warmup_epochs=0,
        ),
        train=Train(epochs=800, batch=512, monitor_every=10, bn="split", bn_splits=8),  # the demo
    )


def fitted(known: Known) -> Fitted:
    """MoCo fitted to your own images."""
    large = known.images >= 100_000
    half = 1 << max(known.images // 2, 1).bit_length() - 1  # the largest power of two in it
    published, sets = (65536, "ImageNet") if large else (4096, "CIFAR-10")
    queue = min(half, published)
    few = f"at most half of the images, so that few are of the image itself; {published} on {sets}"
    momentum = 0.999 if large else 0.99
    parts = next(n for n in (8, 4, 2, 1) if known.batch % n == 0 and known.batch // n >= min(4, known.batch))
    split = f"{parts} part{'s' if parts > 1 else ''}"
    reasons = {
        "method.queue": f"a queue of {queue} keys: {few if queue < published else f'as on {sets}'}",
        "method.momentum": f"key encoder's momentum {momentum}: that of {sets}; a short training needs keys that follow",
        "train.bn,train.bn_splits,method.shuffle": f"BN statistics over {split} of the batch, and shuffled keys (Sec. 3.3): published with 8",
    }
    return Fitted(
        method=MoCoConfig(
            projector=(128,) if known.small else (2048, 128),  # the code's CIFAR-10 demo; v2
            temperature=0.1 if known.small else 0.2,  # the demo; v2
            queue=queue,
            momentum=momentum,
            shuffle=True,
            symmetric=False,
        ),
        views=(known.view, known.view),
        optim=Optim(
            kind="sgd",
            lr=0.03,  # the demo, v1
            momentum=0.9,
            weight_decay=5e-4 if known.small else 1e-4,  # the demo; v1
            decay_bn_bias=True,
            warmup_epochs=0,
        ),
        about_batch="MoCo's negatives come from the queue, and 256 (ImageNet) and 512 (CIFAR-10) are published",
        reasons=reasons,
        bn="split",
        bn_splits=parts,
    )
