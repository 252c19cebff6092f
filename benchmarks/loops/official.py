"""The loop of facebookresearch/simsiam (a7bc177), written anew from its published settings.

A three-layer projector behind the backbone and a two-layer predictor, both with BN; two PIL views by torchvision.transforms; a DataLoader
without workers; fp32; torch.optim.SGD with momentum 0.9.
"""

import torch
from PIL import Image
from torch import Tensor, nn
from torchvision import transforms

from benchmarks.loops.gate import asked, loader_of
from benchmarks.loops.settings import SETTINGS, Setting, backbone, images


class _TwoViews(torch.utils.data.Dataset[list[Tensor]]):
    def __init__(self, decoded: list[Image.Image], setting: Setting) -> None:
        self.images = decoded
        steps = [
            transforms.RandomResizedCrop(setting.size, scale=setting.scale),
            transforms.RandomApply([transforms.ColorJitter(*setting.jitter)], p=0.8),
            transforms.RandomGrayscale(p=setting.grey),
            transforms.RandomHorizontalFlip(p=setting.flip),
            transforms.ToTensor(),
            transforms.Normalize(setting.mean, setting.std),
        ]
        self.view = transforms.Compose(steps)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> list[Tensor]:
        return [self.view(self.images[i]), self.view(self.images[i])]


class _Model(nn.Module):
    """Encoder, and predictor; the loss of two views."""

    def __init__(self, name: str, setting: Setting) -> None:
        super().__init__()
        hidden, dim, narrow = setting.features, setting.dim, setting.predictor
        layers: list[nn.Module] = []
        for _ in range(2):
            layers += [nn.Linear(hidden, hidden, bias=False), nn.BatchNorm1d(hidden), nn.ReLU(inplace=True)]
        self.encoder = nn.Sequential(backbone(name), *layers, nn.Linear(hidden, dim), nn.BatchNorm1d(dim, affine=False))
        self.predictor = nn.Sequential(nn.Linear(dim, narrow, bias=False), nn.BatchNorm1d(narrow), nn.ReLU(inplace=True), nn.Linear(narrow, dim))

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        z1, z2 = self.encoder(x1), self.encoder(x2)
        similarity = nn.CosineSimilarity(dim=1)
        loss: Tensor = -(similarity(self.predictor(z1), z2.detach()).mean() + similarity(self.predictor(z2), z1.detach()).mean()) * 0.5
        return loss


def main() -> None:
    """Train until nobody asks for more."""
    found, gate = asked(__doc__)
    setting, device = SETTINGS[found.setting], torch.device(found.device)
    torch.backends.cudnn.benchmark = device.type == "cuda"
    model = _Model(found.setting, setting).to(device).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.03 * found.batch / 256, momentum=0.9, weight_decay=5e-4)
    data = _TwoViews(images(setting), setting)
    loader = loader_of(data, found)
    while True:
        for x1, x2 in loader:
            loss = model(x1.to(device, non_blocking=True), x2.to(device, non_blocking=True))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            gate.passed()


if __name__ == "__main__":
    main()
