"""A run of every method and variant at toy size: a few milliseconds a step, on 8-pixel grey images."""

from dataclasses import replace

from stopgrad.config import (
    BYOLConfig,
    Data,
    EMConfig,
    MethodConfig,
    MoCoConfig,
    Net,
    Optim,
    Run,
    SimCLRConfig,
    SimSiamConfig,
    SupConConfig,
    SupervisedConfig,
    SwAVConfig,
    Train,
    View,
)

VIEW = View(size=8, scale=(0.5, 1.0), flip=0.5, jitter=(0.4, 0.4, 0.0, 0.0), jitter_p=0.8, grey=0.0, blur=0.0)
SMALL = replace(VIEW, size=4, scale=(0.1, 0.5))

SIMSIAM = SimSiamConfig(
    projector=(16, 16),
    predictor_hidden=4,
    predictor="trained",
    predictor_fixed_lr=True,
    stop_gradient=True,
    projector_bn=(True, True),
    predictor_bn=(True, False),
    output_affine=False,
    similarity="cosine",
    symmetrised=True,
    pairs_of_views=1,
)
SIMCLR = SimCLRConfig(
    projector=(16, 8),
    projector_bn=(True, True),
    loss="nt-xent",
    semi_hard=False,
    margin=0.4,
    normalise=True,
    temperature=0.5,
    predictor_hidden=None,
    stop_gradient=False,
    memory=0,
    memory_momentum=0.9,
)
MOCO = MoCoConfig(projector=(16, 8), temperature=0.2, queue=24, momentum=0.9, shuffle=True, symmetric=False)
BYOL = BYOLConfig(
    projector=(16, 8), predictor_hidden=16, predictor_layers=2, momentum=0.9, stop_gradient=True, predictor_lr=1.0, beta=0.0, temperature=0.2
)
SWAV = SwAVConfig(
    projector=(16, 8),
    prototypes=10,
    temperature=0.1,
    epsilon=0.05,
    sinkhorn=3,
    queue=0,
    queue_from_epoch=0.0,
    freeze_epochs=0.4,
    predictor_hidden=None,
    stop_gradient=True,
    normalise_inside=False,
)
EM = EMConfig(projector=(16, 16), predictor_hidden=4, predictor_fixed_lr=False, predictor="trained", steps=3, memory=None)

METHODS: dict[str, tuple[MethodConfig, tuple[View, ...], dict[str, object]]] = {
    "simsiam": (SIMSIAM, (VIEW, VIEW), {}),
    "simclr": (SIMCLR, (VIEW, VIEW), {}),
    "simclr-v2": (replace(SIMCLR, projector=(16, 16, 8), memory=24), (VIEW, VIEW), {}),
    "simclr-logistic": (replace(SIMCLR, loss="nt-logistic", semi_hard=True, normalise=False, memory=24), (VIEW, VIEW), {}),
    "simclr-margin": (replace(SIMCLR, loss="margin", projector=()), (VIEW, VIEW), {}),
    "simclr-predictor": (replace(SIMCLR, predictor_hidden=8, stop_gradient=True), (VIEW, VIEW), {}),
    "moco": (MOCO, (VIEW, VIEW), {"bn": "split", "bn_splits": 6}),
    "moco-symmetric": (replace(MOCO, symmetric=True), (VIEW, VIEW), {}),
    "byol": (BYOL, (VIEW, replace(VIEW, solarise=0.2)), {}),
    "byol-no-momentum": (replace(BYOL, momentum=None, predictor_lr=10.0), (VIEW, VIEW), {}),
    "byol-negatives": (replace(BYOL, beta=1.0, predictor_layers=3), (VIEW, VIEW), {}),
    "swav": (SWAV, (VIEW, VIEW, SMALL, SMALL), {}),
    "swav-fixed": (replace(SWAV, freeze_epochs=None), (VIEW, VIEW), {}),
    "swav-queue": (replace(SWAV, queue=24, predictor_hidden=8, normalise_inside=True), (VIEW, VIEW), {}),
    "supcon": (
        SupConConfig(projector=(16, 8), projector_bn=(False, False), temperature=0.1, base_temperature=0.07, form="out"),
        (VIEW, VIEW),
        {},
    ),
    "supervised": (SupervisedConfig(smoothing=0.1), (VIEW,), {}),
    "em": (EM, (VIEW, VIEW), {}),
    "em-memory": (replace(EM, memory=0.8, predictor="none"), (VIEW, VIEW), {}),
}
TOYS = tuple(METHODS)


def toy_run(name: str = "simsiam", **train: object) -> Run:
    """Return the toy run ``name``, with other values of ``Train``."""
    method, views, own = METHODS[name]
    return Run(
        recipe="toy",
        data=Data(source="arrays", channels=1, mean=(0.5,), std=(0.25,), size=8, short_side=None, workers=0),
        views=views,
        net=Net(backbone="resnet10", stem="small", width=4, zero_init_residual=False),
        method=method,
        optim=Optim(kind="sgd", lr=0.1, momentum=0.9, weight_decay=1e-4, decay_bn_bias=True, warmup_epochs=0.0),
        train=replace(Train(epochs=2, batch=12, precision="fp32", checkpoint_seconds=1e9), **(own | train)),  # type: ignore[arg-type]
    )
