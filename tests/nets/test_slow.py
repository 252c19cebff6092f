"""Slow copies and queues against their formulae."""

import pytest
import torch
from torch import Tensor, nn

from stopgrad.nets.slow import Queue, follow, slow_copy
from tests.embeddings import shares_no_storage


def numbered(first: int, count: int) -> Tensor:
    """Rows that say which they are."""
    return torch.arange(first, first + count, dtype=torch.float32)[:, None].expand(-1, 3).clone()


def held(queue: Queue) -> list[int]:
    return [int(row[0]) for row in queue.rows]


def test_a_queue_begins_with_random_unit_vectors() -> None:
    torch.manual_seed(0)
    queue = Queue(200, 3)
    torch.testing.assert_close(queue.rows.norm(dim=1), torch.ones(200))
    assert queue.rows.mean(dim=0).norm() < 0.2  # in all directions
    assert (int(queue.next), int(queue.seen)) == (0, 0)


def test_a_queue_replaces_the_oldest_around_its_end() -> None:
    queue = Queue(5, 3)
    queue.push(numbered(0, 3))
    assert held(queue)[:3] == [0, 1, 2]
    assert queue.rows[3:].norm(dim=1).tolist() == pytest.approx([1, 1])  # still the first, random ones
    queue.push(numbered(3, 3))
    assert held(queue) == [5, 1, 2, 3, 4]
    queue.push(numbered(6, 4))
    assert held(queue) == [5, 6, 7, 8, 9]
    queue.push(numbered(10, 1))
    assert held(queue) == [10, 6, 7, 8, 9]
    assert (int(queue.next), int(queue.seen)) == (1, 11)


def test_of_more_than_it_holds_a_queue_keeps_the_last() -> None:
    queue = Queue(5, 3)
    queue.push(numbered(0, 2))
    queue.push(numbered(2, 12))
    assert sorted(held(queue)) == [9, 10, 11, 12, 13]
    queue.push(numbered(14, 2))
    assert sorted(held(queue)) == [11, 12, 13, 14, 15]


def test_a_queue_keeps_values_and_no_graph() -> None:
    queue = Queue(4, 3)
    keys = numbered(0, 2).requires_grad_()
    queue.push(2 * keys)
    assert not queue.rows.requires_grad
    with torch.no_grad():
        keys.fill_(9)
    assert held(queue)[:2] == [0, 2]


def net(seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


@pytest.mark.parametrize("momentum", [0.0, 0.9, 0.999, 1.0])
def test_follow_is_its_formula_for_every_parameter_and_no_statistic(momentum: float) -> None:
    slow, fast = net(0), net(1)
    fast(torch.randn(8, 3))  # statistics of its own, which are not followed
    old = [p.clone() for p in slow.parameters()]
    follow(slow, fast, momentum)
    for p, before, new in zip(slow.parameters(), old, fast.parameters(), strict=True):
        torch.testing.assert_close(p, momentum * before + (1 - momentum) * new)
    for b, fresh in zip(slow.buffers(), net(0).buffers(), strict=True):
        torch.testing.assert_close(b, fresh, rtol=0, atol=0)


def test_a_slow_copy_is_equal_untrainable_and_its_own() -> None:
    fast = net(0)
    slow = slow_copy(fast)
    x = torch.randn(8, 3)
    torch.testing.assert_close(slow(x), fast(x), rtol=0, atol=0)
    assert not any(p.requires_grad for p in slow.parameters())
    assert all(p.requires_grad for p in fast.parameters())
    assert shares_no_storage(slow, fast)
    assert slow.state_dict().keys() == fast.state_dict().keys()
