"""The baseline with labels, as published: by VISSL (its model zoo), BYOL (arXiv:2006.07733v3), and SupCon's official code."""

from dataclasses import replace

from stopgrad.config import Net, Optim, Run, SupervisedConfig, Train, View
from stopgrad.recipes.data import CIFAR10, IMAGENET
from stopgrad.recipes.fit import Fitted, Known


def imagenet() -> Run:
    """Supervised training, ResNet-50, ImageNet, 105 epochs.

    Command: ``stopgrad pretrain IMAGENET --recipe supervised/imagenet --out RUN``. Published: 75.45 % (VISSL's model zoo, whose setting this is);
    others: 76.1 (torchvision), 76.5 (SimCLR's baseline, 90 epochs, crops only).
    """
    view = View(
        size=224,
        scale=(0.08, 1.0),  # customary, and SimCLR's App. A
        flip=0.5,
        jitter=(0.4, 0.4, 0.4, 0.0),  # VISSL: 0.4; hue, our choice
        jitter_p=1.0,  # our choice: VISSL names no probability
        grey=0.0,
        blur=0.0,
    )
    return Run(
        recipe="supervised/imagenet",
        data=IMAGENET,
        views=(view,),
        net=Net(backbone="resnet50", zero_init_residual=False),  # our choice, torchvision's default
        method=SupervisedConfig(smoothing=0.0),
        optim=Optim(
            kind="sgd",
            lr=0.1,  # VISSL, times batch/256
            momentum=0.9,  # our choice, the customary one
            nesterov=True,  # VISSL
            weight_decay=1e-4,  # VISSL
            decay_bn_bias=False,  # VISSL: not on BN
            warmup_epochs=0,
            schedule="steps",
            drop=0.1,  # VISSL
            drop_epochs=(30.0, 60.0, 90.0, 100.0),  # VISSL
        ),
        train=Train(epochs=105, batch=256),  # VISSL
    )


def imagenet_200() -> Run:
    """Supervised training, BYOL's strong baseline, ResNet-50, ImageNet, 200 epochs.

    Command: ``stopgrad pretrain IMAGENET --recipe supervised/imagenet-200 --out RUN``. Published: 76.4 % (BYOL's baseline; RandAugment only for
    larger networks).
    """
    base = imagenet()
    return replace(
        base,
        recipe="supervised/imagenet-200",
        views=(replace(base.views[0], jitter_p=0.0),),  # our choice: crop and flip
        method=SupervisedConfig(smoothing=0.1),  # BYOL
        optim=Optim(
            kind="sgd",
            lr=0.1,  # our choice, as VISSL's: BYOL's is not known to us
            momentum=0.9,  # our choice, the customary one
            nesterov=True,  # BYOL
            weight_decay=1e-4,  # BYOL
            decay_bn_bias=True,  # our choice
            warmup_epochs=5,  # BYOL
            schedule="cosine",  # BYOL
        ),
        train=Train(epochs=200, batch=1024),  # BYOL; the batch, our choice
    )


def cifar10() -> Run:
    """Supervised training, ResNet-50 with the CIFAR stem, CIFAR-10, 500 epochs.

    Command: ``stopgrad pretrain CIFAR10 --recipe supervised/cifar10 --out RUN``. Published: 95.0 % (SupCon's paper; the setting of its code).
    """
    view = View(
        size=32,
        scale=(0.2, 1.0),  # SupCon's code
        flip=0.5,  # SupCon's code
        jitter=(0.0, 0.0, 0.0, 0.0),
        jitter_p=0.0,  # SupCon's code: crop and flip only
        grey=0.0,
        blur=0.0,
    )
    return Run(
        recipe="supervised/cifar10",
        data=replace(CIFAR10, std=(0.2023, 0.1994, 0.2010)),  # SupCon's code
        views=(view,),
        net=Net(backbone="resnet50", stem="cifar", zero_init_residual=False),  # SupCon's code: 3x3 stem; the last scales, our choice
        method=SupervisedConfig(smoothing=0.0),
        optim=Optim(
            kind="sgd",  # SupCon's code
            lr=0.2,  # SupCon's code: 0.8 for 1024
            momentum=0.9,  # our choice, the customary one
            weight_decay=1e-4,  # SupCon's code
            decay_bn_bias=True,
            warmup_epochs=10,  # SupCon's code
            warmup_from=0.0125,  # SupCon's code: 0.01 of 0.8
            floor=0.001,  # SupCon's code
        ),
        train=Train(epochs=500, batch=1024, monitor_every=10),  # SupCon's code
    )


def fitted(known: Known) -> Fitted:
    """Supervised training fitted to your own images; needs labels."""
    optim = cifar10().optim if known.small else imagenet_200().optim
    view = replace(known.view, jitter=(0.0, 0.0, 0.0, 0.0), jitter_p=0.0, grey=0.0, blur=0.0)  # SupCon's code: crop and flip only
    return Fitted(
        method=SupervisedConfig(smoothing=0.0 if known.small else 0.1),  # SupCon's code; BYOL's baseline
        views=(view,),
        optim=replace(optim, warmup_epochs=min(optim.warmup_epochs, known.epochs / 10)),
        about_batch="256 (VISSL) and 1024 (SupCon's code) are published",
        reasons={
            "optim": "SGD as in the official code of SupCon for CIFAR" if known.small else "SGD as in BYOL's supervised baseline",
            "views.flip": "one view, cropped and flipped only",
        },
    )
