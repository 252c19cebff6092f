"""Batch normalisation over the whole batch, over each process's slice, or over fixed parts of the batch.

Synchronised: torch's own on GPUs; on the CPU, where torch has none, ours. Split: as if every part lay on a GPU of its own without
synchronisation, which MoCo's shuffling assumes (arXiv:1911.05722, Sec. 3.3). Ioffe & Szegedy, arXiv:1502.03167.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from stopgrad import distributed
from stopgrad.config import Train
from stopgrad.errors import UserError


class SyncBatchNorm(_BatchNorm):
    """BN with the mean and variance over the rows of all processes. Two sums, the second of squares around the mean: exact in fp32."""

    def _check_input_dim(self, input: Tensor) -> None:
        assert input.ndim >= 2, input.shape

    def forward(self, input: Tensor) -> Tensor:
        """Return ``input`` (n, C, ...) normalised; in evaluation mode, by the running statistics."""
        if not self.training:
            return super().forward(input)
        x = input.float()
        dims = [d for d in range(x.ndim) if d != 1]
        shape = [1, -1] + [1] * (x.ndim - 2)
        count = self._count(x.numel() // x.shape[1])
        mean = distributed.total(x.sum(dims)) / count
        centred = x - mean.view(shape)
        variance = distributed.total(centred.square().sum(dims)) / count
        _follow(self, mean.detach(), variance.detach() * count / (count - 1))
        out = centred * torch.rsqrt(variance + self.eps).view(shape)
        if self.affine:
            out = out * self.weight.view(shape) + self.bias.view(shape)
        return out.to(input.dtype)

    def _count(self, here: int) -> int:
        """Return the values a channel of all processes, of which ``here`` are this one's: as many in every one."""
        return here * distributed.size()


class UnequalSyncBatchNorm(SyncBatchNorm):
    """The same where processes hold different numbers of rows, as detectors do of regions, or none."""

    def _count(self, here: int) -> int:
        return int(distributed.sums([here])[0])


class SplitBatchNorm(_BatchNorm):
    """BN in which each of ``parts`` consecutive, equal parts of the rows has statistics of its own; the running ones follow their mean."""

    parts: int

    def _check_input_dim(self, input: Tensor) -> None:
        assert not self.training or len(input) % self.parts == 0, (input.shape, self.parts)

    def forward(self, input: Tensor) -> Tensor:
        """Return ``input`` (n, C, ...) normalised part by part; in evaluation mode, by the running statistics."""
        self._check_input_dim(input)
        if not self.training:
            return super().forward(input)
        seen = torch.zeros(2, self.parts, input.shape[1], device=input.device)
        normalised = [
            F.batch_norm(part, mean, variance, self.weight, self.bias, training=True, momentum=1.0, eps=self.eps)
            for part, mean, variance in zip(input.chunk(self.parts), seen[0], seen[1], strict=True)
        ]
        _follow(self, *seen.mean(dim=1))
        return torch.cat(normalised)


def _follow(bn: _BatchNorm, mean: Tensor, variance: Tensor) -> None:
    """Move the running statistics towards these."""
    if bn.running_mean is not None and bn.running_var is not None and bn.num_batches_tracked is not None:
        bn.num_batches_tracked.add_(1)
        share = 1 / float(bn.num_batches_tracked) if bn.momentum is None else bn.momentum
        bn.running_mean.lerp_(mean, share)
        bn.running_var.lerp_(variance, share)


def set_bn(module: nn.Module, train: Train, device: torch.device) -> None:
    """Give every BN in ``module`` the statistics that ``train.bn`` names. Raises UserError when the parts do not fit the processes."""
    if train.bn == "split":
        if train.bn_splits % distributed.size():
            raise UserError(f"train.bn_splits: {distributed.size()} processes do not divide {train.bn_splits} parts; choose one of the two anew")
        _replace(module, SplitBatchNorm)
        for bn in batch_norms(module):
            assert isinstance(bn, SplitBatchNorm)
            bn.parts = train.bn_splits // distributed.size()
    elif train.bn == "sync" and distributed.size() > 1:
        _replace(module, nn.SyncBatchNorm if device.type == "cuda" else SyncBatchNorm)


def synchronise(module: nn.Module, device: torch.device) -> None:
    """Give every BN in ``module`` the statistics over all rows of all processes, however many each has; in one process nothing changes."""
    if distributed.size() > 1:
        _replace(module, nn.SyncBatchNorm if device.type == "cuda" else UnequalSyncBatchNorm)


def _replace(module: nn.Module, kind: type[_BatchNorm]) -> None:
    """Turn every BN into ``kind``, its parameters and buffers as they are. Raises UserError for a BN that does more than torch's."""
    for parent in list(module.modules()):
        for name, bn in list(parent.named_children()):
            if isinstance(bn, _BatchNorm):
                if type(bn) not in (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d):
                    raise UserError(
                        f"net.backbone: has BN layers of its own kind ({type(bn).__name__}), whose statistics stopgrad cannot set; "
                        "take --bn local, which leaves them as they are, or another backbone"
                    )
                new = kind(bn.num_features, eps=bn.eps, momentum=bn.momentum, affine=bn.affine, track_running_stats=bn.track_running_stats)
                new.__dict__.update({k: v for k, v in bn.__dict__.items() if k in ("_parameters", "_buffers", "training")})
                setattr(parent, name, new)


def batch_norms(module: nn.Module) -> list[_BatchNorm]:
    """Return every BN of ``module``."""
    return [m for m in module.modules() if isinstance(m, _BatchNorm)]


def running_statistics(module: nn.Module) -> list[Tensor]:
    """Return the running means and variances of every BN."""
    return [b for bn in batch_norms(module) for b in (bn.running_mean, bn.running_var) if b is not None]


@contextmanager
def unmoved_statistics(module: nn.Module) -> Iterator[None]:
    """Normalise by the batch as in training, but leave the running statistics as they are."""
    saved = [b.clone() for bn in batch_norms(module) for b in bn.buffers()]
    try:
        yield
    finally:
        for buffer, before in zip((b for bn in batch_norms(module) for b in bn.buffers()), saved, strict=True):
            buffer.copy_(before)
