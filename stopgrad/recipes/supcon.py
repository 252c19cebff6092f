"""SupCon as published. Khosla et al., arXiv:2004.11362 (the paper), and its official PyTorch code for CIFAR (the code)."""

from dataclasses import replace

from stopgrad.config import Net, Optim, Run, SupConConfig, Train, View
from stopgrad.recipes.data import CIFAR10, IMAGENET
from stopgrad.recipes.fit import Fitted, Known


def imagenet() -> Run:
    """SupCon, ResNet-50, ImageNet, 350 epochs.

    Command: ``stopgrad pretrain IMAGENET --recipe supcon/imagenet --out RUN``. Published: linear 78.7 % with AutoAugment, which is not here: the
    views are SimCLR's, and so is what the paper's main part does not say of LARS. ``--set method.form=in``: 67.4.
    """
    view = View(
        size=224,
        scale=(0.08, 1.0),  # this and the following: SimCLR, App. A, in the place of AutoAugment
        flip=0.5,
        jitter=(0.8, 0.8, 0.8, 0.2),
        jitter_p=0.8,
        grey=0.2,
        blur=0.5,
    )
    return Run(
        recipe="supcon/imagenet",
        data=IMAGENET,
        views=(view, view),
        net=Net(backbone="resnet50", zero_init_residual=True),  # our choice, as SimCLR's code
        method=SupConConfig(
            projector=(2048, 128),  # the paper
            projector_bn=(False, False),  # the code
            temperature=0.1,  # the paper
            base_temperature=1.0,  # the paper: the loss is rescaled by τ
            form="out",  # the paper: Eq. 2
        ),
        optim=Optim(
            kind="lars",  # the paper
            lr=0.3,  # our choice, as SimCLR
            momentum=0.9,  # as SimCLR
            weight_decay=1e-6,  # our choice, as SimCLR
            decay_bn_bias=False,  # as SimCLR
            trust=0.001,  # as SimCLR
            warmup_epochs=10,  # our choice, as SimCLR
        ),
        train=Train(epochs=350, batch=6144),  # the paper; a batch of 2048 is enough
    )


def cifar10() -> Run:
    """SupCon, ResNet-50 with the CIFAR stem, CIFAR-10, 1000 epochs.

    Command: ``stopgrad pretrain CIFAR10 --recipe supcon/cifar10 --out RUN``. Published: linear 96.0 % (the paper; the code's command). With
    ``--backbone resnet18``, in solo-learn's setting: 93.82.
    """
    view = View(
        size=32,
        scale=(0.2, 1.0),  # the code
        flip=0.5,  # the code
        jitter=(0.4, 0.4, 0.4, 0.1),  # the code
        jitter_p=0.8,  # the code
        grey=0.2,  # the code
        blur=0.0,  # the code
    )
    return Run(
        recipe="supcon/cifar10",
        data=replace(CIFAR10, std=(0.2023, 0.1994, 0.2010)),  # the code
        views=(view, view),
        net=Net(backbone="resnet50", stem="cifar", zero_init_residual=False),  # the code: 3x3 stem; the last scales, our choice
        method=SupConConfig(
            projector=(2048, 128),  # the code
            projector_bn=(False, False),  # the code
            temperature=0.1,  # the code
            base_temperature=0.07,  # the code
            form="out",
        ),
        optim=Optim(
            kind="sgd",  # the code
            lr=0.125,  # the code: 0.5 for 1024
            momentum=0.9,  # our choice, the customary one
            weight_decay=1e-4,  # the code
            decay_bn_bias=True,
            warmup_epochs=10,  # the code
            warmup_from=0.02,  # the code: 0.01 of 0.5
            floor=0.001,  # the code
        ),
        train=Train(epochs=1000, batch=1024, monitor_every=10),  # the code
    )


def fitted(known: Known) -> Fitted:
    """SupCon fitted to your own images; needs labels."""
    warm = known.batch > 256  # the code
    base = cifar10()
    return Fitted(
        method=base.method,
        views=(known.view, known.view),  # the code's are SimSiam's
        optim=replace(base.optim, warmup_epochs=min(10, known.epochs / 10) if warm else 0, warmup_from=0.02 if warm else 0.0),
        about_batch="the official code's for CIFAR is 1024, and a smaller one has fewer positives of every class",
        reasons={"optim": "SGD as in the official code for CIFAR: LARS is for the paper's batch of 6144"},
    )
