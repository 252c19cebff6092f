"""SimSiam as published. Chen & He, arXiv:2011.10566 (the paper), and its official PyTorch code (the code)."""

from dataclasses import replace

from stopgrad.config import Net, Optim, Run, SimSiamConfig, Train, View
from stopgrad.recipes.data import CIFAR10, IMAGENET
from stopgrad.recipes.fit import Fitted, Known

IMAGENET_METHOD = SimSiamConfig(
    projector=(2048, 2048, 2048),  # Sec. 3
    predictor_hidden=512,  # Sec. 3
    predictor="trained",
    predictor_fixed_lr=True,  # Table 1c, used in all ablations after Sec. 4.2
    stop_gradient=True,
    projector_bn=(True, True),  # Table 3c, the default
    predictor_bn=(True, False),  # Table 3c, the default
    output_affine=False,  # the code
    similarity="cosine",  # Eq. 1
    symmetrised=True,  # Eq. 2
    pairs_of_views=1,
)

CIFAR10_METHOD = SimSiamConfig(
    projector=(2048, 2048),  # App. D: two layers
    predictor_hidden=512,
    predictor="trained",
    predictor_fixed_lr=False,  # App. D does not name it; 91.6 % was reproduced with the decayed rate
    stop_gradient=True,
    projector_bn=(True, True),
    predictor_bn=(True, False),
    output_affine=False,
    similarity="cosine",
    symmetrised=True,
    pairs_of_views=1,
)


def imagenet() -> Run:
    """SimSiam, ResNet-50, ImageNet, 100 epochs.

    Command: ``stopgrad pretrain IMAGENET --recipe simsiam/imagenet --out RUN``. Published: linear 68.1 % at 100 epochs (Table 2, batch 256 and
    512), 70.0 at 200, 70.8 at 400, 71.3 at 800 (Table 4); the code's run: 68.3 (batch 256), 68.1 (batch 512), on 8 V100.
    """
    view = View(
        size=224,
        scale=(0.2, 1.0),  # Sec. 3
        flip=0.5,  # Sec. 3
        jitter=(0.4, 0.4, 0.4, 0.1),  # Sec. 3: brightness, contrast, saturation, hue
        jitter_p=0.8,  # Sec. 3
        grey=0.2,  # Sec. 3
        blur=0.5,  # the code; the paper gives sigma in (0.1, 2.0) but no probability
    )
    return Run(
        recipe="simsiam/imagenet",
        data=IMAGENET,
        views=(view, view),
        net=Net(backbone="resnet50", zero_init_residual=True),  # the code
        method=IMAGENET_METHOD,
        optim=Optim(
            kind="sgd",  # Sec. 3: not LARS
            lr=0.05,  # Sec. 3, times batch/256
            momentum=0.9,  # Sec. 3
            weight_decay=1e-4,  # Sec. 3
            decay_bn_bias=True,  # Sec. 3: all parameters
            warmup_epochs=0,  # Sec. 3: 10 only for batches of 1024 and more
        ),
        train=Train(epochs=100, batch=512),  # Sec. 3
    )


def cifar10() -> Run:
    """SimSiam, ResNet-18 with the CIFAR stem, CIFAR-10, 800 epochs.

    Command: ``stopgrad pretrain CIFAR10 --recipe simsiam/cifar10 --out RUN``. Published: linear 91.8 % (App. D, Fig. D.1), kNN about 90.
    """
    view = View(
        size=32,
        scale=(0.2, 1.0),  # App. D: as ImageNet
        flip=0.5,
        jitter=(0.4, 0.4, 0.4, 0.1),
        jitter_p=0.8,
        grey=0.2,
        blur=0.0,  # App. D: no blur
    )
    return Run(
        recipe="simsiam/cifar10",
        data=CIFAR10,
        views=(view, view),
        net=Net(backbone="resnet18", stem="cifar", zero_init_residual=False),  # App. D: the CIFAR variant of ResNet-18
        method=CIFAR10_METHOD,
        optim=Optim(
            kind="sgd",
            lr=0.03,  # App. D, times batch/256
            momentum=0.9,
            weight_decay=5e-4,  # App. D
            decay_bn_bias=True,
            warmup_epochs=0,
        ),
        train=Train(epochs=800, batch=512, monitor_every=10),  # App. D
    )


def fitted(known: Known) -> Fitted:
    """SimSiam fitted to your own images: every choice made from what the preflight finds, and said."""
    published, method = (cifar10(), CIFAR10_METHOD) if known.small else (imagenet(), IMAGENET_METHOD)
    return Fitted(
        method=replace(method, predictor_fixed_lr=True),  # Table 1c
        views=(known.view, known.view),
        optim=published.optim,
        about_batch="SimSiam is as good from 128 to 2048 (Table 2)",
        reasons={},
    )
