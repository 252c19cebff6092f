"""What a trained detector finds in test images, and what that is worth."""

import time
from collections.abc import Callable

import numpy as np
import torch
from torchvision.models.detection.roi_heads import paste_masks_in_image

from stopgrad import distributed
from stopgrad.config.detection import Detection
from stopgrad.detection.annotated import Annotated
from stopgrad.detection.coco_ap import coco_scores
from stopgrad.detection.examples import Colours, image_of, resized
from stopgrad.detection.masks import packed
from stopgrad.detection.models import Detector
from stopgrad.detection.pictures import Part, Picture
from stopgrad.detection.voc_ap import Found, voc_scores
from stopgrad.images.threads import in_threads
from stopgrad.progress import PLAIN_EVERY, duration


@torch.no_grad()
def find(model: Detector, part: Part, settings: Detection, colours: Colours, device: torch.device, tell: Callable[[str], object]) -> list[Found]:
    """Return what ``model`` finds in each image of ``part``, in the image's own pixels; one image is looked at at a time.

    Every process looks at its share of the images, and has what all have found.
    """
    model.to(device).eval()
    began = told = time.monotonic()
    results: list[Found] = []
    pictures = part.pictures[distributed.rank() :: distributed.size()]

    def read(picture: Picture) -> torch.Tensor:
        return image_of(picture, colours, resized(picture.height, picture.width, settings.test_side, settings.max_side))

    for picture, image in zip(pictures, in_threads(read, pictures, chunk=1), strict=True):
        results.append(_found(model, picture, image.to(device)))
        now = time.monotonic()
        if now - told >= PLAIN_EVERY:
            told = now
            left = duration((now - began) / len(results) * (len(pictures) - len(results)))
            tell(f"tested {len(results):,} of {len(pictures):,} images  {left} left")
    shares = distributed.everyones(results)
    return [shares[row % len(shares)][row // len(shares)] for row in range(len(part.pictures))]


def _found(model: Detector, picture: Picture, image: torch.Tensor) -> Found:
    here = model([image])[0][0]
    scale = torch.tensor([picture.width / image.shape[2], picture.height / image.shape[1]] * 2, device=image.device)
    boxes = here["boxes"] * scale
    masks: tuple[object, ...] = ()
    if "masks" in here:
        whole = paste_masks_in_image(here["masks"], boxes, (picture.height, picture.width))[:, 0]
        masks = tuple(packed(mask) for mask in (whole > 0.5).to(torch.uint8).cpu().numpy())
    return Found(
        boxes=boxes.double().cpu().numpy(),
        scores=here["scores"].double().cpu().numpy(),
        labels=here["labels"].cpu().numpy() - 1,
        masks=masks,
    )


def scores_of(annotated: Annotated, found: list[Found], masks: bool) -> dict[str, float]:
    """Return box_ap, box_ap50, box_ap75 and what else the data set's metric gives, 0..1."""
    test = annotated.test
    if annotated.metric == "coco":
        return coco_scores(test, found, masks)
    scores = voc_scores(test.pictures, found, len(test.classes), annotated.metric == "voc 11 points")
    assert not np.isnan(scores.ap), "open_annotated has seen an object"
    return {"box_ap": scores.ap, "box_ap50": scores.ap50, "box_ap75": scores.ap75}
