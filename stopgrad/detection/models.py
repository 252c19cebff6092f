"""Faster R-CNN and Mask R-CNN around a backbone: C4, as MoCo and SimSiam judge theirs, and FPN.

Ren et al., arXiv:1506.01497; He et al., arXiv:1703.06870; C4 with one BN after the last stage as in MoCo (arXiv:1911.05722, App.); Lin et al.,
arXiv:1612.03144. All layers are trained, BN too. Anchors, thresholds and numbers of samples are detectron2's; the losses are torchvision's
(smooth L1 from 1/9 on, where detectron2 takes plain L1).
"""

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead
from torchvision.ops import FeaturePyramidNetwork

from stopgrad import distributed
from stopgrad.config.detection import Detection
from stopgrad.detection.heads import Detected, Head, LastStageHead, PyramidHead
from stopgrad.detection.regions import Anchors
from stopgrad.detection.sampling import Sampler
from stopgrad.detection.stages import Stages, stages
from stopgrad.nets.backbones import Backbone

SIZES = (32, 64, 128, 256, 512)
"""Of anchors: all at every place of C4's map, one on each map of FPN."""


class Trunk(nn.Module):
    """C4: the backbone up to the map of stride 16."""

    def __init__(self, found: Stages) -> None:
        super().__init__()
        self.stages = nn.Sequential(*found.layers[:3])

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Return the map of images (N, C, H, W), (N, width, H / 16, W / 16)."""
        return {"c4": self.stages(x)}


class Pyramid(nn.Module):
    """FPN: maps of ``width`` channels and strides 4, 8, 16, 32, from all stages with BN, and a fifth of stride 64."""

    def __init__(self, found: Stages, width: int) -> None:
        super().__init__()
        self.stages = nn.ModuleList(found.layers)
        self.fpn = FeaturePyramidNetwork(list(found.widths), width, norm_layer=nn.BatchNorm2d)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Return the five maps of images (N, C, H, W), the finest first."""
        maps: OrderedDict[str, Tensor] = OrderedDict()
        for level, stage in enumerate(self.stages, start=2):
            x = stage(x)
            maps[f"p{level}"] = x
        out: dict[str, Tensor] = self.fpn(maps)
        return out | {"p6": F.max_pool2d(out["p5"], 1, stride=2)}


class Detector(nn.Module):
    """Images to losses, or to what is in them."""

    def __init__(self, trunk: nn.Module, proposer: RegionProposalNetwork, head: Head) -> None:
        super().__init__()
        self.trunk, self.proposer, self.head = trunk, proposer, head

    def forward(self, images: list[Tensor], targets: Detected | None = None) -> tuple[Detected, dict[str, Tensor]]:
        """Return what is found in ``images``, normalised and of any sizes (C, H, W), in their pixels; in training nothing, and the losses.

        Every loss is the mean over this process's samples times what they weigh (``Sampler.share``): the mean over the processes is that of all.
        ``targets``, one an image: boxes (n, 4) float, labels (n,) int64 from 1, and where masks are learned, masks (n, H, W) uint8.
        """
        sizes = [(image.shape[1], image.shape[2]) for image in images]
        joined = ImageList(_joined(images, self.training), sizes)
        maps = self.trunk(joined.tensors)
        proposals, proposal_losses = self.proposer(joined, maps, targets)
        found, losses = self.head(maps, proposals, sizes, targets)
        share = self.proposer.fg_bg_sampler.share
        return found, self.head.weighed(losses) | {name: loss * share for name, loss in proposal_losses.items()}


def detector(backbone: Backbone, classes: int, settings: Detection) -> Detector:
    """Return the detector that ``settings`` name, in training mode, around a copy of ``backbone``; what is new is drawn from torch's generator.

    Raises UserError for a backbone that does not fit (``stages``).
    """
    found = stages(backbone)
    trunk: nn.Module
    head: Head
    if settings.architecture == "C4":
        trunk, width = Trunk(found), found.widths[2]
        anchors = Anchors((16,), (SIZES,))
        head = LastStageHead(found.layers[3], found.widths[3], classes, settings)
    else:
        trunk, width = Pyramid(found, settings.pyramid), settings.pyramid
        anchors = Anchors((4, 8, 16, 32, 64), [(size,) for size in SIZES])
        head = PyramidHead(classes, settings)
    train, test = settings.proposals(True), settings.proposals(False)
    proposer = RegionProposalNetwork(
        anchors,
        RPNHead(width, anchors.per_place),
        fg_iou_thresh=0.7,
        bg_iou_thresh=0.3,
        batch_size_per_image=256,
        positive_fraction=0.5,
        pre_nms_top_n={"training": train[0], "testing": test[0]},
        post_nms_top_n={"training": train[1], "testing": test[1]},
        nms_thresh=0.7,
    )
    proposer.fg_bg_sampler = Sampler(256, 0.5)
    return Detector(trunk, proposer, head).train()


def _joined(images: list[Tensor], among_all: bool) -> Tensor:
    """Return images of any sizes as one tensor, padded at the right and bottom by zeros to the largest, a multiple of 64: the coarsest stride.

    ``among_all``: the largest of all processes, since BN sees the zeros too.
    """
    most = [max(image.shape[side] for image in images) for side in (1, 2)]
    height, width = (-(-side // 64) * 64 for side in (distributed.greatest(most) if among_all else most))
    return torch.stack([F.pad(image, (0, width - image.shape[2], 0, height - image.shape[1])) for image in images])
