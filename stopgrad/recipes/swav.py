"""SwAV as published. Caron et al., arXiv:2006.09882 (the paper), and its official code with the scripts of its runs (the code)."""

from dataclasses import replace

from stopgrad.config import Net, Optim, Run, SwAVConfig, Train, View
from stopgrad.config.crops import LARGE_SCALE, SMALL_SCALE
from stopgrad.recipes.data import CIFAR10, IMAGENET
from stopgrad.recipes.fit import Fitted, Known

METHOD = SwAVConfig(
    projector=(2048, 128),  # the code
    prototypes=3000,  # the paper
    temperature=0.1,  # the paper
    epsilon=0.05,  # the paper
    sinkhorn=3,  # the paper
    queue=0,  # the paper: only for small batches
    queue_from_epoch=15.0,  # of no effect without a queue
    freeze_epochs=1.0,  # the code: 313 iterations
    predictor_hidden=None,
    stop_gradient=True,
    normalise_inside=False,  # the code
)


def imagenet() -> Run:
    """SwAV with multi-crop (2x224 + 6x96), ResNet-50, ImageNet, batch 4096, 800 epochs.

    Command: ``stopgrad pretrain IMAGENET --recipe swav/imagenet --out RUN``. Published (the code's README): linear 75.3 %; with ``--epochs`` 100
    72.1, 200 73.9, 400 74.6.
    """
    large = View(
        size=224,  # the code
        scale=LARGE_SCALE,  # the code
        flip=0.5,  # the code
        jitter=(0.8, 0.8, 0.8, 0.2),  # the code: SimCLR's, strength 1
        jitter_p=0.8,  # the code
        grey=0.2,  # the code
        blur=0.5,  # the code
    )
    small = replace(large, size=96, scale=SMALL_SCALE)  # the code
    return Run(
        recipe="swav/imagenet",
        data=replace(IMAGENET, std=(0.228, 0.224, 0.225)),  # 0.228 as in the code
        views=(large,) * 2 + (small,) * 6,  # the code
        net=Net(backbone="resnet50", zero_init_residual=False),  # the code
        method=METHOD,
        optim=Optim(
            kind="lars",
            lr=0.3,  # the code, times batch/256: 4.8
            momentum=0.9,  # the code
            weight_decay=1e-6,  # the code
            decay_bn_bias=True,  # the code: excludes nothing
            trust=0.001,  # the code
            warmup_epochs=10,  # the code's scripts
            warmup_from=0.0625,  # the code's scripts: 0.3 of 4.8
            floor=0.001,  # the code: 0.0048 of 4.8
        ),
        train=Train(epochs=800, batch=4096),  # the code's longest script
    )


def imagenet_256() -> Run:
    """SwAV with multi-crop and a queue, ResNet-50, ImageNet, batch 256, 400 epochs.

    Command: ``stopgrad pretrain IMAGENET --recipe swav/imagenet-256 --out RUN``. Published (the code's README): linear 74.3 %; with
    ``--epochs 200`` 72.7.
    """
    base = imagenet()
    return replace(
        base,
        recipe="swav/imagenet-256",
        method=replace(METHOD, queue=3840, queue_from_epoch=15.0),  # the paper; frozen for an epoch again: 5005 iterations
        optim=replace(
            base.optim,
            lr=0.6,  # the paper
            warmup_epochs=0,  # the code
            warmup_from=0.0,
            floor=0.001,  # the code: 0.0006 of 0.6
        ),
        train=Train(epochs=400, batch=256),
    )


def imagenet_2crop() -> Run:
    """SwAV with two crops, ResNet-50, ImageNet, batch 4096, 400 epochs.

    Command: ``stopgrad pretrain IMAGENET --recipe swav/imagenet-2crop --out RUN``. Published: linear 70.1 % (the code's README); SimSiam's
    reproduction, with three layers of projector (``--set method.projector=2048,2048,128``): 66.5 at 100 epochs, 69.1 at 200, 70.7 at 400, 71.8
    at 800 (its Table 4). Its crossings at 100 epochs (Sec. 6.2, ``--set method.normalise_inside=true``): with a predictor
    (``--set method.predictor_hidden=512``) 65.2; without the stop-gradient (``--set method.stop_gradient=false``) it diverges.
    """
    base = imagenet()
    view = replace(base.views[0], scale=(0.08, 1.0))  # the code's script
    return replace(base, recipe="swav/imagenet-2crop", views=(view, view), train=Train(epochs=400, batch=4096))


