"""SimCLR as published. Chen et al., arXiv:2002.05709 (v1) and arXiv:2006.10029 (v2), and their official code (the code)."""

from dataclasses import replace

from stopgrad.config import Net, Optim, Run, SimCLRConfig, Train, View
from stopgrad.recipes.data import CIFAR10, IMAGENET
from stopgrad.recipes.fit import SGD_REASON, Fitted, Known, sgd


def imagenet() -> Run:
    """SimCLR, ResNet-50, ImageNet, 1000 epochs.

    Command: ``stopgrad pretrain IMAGENET --recipe simclr/imagenet --out RUN``. Published: linear 69.3 % (v1, Table 6); at batch 4096 with
    ``--epochs`` 100 64.6, 200 66.5, 400 68.2, 800 68.9 (Table B.1); the code's README: 69.1, and about 64.5 after 100 epochs. Smaller batches
    do better with ``--set optim.lr_rule=sqrt --set optim.lr=0.075`` (Table B.1: at batch 256 and 100 epochs 62.8 instead of 57.5).
    SimSiam's reproduction, three layers of projector (``--set method.projector=2048,2048,128``), 100 epochs: 66.5; with a predictor
    (``--set method.predictor_hidden=512``) 66.4; and with the stop-gradient (``--set method.stop_gradient=true``) 66.0 (its Sec. 6.2).
    """
    view = View(
        size=224,
        scale=(0.08, 1.0),  # v1, App. A
        flip=0.5,  # App. A
        jitter=(0.8, 0.8, 0.8, 0.2),  # App. A: strength 1. The code of v1 adds to the brightness, that of v2 multiplies, as here
        jitter_p=0.8,  # App. A
        grey=0.2,  # App. A
        blur=0.5,  # App. A
    )
    return Run(
        recipe="simclr/imagenet",
        data=IMAGENET,  # mean and std: our choice, the paper names none
        views=(view, view),
        net=Net(backbone="resnet50", zero_init_residual=True),  # the code
        method=SimCLRConfig(
            projector=(2048, 128),  # v1: two layers
            projector_bn=(True, True),  # the code
            loss="nt-xent",  # Eq. 1
            semi_hard=False,
            margin=0.4,  # of no effect under NT-Xent; of those the paper tried (0, 0.4, 0.8, 1.6, App. B.10) it does not name the best
            normalise=True,  # Eq. 1
            temperature=0.1,  # v1, Table 5
            predictor_hidden=None,
            stop_gradient=False,
            memory=0,
            memory_momentum=0.999,  # of no effect without a memory
        ),
        optim=Optim(
            kind="lars",
            lr=0.3,  # v1, times batch/256: 4.8
            momentum=0.9,  # the code
            weight_decay=1e-6,  # v1
            decay_bn_bias=False,  # the code: nor adapted
            trust=0.001,  # the code
            warmup_epochs=10,  # v1
        ),
        train=Train(epochs=1000, batch=4096),  # v1: 100 epochs in ablations
    )


def imagenet_v2() -> Run:
    """SimCLRv2 with its memory, ResNet-50, ImageNet, 800 epochs.

    Command: ``stopgrad pretrain IMAGENET --recipe simclr/imagenet-v2 --out RUN``. Published: linear 71.7 % (the code's README), 71.1 without
    memory (``--set method.memory=0``; its author, in the code's issue 77). ``--backbone resnet101`` 73.6, ``resnet152`` 74.5.
    """
    base = imagenet()
    return replace(
        base,
        recipe="simclr/imagenet-v2",
        method=SimCLRConfig(
            projector=(2048, 2048, 128),  # v2: three layers
            projector_bn=(True, True),  # the code
            loss="nt-xent",
            semi_hard=False,
            margin=0.4,
            normalise=True,
            temperature=0.1,  # as v1
            predictor_hidden=None,
            stop_gradient=False,
            memory=65536,  # v2: 64K
            memory_momentum=0.999,  # v2
        ),
        optim=replace(
            base.optim,
            lr=0.1,  # v2, times the root of the batch: 6.4
            lr_rule="sqrt",
            weight_decay=1e-4,  # the code
            warmup_epochs=40,  # v2: 5 % of the training
        ),
        train=Train(epochs=800, batch=4096),  # v2; the batch as v1
    )


def cifar10() -> Run:
    """SimCLR, ResNet-18 with the CIFAR stem, CIFAR-10, 1000 epochs.

    Command: ``stopgrad pretrain CIFAR10 --recipe simclr/cifar10 --out RUN``. Published: linear about 91 % (the code's README, whose command
    this is); SimSiam's paper, in its own setting: 91.1 (Fig. D.1). v1's best, with a ResNet-50 and batch 1024: 94.0 (App. B.9).
    """
    view = View(
        size=32,
        scale=(0.08, 1.0),  # v1, App. A
        flip=0.5,
        jitter=(0.4, 0.4, 0.4, 0.1),  # App. B.9: strength 0.5
        jitter_p=0.8,
        grey=0.2,
        blur=0.0,  # App. B.9
    )
    return Run(
        recipe="simclr/cifar10",
        data=CIFAR10,
        views=(view, view),
        net=Net(backbone="resnet18", stem="cifar", zero_init_residual=True),  # App. B.9; the code
        method=SimCLRConfig(
            projector=(512, 512, 128),  # the code: three layers where nothing else is asked; the hidden width, as the features: our choice
            projector_bn=(True, True),  # the code
            loss="nt-xent",
            semi_hard=False,
            margin=0.4,
            normalise=True,
            temperature=0.5,  # the README; App. B.9: the best beyond 300 epochs
            predictor_hidden=None,
            stop_gradient=False,
            memory=0,
            memory_momentum=0.999,
        ),
        optim=Optim(
            kind="lars",
            lr=1.0,  # the README, times batch/256: 2.0
            momentum=0.9,
            weight_decay=1e-4,  # the README
            decay_bn_bias=False,  # the code
            trust=0.001,
            warmup_epochs=10,  # the code's default
        ),
        train=Train(epochs=1000, batch=512, monitor_every=10),  # the README
    )


def fitted(known: Known) -> Fitted:
    """SimCLR fitted to your own images."""
    reasons = {"optim": SGD_REASON}
    optim = sgd(known)
    if known.many:
        optim = replace(imagenet().optim, lr=0.075, lr_rule="sqrt", warmup_epochs=min(10, known.epochs / 10))  # v1, App. B.1
        reasons["optim"] = "LARS under the square-root rule: what SimCLR published for batches of 256 and 512 on ImageNet (Table B.1)"
    temperature = 0.1 if known.many else 0.5
    usual = "as on ImageNet" if known.many else "the best on CIFAR-10 (App. B.9), and lightly's for small sets; ImageNet's is 0.1"
    reasons["method.temperature"] = f"temperature {temperature}: {usual}"
    view = known.view if known.small else replace(known.view, jitter=(0.8, 0.8, 0.8, 0.2))  # strength 0.5 on CIFAR (App. B.9), else 1 (App. A)
    return Fitted(
        method=SimCLRConfig(
            projector=(512, 128) if known.small else (2048, 128),  # lightly's CIFAR-10 benchmark; v1
            projector_bn=(True, True),
            loss="nt-xent",
            semi_hard=False,
            margin=0.4,
            normalise=True,
            temperature=temperature,
            predictor_hidden=None,
            stop_gradient=False,
            memory=0,
            memory_momentum=0.999,
        ),
        views=(view, view),
        optim=optim,
        about_batch="the other images of a batch are SimCLR's negatives, and more help where training is short (Table B.1)",
        reasons=reasons,
    )
