"""Tensors sent together arrive as they were; that a GPU is not waited for is seen in tests/gpu."""

import pytest
import torch

from stopgrad.sending import ALIGNED, send

SENT = [
    torch.arange(7, dtype=torch.int64).view(7, 1),
    torch.rand(3, 5)[:, 1:4],
    torch.tensor([], dtype=torch.float32),
    torch.tensor([True, False, True]),
    torch.rand(2, dtype=torch.float64),
]


def test_on_the_cpu_nothing_is_copied() -> None:
    assert all(a is b for a, b in zip(send(SENT, torch.device("cpu")), SENT, strict=True))


def test_tensors_lie_in_one_block_and_aligned() -> None:
    there = send(SENT, torch.device("meta"))  # a device that takes anything, and keeps nothing
    assert [x.shape for x in there] == [x.shape for x in SENT]
    assert [x.dtype for x in there] == [x.dtype for x in SENT]
    assert all(x.is_contiguous() for x in there)
    assert all(x.storage_offset() * x.element_size() % ALIGNED == 0 for x in there)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_tensors_arrive_as_they_were() -> None:
    torch.cuda.set_sync_debug_mode("error")
    try:
        there = send(SENT, torch.device("cuda"))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert all(torch.equal(a.cpu(), b) for a, b in zip(there, SENT, strict=True))
