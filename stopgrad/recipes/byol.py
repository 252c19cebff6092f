"""BYOL as published. Grill et al., arXiv:2006.07733v3 (the paper), and its official code (the code)."""

from dataclasses import replace

from stopgrad.config import BYOLConfig, Net, Optim, Run, Train, View
from stopgrad.recipes.data import CIFAR10, IMAGENET
from stopgrad.recipes.fit import SGD_REASON, Fitted, Known, sgd

METHOD = BYOLConfig(
    projector=(4096, 256),  # the paper, architecture
    predictor_hidden=4096,  # the paper, architecture
    predictor_layers=2,  # the paper, architecture
    momentum=0.996,  # the paper, rising to 1
    stop_gradient=True,
    predictor_lr=1.0,
    beta=0.0,
    temperature=0.1,  # of no effect without negatives; SimCLR's
)


def imagenet() -> Run:
    """BYOL, ResNet-50, ImageNet, 1000 epochs.

    Command: ``stopgrad pretrain IMAGENET --recipe byol/imagenet --out RUN``. Published: linear 74.3 %; ``--backbone resnet101`` 76.4, ``resnet152``
    77.3. At batch 512 73.7: ``--batch 512 --set optim.lr=0.4 --set method.momentum=0.9995``.
    """
    first = View(
        size=224,
        scale=(0.08, 1.0),  # App. B; resized bicubically there, bilinearly here
        flip=0.5,  # App. B
        jitter=(0.4, 0.4, 0.2, 0.1),  # App. B
        jitter_p=0.8,  # App. B
        grey=0.2,  # App. B
        blur=1.0,  # App. B: of T
    )
    return Run(
        recipe="byol/imagenet",
        data=IMAGENET,
        views=(first, replace(first, blur=0.1, solarise=0.2)),  # App. B: of T'
        net=Net(backbone="resnet50", zero_init_residual=True),  # our choice, as SimCLR's code: the paper does not say
        method=METHOD,
        optim=Optim(
            kind="lars",
            lr=0.2,  # the paper, times batch/256: 3.2
            momentum=0.9,  # the code
            weight_decay=1.5e-6,  # the paper
            decay_bn_bias=False,  # the paper: nor adapted
            trust=0.001,  # the code
            warmup_epochs=10,  # the paper
        ),
        train=Train(epochs=1000, batch=4096),  # the paper
    )


def imagenet_300() -> Run:
    """BYOL, ResNet-50, ImageNet, 300 epochs.

    Command: ``stopgrad pretrain IMAGENET --recipe byol/imagenet-300 --out RUN``. Published: linear 72.5 %, the baseline of the paper's ablations.
    """
    return _preset("byol/imagenet-300", epochs=300, lr=0.3, momentum=0.99)


def imagenet_100() -> Run:
    """BYOL, ResNet-50, ImageNet, 100 epochs.

    Command: ``stopgrad pretrain IMAGENET --recipe byol/imagenet-100 --out RUN``. Published: linear 66.5 % in SimSiam's reproduction (its Table 4).
    """
    return _preset("byol/imagenet-100", epochs=100, lr=0.45, momentum=0.99)


def imagenet_40() -> Run:
    """BYOL, ResNet-50, ImageNet, 40 epochs.

    Command: ``stopgrad pretrain IMAGENET --recipe byol/imagenet-40 --out RUN``. The code has the setting; no number is published.
    """
    return _preset("byol/imagenet-40", epochs=40, lr=0.45, momentum=0.97)


def _preset(recipe: str, epochs: int, lr: float, momentum: float) -> Run:
    """The code's settings for schedules shorter than the paper's; weight decay 1e-6 in all of them."""
    base = imagenet()
    return replace(
        base,
        recipe=recipe,
        method=replace(METHOD, momentum=momentum),
        optim=replace(base.optim, lr=lr, weight_decay=1e-6),
        train=replace(base.train, epochs=epochs),
    )


