"""Which anchors and proposals are learned from: torchvision's sampler, drawn alike in any number of processes."""

import torch
from torch import Tensor
from torchvision.models.detection._utils import BalancedPositiveNegativeSampler

from stopgrad import distributed


class Sampler(BalancedPositiveNegativeSampler):  # type: ignore[misc]
    """Ren et al., arXiv:1506.01497, Sec. 3.1.3: ``number`` of an image, at most the share ``positives`` of them objects.

    Every process draws for all images of the batch, in their order, and keeps what is for its own: N processes draw what one would, which
    draws what torchvision's sampler does.
    """

    def __init__(self, number: int, positives: float) -> None:
        super().__init__(number, positives)
        self.share = self.share_of_objects = 1.0
        """What the mean over this process's samples (its objects) weighs in the mean over the processes, so that this is the mean over the
        whole batch's: its number over the mean number of the processes."""

    def __call__(self, matched: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Return of each of ``matched``, (n,) with objects from 1, nothing as 0 and -1 for what is not to be taken, two masks (n,) uint8:
        the objects taken, and the nothings taken."""
        candidates = [(torch.where(labels >= 1)[0], torch.where(labels == 0)[0]) for labels in matched]
        own = torch.tensor([[len(objects), len(others)] for objects, others in candidates], device=matched[0].device)
        counts = distributed.gather(own).tolist()
        begin = distributed.rank() * len(matched)
        taken = [self._numbers(objects, others) for objects, others in counts]
        self._weigh(taken, taken[begin : begin + len(matched)])
        masks: tuple[list[Tensor], list[Tensor]] = ([], [])
        for row, (here, numbers) in enumerate(zip(counts, taken, strict=True)):
            orders = [torch.randperm(count, device=matched[0].device)[:number] for count, number in zip(here, numbers, strict=True)]
            if begin <= row < begin + len(matched):
                for into, places, order in zip(masks, candidates[row - begin], orders, strict=True):
                    mask = torch.zeros_like(matched[row - begin], dtype=torch.uint8)
                    mask[places[order]] = 1
                    into.append(mask)
        return masks

    def _numbers(self, objects: int, others: int) -> tuple[int, int]:
        """Return how many of an image's candidates are taken."""
        some = min(objects, int(self.batch_size_per_image * self.positive_fraction))
        return some, min(others, self.batch_size_per_image - some)

    def _weigh(self, taken: list[tuple[int, int]], own: list[tuple[int, int]]) -> None:
        mean, mean_of_objects = (sum(values) / distributed.size() for values in (map(sum, taken), (some for some, _ in taken)))
        self.share = sum(map(sum, own)) / mean if mean else 1.0
        self.share_of_objects = sum(some for some, _ in own) / mean_of_objects if mean_of_objects else 1.0
