"""The demo's recipe: SimSiam on the bundled images, sized for two cores and two minutes."""

from stopgrad.config import Data, Net, Optim, Run, SimSiamConfig, Train, View


def demo() -> Run:
    """SimSiam, slim ResNet-18, 10,000 bundled Fashion-MNIST images, for ``stopgrad demo``."""
    view = View(size=16, scale=(0.08, 1.0), flip=0.0, jitter=(0.4, 0.4, 0.0, 0.0), jitter_p=0.8, grey=0.0, blur=0.0)
    return Run(
        recipe="demo",
        data=Data(source="bundled", channels=1, mean=(0.286,), std=(0.353,), size=28, short_side=None),
        views=(view, view),
        net=Net(backbone="resnet10", stem="small", width=32, zero_init_residual=False),
        method=SimSiamConfig(
            projector=(512, 512),
            predictor_hidden=128,
            predictor="trained",
            predictor_fixed_lr=True,
            stop_gradient=True,
            projector_bn=(True, True),
            predictor_bn=(True, False),
            output_affine=False,
            similarity="cosine",
            symmetrised=True,
        ),
        optim=Optim(kind="sgd", lr=0.4, momentum=0.9, weight_decay=5e-4, decay_bn_bias=True, warmup_epochs=0.0),
        train=Train(epochs=20, batch=128),
    )