def imagenet_v3() -> Run:
    """BYOL without its momentum encoder, ResNet-50, ImageNet, 300 epochs.

    Command: ``stopgrad pretrain IMAGENET --recipe byol/imagenet-v3 --out RUN``. Published (v3, App. J): linear 66.6 % with the predictor's rate
    times 10, 66.3 with 20, 62.8 with 2, 5.5 with 1 (``--set method.predictor_lr=1``).
    """
    base = imagenet_300()  # App. J: the ablations' setting
    return replace(base, recipe="byol/imagenet-v3", method=replace(METHOD, momentum=None, predictor_lr=10.0))


def cifar10() -> Run:
    """BYOL, ResNet-18 with the CIFAR stem, CIFAR-10, 800 epochs.

    Command: ``stopgrad pretrain CIFAR10 --recipe byol/cifar10 --out RUN``. The paper has no such setting: optimiser and heads are those of lightly's
    benchmark (kNN 91.0 %, the best of all epochs; 86.8 at 200 epochs), the views those of solo-learn's (92.58 online, with LARS and 1000 epochs).
    """
    first = View(
        size=32,
        scale=(0.08, 1.0),  # lightly, and the paper
        flip=0.5,
        jitter=(0.4, 0.4, 0.2, 0.1),  # solo-learn, and the paper
        jitter_p=0.8,
        grey=0.2,
        blur=0.0,  # lightly and solo-learn
    )
    return Run(
        recipe="byol/cifar10",
        data=CIFAR10,
        views=(first, replace(first, solarise=0.2)),  # solo-learn, and the paper
        net=Net(backbone="resnet18", stem="cifar", zero_init_residual=False),  # lightly
        method=BYOLConfig(
            projector=(1024, 256),  # lightly
            predictor_hidden=1024,  # lightly
            predictor_layers=2,  # lightly
            momentum=0.99,  # lightly, constant there; rising to 1 as in the paper, and as solo-learn's
            stop_gradient=True,
            predictor_lr=1.0,
            beta=0.0,
            temperature=0.1,  # of no effect without negatives; SimCLR's
        ),
        optim=Optim(
            kind="sgd",  # lightly
            lr=0.03,  # lightly: 0.06 for 128, over 4: its loss is a quarter of the paper's
            momentum=0.9,  # lightly
            weight_decay=2e-3,  # lightly: 5e-4, times 4 for the same reason
            decay_bn_bias=True,
            warmup_epochs=0,  # lightly
        ),
        train=Train(epochs=800, batch=512, monitor_every=10),  # lightly
    )


def fitted(known: Known) -> Fitted:
    """BYOL fitted to your own images."""
    reasons = {"optim": SGD_REASON}
    theirs, momentum = sgd(known), 0.99  # lightly
    optim = replace(theirs, lr=theirs.lr / 4, weight_decay=theirs.weight_decay * 4)  # its loss is a quarter of the paper's, which is ours
    if known.many:
        optim = replace(imagenet().optim, lr=0.4, warmup_epochs=min(10, known.epochs / 10))
        momentum = 0.9995
        reasons["optim"] = "LARS with rate and momentum encoder of the paper's run at batch 512 (73.7 on ImageNet)"
    blurred = known.view.blur > 0
    first = replace(known.view, jitter=(0.4, 0.4, 0.2, 0.1), blur=1.0 if blurred else 0.0)  # App. B
    second = replace(first, blur=0.1 if blurred else 0.0, solarise=0.2)  # App. B
    blur = "the first is blurred with probability 1, the second 0.1; " if blurred else ""
    reasons["views.solarise,views.blur"] = f"the views differ, as published: {blur}only the second is solarised, with probability 0.2"
    width = 1024 if known.small else 4096  # lightly's CIFAR-10 benchmark; the paper
    return Fitted(
        method=replace(METHOD, projector=(width, 256), predictor_hidden=width, momentum=momentum),
        views=(first, second),
        optim=optim,
        about_batch="BYOL loses 0.7 points from 4096 to 256, and more below (the paper's ablation)",
        reasons=reasons,
    )
