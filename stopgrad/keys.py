"""Randomness as a function: every random number is drawn from a generator keyed by what it is for.

No draw depends on one made before it, so workers, restarts and devices cannot change any (promise 2).
"""

import hashlib

import torch


def generator(*key: int | str) -> torch.Generator:
    """Return a CPU generator seeded by ``key``, such as ``("order", seed, epoch)``."""
    return torch.Generator().manual_seed(seed_of(*key))


def seed_of(*key: int | str) -> int:
    """Return 63 bits that depend on every part of ``key``."""
    return int.from_bytes(hashlib.sha256("/".join(map(str, key)).encode()).digest()[:8], "little") >> 1
