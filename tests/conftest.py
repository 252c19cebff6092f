"""Runs at toy size, shared by all tests."""

from dataclasses import replace

import pytest

from stopgrad.config import Data, Net, Optim, Run, SimSiamConfig, Train, View


def toy_run(**train: object) -> Run:
    """SimSiam on 8-pixel grey images: a few milliseconds a step."""
    view = View(size=8, scale=(0.5, 1.0), flip=0.5, jitter=(0.4, 0.4, 0.0, 0.0), jitter_p=0.8, grey=0.0, blur=0.0)
    return Run(
        recipe="toy",
        data=Data(source="arrays", channels=1, mean=(0.5,), std=(0.25,), size=8, short_side=None, workers=0),
        views=(view, view),
        net=Net(backbone="resnet10", stem="small", width=4, zero_init_residual=False),
        method=SimSiamConfig(
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
        ),
        optim=Optim(kind="sgd", lr=0.1, momentum=0.9, weight_decay=1e-4, decay_bn_bias=True, warmup_epochs=0.0),
        train=replace(Train(epochs=2, batch=8, precision="fp32", checkpoint_seconds=1e9), **train),  # type: ignore[arg-type]
    )


@pytest.fixture
def toy() -> Run:
    return toy_run()
