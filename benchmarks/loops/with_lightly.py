"""SimSiam of lightly's parts (heads, loss, transform, data set) in a Trainer of PyTorch Lightning, as its documentation puts them together.

The views are set to the setting's, the heads are as wide as the official code's, and the backbone is everybody's: lightly leaves it to its user.
"""

from collections.abc import Iterator
from typing import Any

import pytorch_lightning as pl  # type: ignore[import-not-found]
import torch
from lightly.data import LightlyDataset  # type: ignore[import-not-found]
from lightly.loss import NegativeCosineSimilarity  # type: ignore[import-not-found]
from lightly.models.modules import SimSiamPredictionHead, SimSiamProjectionHead  # type: ignore[import-not-found]
from lightly.transforms import SimSiamTransform  # type: ignore[import-not-found]
from PIL import Image
from torch import Tensor

from benchmarks.loops.gate import asked, loader_of
from benchmarks.loops.settings import SETTINGS, Setting, backbone, images
from benchmarks.loops.trainer import fit


class _Images(torch.utils.data.Dataset[tuple[Any, int]]):
    """What lightly calls a torch data set: (image, label), with an attribute ``transform``."""

    transform: Any = None

    def __init__(self, decoded: list[Image.Image]) -> None:
        self.images = decoded

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> tuple[Any, int]:
        return self.transform(self.images[i]), 0


class _SimSiam(pl.LightningModule):  # type: ignore[misc]  # not installed where types are checked
    def __init__(self, name: str, setting: Setting, batch: int) -> None:
        super().__init__()
        self.backbone = backbone(name)
        self.projector = SimSiamProjectionHead(setting.features, setting.features, setting.dim)
        self.predictor = SimSiamPredictionHead(setting.dim, setting.predictor, setting.dim)
        self.loss = NegativeCosineSimilarity()
        self.rate = 0.03 * batch / 256

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        z = self.projector(self.backbone(x))
        return z.detach(), self.predictor(z)

    def training_step(self, batch: Any, _: int) -> Tensor:
        x1, x2 = batch[0]
        (z1, p1), (z2, p2) = self(x1), self(x2)
        loss: Tensor = (self.loss(z1, p2) + self.loss(z2, p1)) / 2
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        parameters: Iterator[torch.nn.Parameter] = self.parameters()
        return torch.optim.SGD(parameters, lr=self.rate, momentum=0.9, weight_decay=5e-4)


def transform(setting: Setting) -> Any:
    """Return lightly's two views, with the setting's strengths."""
    brightness, contrast, saturation, hue = setting.jitter
    return SimSiamTransform(
        input_size=setting.size,
        cj_bright=brightness,
        cj_contrast=contrast,
        cj_sat=saturation,
        cj_hue=hue,
        min_scale=setting.scale[0],
        random_gray_scale=setting.grey,
        gaussian_blur=0.0,
        hf_prob=setting.flip,
        normalize={"mean": list(setting.mean), "std": list(setting.std)},
    )


def main() -> None:
    """Train until nobody asks for more."""
    found, gate = asked(__doc__)
    setting = SETTINGS[found.setting]
    data = LightlyDataset.from_torch_dataset(_Images(images(setting)), transform=transform(setting))
    loader = loader_of(data, found)
    fit(_SimSiam(found.setting, setting, found.batch), loader, found, gate)


if __name__ == "__main__":
    main()
