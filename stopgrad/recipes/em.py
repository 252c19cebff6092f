"""SimSiam as alternating optimisation, as published. Chen & He, arXiv:2011.10566, Sec. 5 (the paper); there is no official code of it."""

from dataclasses import replace

from stopgrad.config import EMConfig, Run
from stopgrad.recipes import simsiam
from stopgrad.recipes.fit import Fitted, Known

IMAGENET_METHOD = EMConfig(
    projector=(2048, 2048, 2048),  # as SimSiam
    predictor_hidden=512,  # as SimSiam
    predictor_fixed_lr=True,  # as SimSiam: its 68.1 is the row of 1 step
    predictor="trained",
    steps=10,  # Sec. 5.2: of 1, 10, 100 and an epoch, 100 is better by 0.2 and keeps ten times the targets
    memory=None,
)

CIFAR10_METHOD = EMConfig(
    projector=(2048, 2048),  # SimSiam, App. D
    predictor_hidden=512,
    predictor_fixed_lr=False,
    predictor="trained",
    steps=10,  # as on ImageNet
    memory=None,
)


def imagenet() -> Run:
    """10-step alternation, ResNet-50, ImageNet, 100 epochs.

    Command: ``stopgrad pretrain IMAGENET --recipe em/imagenet --out RUN``. Published (Sec. 5.2): linear 68.7 % with ``method.steps`` 10,
    68.9 with 100, 67.0 with 0 (an epoch), 68.1 with 1, which is SimSiam. The moving average without a predictor (Sec. 5.2), 55.0:
    ``--set method.memory=0.8 --set method.predictor=none``.
    """
    return replace(
        simsiam.imagenet(),  # Sec. 5.2: the same hyper-parameters
        recipe="em/imagenet",
        method=IMAGENET_METHOD,
    )


def cifar10() -> Run:
    """10-step alternation, ResNet-18 with the CIFAR stem, CIFAR-10, 800 epochs.

    Command: ``stopgrad pretrain CIFAR10 --recipe em/cifar10 --out RUN``. Not published: SimSiam's setting (App. D) with Sec. 5's optimisation.
    """
    return replace(
        simsiam.cifar10(),
        recipe="em/cifar10",
        method=CIFAR10_METHOD,
    )


def fitted(known: Known) -> Fitted:
    """SimSiam's alternating optimisation fitted to your own images."""
    like = simsiam.fitted(known)
    steps = min(10, known.steps)
    return replace(
        like,
        method=replace(CIFAR10_METHOD if known.small else IMAGENET_METHOD, steps=steps, predictor_fixed_lr=True),
        reasons={"method.steps": f"targets are computed every {steps} steps: {'as published' if steps == 10 else 'an epoch has no more'} (Sec. 5.2)"},
    )
