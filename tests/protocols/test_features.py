from collections.abc import Iterable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stopgrad.errors import UserError
from stopgrad.images.pool import Pool
from stopgrad.protocols.features import Labelled, Pixels, Preparation, exact, features

CPU = torch.device("cpu")


def test_features_are_those_of_the_backbone_on_the_prepared_image(small: nn.Module) -> None:
    """The middle three quarters of 16 pixels, made 8."""
    rng = np.random.default_rng(0)
    arrays = [rng.integers(0, 256, (1, 16, 16), dtype=np.uint8) for _ in range(5)]
    prep = Preparation(8, 0.75, (0.4,), (0.2,))
    found = features(small, Labelled.resident(Pool.from_arrays(arrays), torch.zeros(5, dtype=torch.int64)), prep, CPU)
    images = torch.from_numpy(np.stack(arrays)).float() / 255
    middle = F.interpolate(images[:, :, 2:14, 2:14], size=(8, 8), mode="bilinear", antialias=True)
    with torch.no_grad():
        expected = small.eval()((middle - 0.4) / 0.2)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("size", "short_side", "share"), [(32, 32, 1.0), (224, 500, 0.875), (64, 63, 1.0)])
def test_the_usual_preparation(size: int, short_side: int, share: float) -> None:
    assert Preparation.usual(size, short_side, (0.5,), (0.5,)).share == share


def test_nothing_of_the_featuriser_is_touched(small: nn.Module, bright: tuple[Pool, Tensor], prep: Preparation) -> None:
    network = nn.Sequential(small, nn.Dropout(0.5), nn.BatchNorm1d(8))
    network.train()
    network[0].eval()  # frozen by its owner: must come back so
    modes = [m.training for m in network.modules()]
    before = {k: v.clone() for k, v in network.state_dict().items()}
    random = torch.get_rng_state()
    found = features(network, Labelled.resident(*bright), prep, CPU)
    assert not found.requires_grad
    assert [m.training for m in network.modules()] == modes
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)


def test_modes_come_back_after_an_error_too(small: nn.Module, bright: tuple[Pool, Tensor], prep: Preparation) -> None:
    class Broken(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.flatten(1) / 0 * 0

    network = nn.Sequential(Broken(), nn.BatchNorm1d(64)).train()
    with pytest.raises(UserError, match="Sequential are not finite"):
        features(network, Labelled.resident(*bright), prep, CPU)
    assert all(m.training for m in network.modules())


def test_features_do_not_depend_on_how_images_are_batched_or_supplied(small: nn.Module, bright: tuple[Pool, Tensor], prep: Preparation) -> None:
    pool, labels = bright

    def streamed(order: Iterable[Tensor]) -> Iterable[tuple[Pool, Tensor]]:
        """Each batch a pool of its own, as decoding workers hand them over."""
        for rows in order:
            yield Pool.from_arrays([pool.image(i).numpy() for i in rows.tolist()]), torch.arange(len(rows))

    resident = features(small, Labelled.resident(pool, labels), prep, CPU)
    assert resident.shape == (60, 8)
    assert resident.dtype == torch.float32
    for part in (1, 7, 60):
        torch.testing.assert_close(features(small, Labelled.resident(pool, labels), prep, CPU, part), resident)
    torch.testing.assert_close(features(small, Labelled(streamed, labels), prep, CPU, 13), resident)


def test_images_of_many_sizes(small: nn.Module, prep: Preparation) -> None:
    rng = np.random.default_rng(0)
    arrays = [rng.integers(0, 256, (1, h, w), dtype=np.uint8) for h, w in ((8, 9), (30, 12), (11, 40))]
    pool = Pool.from_arrays(arrays)
    labels = torch.zeros(3, dtype=torch.int64)
    found = features(small, Labelled.resident(pool, labels), prep, CPU)
    alone = [features(small, Labelled.resident(Pool.from_arrays([a]), labels[:1]), prep, CPU) for a in arrays]
    torch.testing.assert_close(found, torch.cat(alone))


def test_a_label_an_image(bright: tuple[Pool, Tensor]) -> None:
    with pytest.raises(AssertionError, match="one label an image"):
        Labelled.resident(bright[0], bright[1][:-1])


def test_pixels_as_they_are_and_averaged() -> None:
    images = torch.randn(2, 3, 8, 8)
    same = Pixels(3, 8)
    assert same.features == 3 * 8 * 8
    torch.testing.assert_close(same(images.contiguous(memory_format=torch.channels_last)), images.flatten(1))
    less = Pixels(3, 8, side=4)
    assert less(images).shape == (2, less.features) == (2, 3 * 4 * 4)
    torch.testing.assert_close(less(images), F.avg_pool2d(images, 2).flatten(1))


def test_exactness_is_asked_for_and_given_back() -> None:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    flags = torch.backends.cudnn
    kept = (flags.enabled, flags.benchmark, flags.deterministic, flags.allow_tf32)
    try:
        with exact():
            assert torch.get_float32_matmul_precision() == "highest"
            assert (flags.deterministic, flags.allow_tf32) == (True, False)
        assert torch.get_float32_matmul_precision() == "medium"
        assert (flags.enabled, flags.benchmark, flags.deterministic, flags.allow_tf32) == kept
    finally:
        torch.set_float32_matmul_precision(before)
