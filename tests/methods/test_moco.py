"""MoCo against InfoNCE written from Eq. 1, its queue, its slow encoder, and what shuffling hides."""

import math
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stopgrad.methods.moco import MoCo
from stopgrad.nets.backbones import build
from stopgrad.nets.norm import set_bn
from tests.embeddings import START, apart, cos, gradient, images, pixels, shares_no_storage, views
from tests.toys import MOCO, toy_run


def moco(**changes: Any) -> MoCo:
    """A method whose two encoders differ, as they do after the first steps; all of the batch is normalised together."""
    torch.manual_seed(0)
    method = MoCo(build(toy_run().net, 1, 8), replace(MOCO, **{"shuffle": False} | changes))
    with torch.no_grad():
        for p in method.f_k.parameters():
            p.add_(0.1 * torch.randn(p.shape))
    return method


def of_pixels(d: int, **changes: Any) -> MoCo:
    method = moco(projector=(d,), **changes)
    method.backbone, method.projector = pixels(d), nn.Sequential()
    method.f_k = nn.Sequential(method.backbone)
    return method


def infonce(q: Tensor, k: Tensor, queue: Tensor, temperature: float = 0.2) -> Tensor:
    """Eq. 1 for every query with the key of its own image as k+, in float64; then the mean."""
    total = torch.zeros((), dtype=torch.float64)
    for query, key in zip(q, k, strict=True):
        scores = [torch.exp(cos(query, other) / temperature) for other in (key, *queue)]
        total = total - torch.log(scores[0] / sum(scores))
    return total / len(q)


@pytest.mark.parametrize("temperature", [0.07, 0.2])
def test_loss_is_equation_1(temperature: float) -> None:
    method = moco(temperature=temperature)
    x1, x2 = views()
    expected = infonce(method.f_q(x1), method.f_k(x2), method.queue.rows.clone(), temperature)
    assert method(x1, x2).loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_equal_embeddings_give_the_logarithm_of_the_candidates() -> None:
    method = of_pixels(8, queue=24)
    method.queue.rows.copy_(F.normalize(torch.ones(24, 8), dim=1))
    output = method(torch.ones(6, 1, 1, 8), torch.ones(6, 1, 1, 8))
    assert output.loss.item() == pytest.approx(math.log(25), rel=1e-6)
    assert output.chance == pytest.approx(math.log(25))


def test_accuracy_counts_the_queries_that_find_their_key() -> None:
    method = of_pixels(2, queue=2)
    method.queue.rows.copy_(torch.tensor([[0.0, 1.0], [0.0, -1.0]]))
    output = method(images([[1, 0], [1, 0.1], [0.1, 1], [0, 1]]), images([[1, 0.2], [1, 0], [1, 0], [0.2, -1]]))
    assert output.accuracy is not None
    assert float(output.accuracy) == 2 / 4


def test_no_gradient_reaches_the_keys() -> None:
    """Even from a key encoder that could take one: here it is the query encoder itself."""
    method = moco()
    method.f_k = method.f_q
    x1, x2 = views()
    q, k, queue = method.f_q(x1), method.f_q(x2), method.queue.rows.clone()
    through = gradient(method, infonce(q, k, queue))
    stopped = gradient(method, infonce(method.f_q(x1), k.detach(), queue))
    assert apart(gradient(method, method(x1, x2).loss), stopped) < 1e-4
    assert apart(through, stopped) > 0.05


def test_the_key_encoder_is_a_copy_without_gradient() -> None:
    torch.manual_seed(0)
    method = MoCo(build(toy_run().net, 1, 8), MOCO)
    x, _ = views()
    torch.testing.assert_close(method.f_k(x), method.f_q(x), rtol=0, atol=0)
    assert not any(p.requires_grad for p in method.f_k.parameters())
    assert shares_no_storage(method.f_k, method.f_q)
    assert not any(n.startswith("f_k.") for group in method.param_groups() for n, _ in group.params)


def test_the_oldest_keys_are_replaced_first() -> None:
    """A queue of ten and batches of four: the third batch ends where the first began."""
    method = moco(queue=10)
    begun = method.queue.rows.clone()
    made = []
    for step in range(3):
        x1, x2 = views(4, seed=step)
        made.append(F.normalize(method.f_k(x2), dim=1))
        method(x1, x2)
        if step == 0:
            torch.testing.assert_close(method.queue.rows, torch.cat([made[0], begun[4:]]))
    torch.testing.assert_close(method.queue.rows, torch.cat([made[2][2:], made[0][2:], made[1], made[2][:2]]))


def test_symmetric_is_the_mean_of_both_directions_with_one_queue() -> None:
    method = moco(symmetric=True)
    x1, x2 = views()
    there, back = deepcopy(method), deepcopy(method)
    there.cfg = back.cfg = replace(method.cfg, symmetric=False)
    expected = (there(x1, x2).loss.item() + back(x2, x1).loss.item()) / 2
    assert method(x1, x2).loss.item() == pytest.approx(expected, rel=1e-6)
    keys = torch.cat([there.queue.rows[:6], back.queue.rows[:6]])
    torch.testing.assert_close(method.queue.rows[:12], keys)
    assert int(method.queue.seen) == 12


def split(method: MoCo) -> MoCo:
    set_bn(method, replace(toy_run().train, bn="split", bn_splits=3), torch.device("cpu"))
    return method


def test_shuffling_is_undone() -> None:
    """In evaluation mode the order of a batch has no part in its keys: each must stand at its own image."""
    x, _ = views(12)
    plain, shuffled = moco(shuffle=False).eval(), moco(shuffle=True).eval()
    torch.testing.assert_close(shuffled.keys(x), plain.keys(x), rtol=1e-5, atol=1e-6)
    assert not torch.allclose(plain.keys(x)[:6], plain.keys(x)[6:], atol=1e-3)


def test_shuffling_changes_which_images_are_normalised_together() -> None:
    x, _ = views(12)
    plain, shuffled = split(moco(shuffle=False)), split(moco(shuffle=True))
    torch.manual_seed(7)
    keys = shuffled.keys(x)
    assert (keys - plain.keys(x)).norm(dim=1).min() > 1e-2
    torch.manual_seed(7)
    order = torch.randperm(12)
    by_hand = torch.empty_like(keys)
    by_hand[order] = plain.keys(x[order])
    torch.testing.assert_close(keys, by_hand, rtol=1e-5, atol=1e-6)


def test_the_key_encoder_follows_by_equation_2() -> None:
    method = moco(momentum=0.9)
    method(*views())  # moves the BN statistics of both, each its own
    q, k = list(method.f_q.parameters()), [p.clone() for p in method.f_k.parameters()]
    statistics = [b.clone() for b in method.f_k.buffers()]
    method.after_step(START)
    for new, fast, old in zip(method.f_k.parameters(), q, k, strict=True):
        torch.testing.assert_close(new, 0.9 * old + 0.1 * fast)
    for b, before in zip(method.f_k.buffers(), statistics, strict=True):
        torch.testing.assert_close(b, before, rtol=0, atol=0)
