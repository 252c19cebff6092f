"""Where detectors look: anchors at every place of a map, and maps cut out over regions. As in detectron2; torchvision's own differ in rounding."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import roi_align

RATIOS = (0.5, 1.0, 2.0)
"""Height over width of the anchors."""


class Anchors(nn.Module):
    """Boxes of given sizes (square roots of areas, pixels) and ``RATIOS`` around every place of every map."""

    def __init__(self, strides: Sequence[int], sizes: Sequence[Sequence[int]]) -> None:
        super().__init__()
        self.strides = tuple(strides)
        self.per_place = len(sizes[0]) * len(RATIOS)
        ratio = torch.tensor(RATIOS).repeat(len(sizes[0]))
        for level, of_level in enumerate(sizes):
            side = torch.tensor(of_level, dtype=torch.float32).repeat_interleave(len(RATIOS))
            width, height = side / ratio.sqrt(), side * ratio.sqrt()
            self.register_buffer(f"around_{level}", torch.stack([-width, -height, width, height], 1) / 2, persistent=False)

    def forward(self, images: ImageList, maps: list[Tensor]) -> list[Tensor]:
        """Return the anchors of each image, (A, 4): all of them the same, in the order of maps, rows, columns and shapes."""
        found = []
        for level, (stride, feature) in enumerate(zip(self.strides, maps, strict=True)):
            around = self.get_buffer(f"around_{level}")
            y, x = (torch.arange(n, device=around.device) * stride for n in feature.shape[-2:])
            places = torch.stack([x.repeat(len(y)), y.repeat_interleave(len(x))] * 2, 1)
            found.append((places[:, None] + around[None]).reshape(-1, 4))
        return [torch.cat(found)] * len(images.image_sizes)


class Pooler(nn.Module):
    """Regions of one map, or of the one of several maps that fits a region's size, as (R, C, side, side).

    RoIAlign, shifted by half a pixel, with as many samples as a cell has pixels. Of several maps that of stride 4 · 2^k is taken for regions
    with sides from 112 · 2^k on (Lin et al., arXiv:1612.03144, Eq. 1).
    """

    def __init__(self, strides: Sequence[int], side: int) -> None:
        super().__init__()
        self.strides, self.side = tuple(strides), side

    def forward(self, maps: dict[str, Tensor], boxes: list[Tensor], sizes: list[tuple[int, int]]) -> Tensor:
        """Return the regions ``boxes``, (r, 4) an image, in their order; ``sizes`` of the images are not needed."""
        levels = list(maps.values())[: len(self.strides)]
        if len(levels) == 1:
            return self._cut(levels[0], boxes, self.strides[0])
        sides = [((b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1])).sqrt() for b in boxes]
        fits = [(4 + torch.log2(s / 224 + 1e-8)).floor().clamp(2, 1 + len(levels)).long() - 2 for s in sides]
        out = levels[0].new_zeros(sum(map(len, boxes)), levels[0].shape[1], self.side, self.side)
        for number, (level, stride) in enumerate(zip(levels, self.strides, strict=True)):
            rows = torch.cat(fits) == number
            cut = self._cut(level, [b[fit == number] for b, fit in zip(boxes, fits, strict=True)], stride)
            out = out.index_put((rows.nonzero()[:, 0],), cut)
        return out

    def _cut(self, level: Tensor, boxes: list[Tensor], stride: int) -> Tensor:
        cut: Tensor = roi_align(level, boxes, self.side, spatial_scale=1 / stride, sampling_ratio=-1, aligned=True)
        return cut
