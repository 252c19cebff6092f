"""What is made of regions: classes, boxes and masks. Ren et al., arXiv:1506.01497; He et al., arXiv:1703.06870.

Matching, sampling, losses and suppression are torchvision's.
"""

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNPredictor
from torchvision.models.detection.roi_heads import RoIHeads, fastrcnn_loss, maskrcnn_inference, maskrcnn_loss
from torchvision.ops.misc import Conv2dNormActivation

from stopgrad.config.detection import Detection
from stopgrad.detection.regions import Pooler
from stopgrad.detection.sampling import Sampler

Detected = list[dict[str, Tensor]]
"""One an image: boxes (d, 4), scores (d,), labels (d,) from 1, and with masks, masks (d, 1, M, M) as probabilities."""


class Head(RoIHeads):  # type: ignore[misc]
    """torchvision's, with its loss of masks and its weights drawn as detectron2 draws them."""

    def __init__(self, pooler: Pooler, head: nn.Module, width: int, classes: int, settings: Detection) -> None:
        predictor = FastRCNNPredictor(width, classes + 1)  # class 0: nothing
        for layer, std in ((predictor.cls_score, 0.01), (predictor.bbox_pred, 0.001)):
            nn.init.normal_(layer.weight, std=std)
            nn.init.zeros_(layer.bias)
        super().__init__(
            box_roi_pool=pooler,
            box_head=head,
            box_predictor=predictor,
            fg_iou_thresh=0.5,
            bg_iou_thresh=0.5,
            batch_size_per_image=settings.regions,
            positive_fraction=0.25,
            bbox_reg_weights=(10.0, 10.0, 5.0, 5.0),
            score_thresh=0.05,
            nms_thresh=0.5,
            detections_per_img=settings.detections,
        )
        self.fg_bg_sampler = Sampler(settings.regions, 0.25)

    def weighed(self, losses: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the losses, each a mean over this process's regions or, of masks, its objects, with their weight in the whole batch's."""
        sampler = self.fg_bg_sampler
        return {name: loss * (sampler.share_of_objects if name == "loss_mask" else sampler.share) for name, loss in losses.items()}


class LastStageHead(Head):
    """C4: the backbone's last stage on every region, then one BN more; the mean over the region gives class and box, the map itself the mask.

    In training the masks are learned on the maps that were computed for the boxes, as in detectron2.
    """

    def __init__(self, last: nn.Module, width: int, classes: int, settings: Detection) -> None:
        stage = nn.Sequential(OrderedDict(stage=last, norm=nn.BatchNorm2d(width)))
        super().__init__(Pooler((16,), 14), stage, width, classes, settings)
        self.masker = drawn_by_he(MaskRCNNPredictor(width, settings.pyramid, classes + 1)) if settings.masks else None

    def forward(
        self, features: dict[str, Tensor], proposals: list[Tensor], image_shapes: list[tuple[int, int]], targets: Detected | None = None
    ) -> tuple[Detected, dict[str, Tensor]]:
        """Return what is found, or in training the losses."""
        if self.training:
            proposals, matched, labels, wanted = self.select_training_samples(proposals, targets)
            maps = self.box_head(self.box_roi_pool(features, proposals, image_shapes))
            logits, boxes = self.box_predictor(maps.mean((2, 3)))
            classifier, regression = fastrcnn_loss(logits, boxes, labels, wanted)
            losses = {"loss_classifier": classifier, "loss_box_reg": regression}
            if self.masker is not None and targets is not None:
                losses["loss_mask"] = self._mask_loss(maps, proposals, matched, labels, targets)
            return [], losses
        maps = self.box_head(self.box_roi_pool(features, proposals, image_shapes))
        found = self.postprocess_detections(*self.box_predictor(maps.mean((2, 3))), proposals, image_shapes)
        result = [{"boxes": b, "scores": s, "labels": c} for b, s, c in zip(*found, strict=True)]
        if self.masker is not None:
            maps = self.box_head(self.box_roi_pool(features, [r["boxes"] for r in result], image_shapes))
            for here, masks in zip(result, maskrcnn_inference(self.masker(maps), [r["labels"] for r in result]), strict=True):
                here["masks"] = masks
        return result, {}

    def _mask_loss(self, maps: Tensor, proposals: list[Tensor], matched: list[Tensor], labels: list[Tensor], targets: Detected) -> Tensor:
        assert self.masker is not None
        objects = [of_image > 0 for of_image in labels]
        loss: Tensor = maskrcnn_loss(
            self.masker(maps[torch.cat(objects)]),
            [p[here] for p, here in zip(proposals, objects, strict=True)],
            [t["masks"] for t in targets],
            [t["labels"] for t in targets],
            [m[here] for m, here in zip(matched, objects, strict=True)],
        )
        return loss


class PyramidHead(Head):
    """FPN: two hidden layers on a 7 x 7 region give class and box, four convolutions with BN on a 14 x 14 one the mask."""

    def __init__(self, classes: int, settings: Detection) -> None:
        strides, width = (4, 8, 16, 32), settings.pyramid
        layers = TwoMLPHead(width * 7 * 7, 4 * width)
        for layer in (layers.fc6, layers.fc7):
            nn.init.kaiming_uniform_(layer.weight, a=1)
            nn.init.zeros_(layer.bias)
        super().__init__(Pooler(strides, 7), layers, 4 * width, classes, settings)
        if settings.masks:
            self.mask_roi_pool = Pooler(strides, 14)
            convolutions = [Conv2dNormActivation(width, width, norm_layer=nn.BatchNorm2d) for _ in range(4)]
            self.mask_head = drawn_by_he(nn.Sequential(*convolutions))
            self.mask_predictor = drawn_by_he(MaskRCNNPredictor(width, width, classes + 1))


def drawn_by_he(module: nn.Sequential) -> nn.Sequential:
    """Draw the convolutions of ``module`` as He et al. do; the last one, which predicts, from a normal of 0.001 where it is a 1 x 1."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            if layer.kernel_size == (1, 1):
                nn.init.normal_(layer.weight, std=0.001)
            else:
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return module