def cifar10() -> Run:
    """SwAV, ResNet-18 with the CIFAR stem, CIFAR-10, 1000 epochs.

    Command: ``stopgrad pretrain CIFAR10 --recipe swav/cifar10 --out RUN``. The paper has no such setting: this is solo-learn's, but for its
    clipped trust ratio of 0.02, which moves faster, and a stem that pads by two; its 89.17 % is therefore not comparable.
    """
    view = View(
        size=32,
        scale=(0.08, 1.0),  # solo-learn
        flip=0.5,
        jitter=(0.8, 0.8, 0.8, 0.2),  # solo-learn
        jitter_p=0.8,
        grey=0.2,
        blur=0.5,  # solo-learn
    )
    return Run(
        recipe="swav/cifar10",
        data=CIFAR10,
        views=(view, view),
        net=Net(backbone="resnet18", stem="cifar", zero_init_residual=False),  # solo-learn
        method=SwAVConfig(
            projector=(2048, 128),  # solo-learn
            prototypes=3000,  # solo-learn
            temperature=0.1,  # the paper
            epsilon=0.05,  # the paper
            sinkhorn=3,  # the paper
            queue=3840,  # solo-learn
            queue_from_epoch=50.0,  # solo-learn
            freeze_epochs=2.0,  # solo-learn
            predictor_hidden=None,
            stop_gradient=True,
            normalise_inside=False,
        ),
        optim=Optim(
            kind="lars",
            lr=0.6,  # solo-learn, and the paper at this batch
            momentum=0.9,  # solo-learn
            weight_decay=1e-6,  # solo-learn
            decay_bn_bias=False,  # solo-learn
            trust=0.001,  # the code; solo-learn's 0.02 goes with clipping
            warmup_epochs=10,  # solo-learn
            warmup_from=5e-5,  # solo-learn: 3e-5 of 0.6
        ),
        train=Train(epochs=1000, batch=256, monitor_every=10),  # solo-learn
    )


def fitted(known: Known) -> Fitted:
    """SwAV fitted to your own images."""
    prototypes = min(max(known.images // 100, 30), 3000)
    queue = min(15 * known.batch, known.images // 2) if prototypes > known.batch else 0  # the code: 15 batches of 256 for 3000 prototypes
    frozen = round(min(max(1.0, 313 / known.steps), max(1.0, known.epochs / 20), known.epochs / 3), 1)
    span = "an epoch" if frozen == 1 else f"{frozen:g} epochs"
    many, few = "there are more prototypes than images in a batch", "a batch is enough to balance the prototypes over"
    reasons = {
        "method.prototypes": f"{prototypes} prototypes: one for about a hundred images, at most the 3000 published",
        "method.queue": f"a queue of {queue}: {many}" if queue else f"no queue: {few}",
        "method.freeze_epochs": f"prototypes stay as they are for {span}: an epoch and 313 steps are published",
        "optim": "LARS with the rate of the official run at batch 256; no setting with SGD is published",
    }
    base = known.view if known.small else replace(known.view, jitter=(0.8, 0.8, 0.8, 0.2))  # lightly's strength 0.5 on CIFAR-10; the code
    views: tuple[View, ...] = (base, base)
    if base.size >= 96:
        small = round(base.size * 96 / 224 / 8) * 8
        views = (replace(base, scale=LARGE_SCALE),) * 2 + (replace(base, size=small, scale=SMALL_SCALE),) * 6
        reasons["views.scale,views.size"] = f"multi-crop: 2 views of {base.size} pixels and 6 of {small}, as 224 and 96 in the paper"
    return Fitted(
        method=replace(
            METHOD,
            prototypes=prototypes,
            queue=queue,
            queue_from_epoch=min(15.0, known.epochs * 15 / 200),  # the paper: 15 of 200
            freeze_epochs=frozen,
        ),
        views=views,
        optim=imagenet_256().optim,
        about_batch="SwAV is published at 256 and at 4096",
        reasons=reasons,
    )
