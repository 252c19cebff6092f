"""α-ReQ and LiDAR, by closed forms and by slow formulas."""

import math

import numpy as np
import pytest
import torch

from stopgrad.protocols.label_free import alpha_req, lidar


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0])
def test_the_exponent_of_an_exact_power_law(alpha: float) -> None:
    n, d = 400, 100
    rng = np.random.default_rng(0)
    left, _ = np.linalg.qr(np.hstack([np.ones((n, 1)), rng.normal(size=(n, d))]))  # columns 1.. have mean 0
    values = np.sqrt((n - 1) * np.arange(1.0, d + 1) ** -alpha)
    features = torch.from_numpy(left[:, 1:] * values @ np.linalg.qr(rng.normal(size=(d, d)))[0])
    assert alpha_req(features + 3) == pytest.approx(alpha, abs=1e-9)


def test_too_few_directions_have_no_exponent() -> None:
    assert math.isnan(alpha_req(torch.randn(50, 2) @ torch.randn(2, 40)))


def slow_lidar(x: np.ndarray) -> float:
    """LiDAR by loops, and the symmetric root of the covariance within."""
    n, q, d = x.shape
    means = x.mean(axis=1)
    between, within = np.zeros((d, d)), 1e-4 * np.eye(d)
    for i in range(n):
        between += np.outer(means[i] - means.mean(axis=0), means[i] - means.mean(axis=0)) / (n - 1)
        for j in range(q):
            within += np.outer(x[i, j] - means[i], x[i, j] - means[i]) / (n * (q - 1))
    values, vectors = np.linalg.eigh(within)
    root = vectors @ np.diag(values**-0.5) @ vectors.T
    found = np.linalg.eigvalsh(root @ between @ root).clip(0) + 1e-8
    share = found / found.sum()
    return float(np.exp(-(share * np.log(share)).sum()))


def test_lidar_is_its_formula() -> None:
    x = np.random.default_rng(1).normal(size=(12, 4, 6)) * np.array([5, 3, 1, 1, 0.5, 0.1])
    assert lidar(torch.from_numpy(x)) == pytest.approx(slow_lidar(x), rel=1e-9)


def test_lidar_counts_the_directions_that_tell_images_apart() -> None:
    torch.manual_seed(0)
    own = torch.zeros(200, 1, 8)
    own[..., :3] = 10 * torch.randn(200, 1, 3)
    assert lidar(own + 0.1 * torch.randn(200, 5, 8)) == pytest.approx(3, abs=0.1)
