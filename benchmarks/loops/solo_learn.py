"""solo-learn's SimSiam loop, written anew from its published CIFAR settings; its package asks for torchvision 0.10.1 and cannot be installed.

PyTorch Lightning, channels last, an online linear classifier behind a stop-gradient, the spread of the outputs noted at every step; bicubic crops
from 8 % of the area, blur of half of the views, SGD with lr 0.5, weight decay 1e-5. Not taken over: its stem that pads by 2 (13 % more
arithmetic), its wider heads and its warm-up; network and heads are everybody's.
"""

from typing import Any

import pytorch_lightning as pl  # type: ignore[import-not-found]
import torch
from PIL import Image, ImageFilter
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision import transforms

from benchmarks.loops.gate import asked, loader_of
from benchmarks.loops.settings import SETTINGS, Setting, backbone, images
from benchmarks.loops.trainer import fit

CLASSES = 10


def blurred(image: Image.Image) -> Image.Image:
    """Return the image blurred by a standard deviation of 0.1 to 2 pixels."""
    return image.filter(ImageFilter.GaussianBlur(0.1 + 1.9 * float(torch.rand(()))))


class _Crops(torch.utils.data.Dataset[tuple[int, list[Tensor], int]]):
    """Number of the image, its two crops, and its label."""

    def __init__(self, decoded: list[Image.Image], setting: Setting) -> None:
        self.images = decoded
        steps = [
            transforms.RandomResizedCrop(setting.size, scale=(0.08, 1.0), interpolation=transforms.InterpolationMode.BICUBIC),
            transforms.RandomApply([transforms.ColorJitter(*setting.jitter)], p=0.8),
            transforms.RandomGrayscale(p=0.2),
            transforms.RandomApply([blurred], p=0.5),
            transforms.RandomHorizontalFlip(p=0.5),
            transforms.ToTensor(),
            transforms.Normalize(setting.mean, setting.std),
        ]
        self.crop = transforms.Compose(steps)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> tuple[int, list[Tensor], int]:
        return i, [self.crop(self.images[i]) for _ in range(2)], i % CLASSES


class _SimSiam(pl.LightningModule):  # type: ignore[misc]  # not installed where types are checked
    def __init__(self, name: str, setting: Setting, batch: int) -> None:
        super().__init__()
        width, dim, narrow = setting.features, setting.dim, setting.predictor
        hidden = [layer for _ in range(2) for layer in (nn.Linear(width, width, bias=False), nn.BatchNorm1d(width), nn.ReLU())]
        self.backbone = backbone(name)
        self.projector = nn.Sequential(*hidden, nn.Linear(width, dim), nn.BatchNorm1d(dim, affine=False))
        self.predictor = nn.Sequential(nn.Linear(dim, narrow, bias=False), nn.BatchNorm1d(narrow), nn.ReLU(), nn.Linear(narrow, dim))
        self.classifier = nn.Linear(width, CLASSES)
        self.rate = 0.5 * batch / 256

    def training_step(self, batch: Any, _: int) -> Tensor:
        _, crops, labels = batch
        features = [self.backbone(crop.contiguous(memory_format=torch.channels_last)) for crop in crops]
        z = [self.projector(x) for x in features]
        p = [self.predictor(x) for x in z]
        logits = [self.classifier(x.detach()) for x in features]
        ours = -torch.stack([F.cosine_similarity(a, b.detach(), dim=-1).mean() for a, b in zip(p, reversed(z), strict=True)]).mean()
        theirs = torch.stack([F.cross_entropy(x, labels) for x in logits]).mean()
        right = torch.stack([(x.argmax(1) == labels).float().mean() for x in logits]).mean()
        with torch.no_grad():
            deviation = F.normalize(torch.stack([x.detach() for x in z]).float(), dim=-1).std(dim=1).mean()
        self.log_dict({"similarity": ours, "class_loss": theirs, "accuracy": right, "deviation": deviation}, on_epoch=True)
        loss: Tensor = ours + theirs
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        trained = nn.ModuleList([self.backbone, self.projector, self.predictor])
        groups: list[dict[str, Any]] = [{"params": trained.parameters()}, {"params": self.classifier.parameters(), "lr": 0.1, "weight_decay": 0.0}]
        return torch.optim.SGD(groups, lr=self.rate, momentum=0.9, weight_decay=1e-5)


def main() -> None:
    """Train until nobody asks for more."""
    found, gate = asked(__doc__)
    setting = SETTINGS[found.setting]
    data = _Crops(images(setting), setting)
    loader = loader_of(data, found)
    module = _SimSiam(found.setting, setting, found.batch).to(memory_format=torch.channels_last)
    fit(module, loader, found, gate)


if __name__ == "__main__":
    main()
